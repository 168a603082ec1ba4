# SPDX-License-Identifier: Apache-2.0
"""An engine on another machine, as the preferences name it: refused, then trusted, then used.

BPY_PYTHON -m tests.blender_addon.scripts.remote SHOT.blend ADDRESS KEY ENGINE_CONFIG_DIR
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import bpy

from .common import RUN, arguments, enable, plates_of, sentence_of, tell


def main() -> None:
    shot, address, key, engine_config = arguments()
    state = enable().get()
    bpy.ops.wm.open_mainfile(filepath=shot)
    preferences = bpy.context.preferences.addons["blender_addon"].preferences
    asked = {**RUN, "cameras": "Wide\nDolly"}
    preferences.use_remote, preferences.remote_address = True, "render-box:7788"
    no_address = sentence_of(bpy.ops.syncam.generate, **asked)
    preferences.remote_address, preferences.remote_key = address, key
    bpy.ops.syncam.engine_reconnect()
    refused = sentence_of(bpy.ops.syncam.generate, **asked)
    refused_state = state.engine.state
    trust_me(engine_config)
    bpy.ops.syncam.engine_reconnect()
    finished = bpy.ops.syncam.generate(**asked, seed=6, mode="PREVIZ")
    record = state.ended()[0]
    tell(
        no_address=no_address,
        refused=refused,
        refused_state=refused_state,
        finished=sorted(finished),
        state=state.engine.state,
        sentence=state.engine.sentence,
        applied=record.applied,
        is_streamed=state.client.local_state_dir is None,
        digests=[clip["digest"] for clip in record.clips],
        landed=[hashlib.sha256(Path(c["local"]).read_bytes()).hexdigest() for c in record.clips],
        locals=[clip["local"] for clip in record.clips],
        plates=plates_of(bpy.context.scene),
        cannot_stop=sentence_of(bpy.ops.syncam.engine_stop),
    )


def trust_me(engine_config: str) -> None:
    """What `syncam keys trust NAME KEY` does on the engine's machine."""
    from syncam_engine.link import keys

    public = keys.own_pair("client").public
    own = os.environ["SYNCAM_CONFIG_DIR"]
    os.environ["SYNCAM_CONFIG_DIR"] = engine_config
    try:
        keys.trust("client", "blender", public)
    finally:
        os.environ["SYNCAM_CONFIG_DIR"] = own


main()
