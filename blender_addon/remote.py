# SPDX-License-Identifier: GPL-3.0-or-later
"""How a remote engine stands, in the words that a local one is told in. Pure: no bpy."""

from __future__ import annotations

from syncam_engine.link.client import EngineClient
from syncam_engine.link.launch import EngineState


def remote_state(client: EngineClient) -> EngineState:
    """Return the state of the engine that `client` is connected to or tries to reach."""
    where = client.address.partition("#")[0]
    sentences = {
        "connecting": f"Connecting to {where}.",
        "loading": f"The engine at {where} is loading its model.",
        "ready": f"The engine at {where} is ready"
        + (f" on {client.device}." if client.device else "."),
        "lost": f"The engine at {where} does not answer any more.",
        "refused": f"The engine at {where} does not know this machine's key.",
        "version mismatch": f"The engine at {where} has another version than this add-on.",
        "closed": "Not connected.",
    }
    state = {"connecting": "starting", "closed": "stopped"}.get(client.state, client.state)
    return EngineState(state=state, sentence=sentences[client.state])
