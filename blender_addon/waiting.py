# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for jobs where no timer ticks: background mode, and scripts that ask for it. No bpy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from syncam_engine.link.errors import SynCamError

if TYPE_CHECKING:
    from .session import Session

GONE_S = 120.0
"""Longer than an engine takes to start, and than a job waits for it."""


def settle(state: Session, job_ids: list[str]) -> None:
    """Tick until these jobs ended and their clips, where they have any, are in the scene.

    Raises SynCamError "engine.silent" when no engine answers for long: a batch is to go on.
    """
    heard_s = time.monotonic()
    while not state.is_settled(job_ids):
        state.tick()
        if state.client is not None and state.client.state in ("ready", "loading"):
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > GONE_S:
            raise SynCamError(
                "engine.silent",
                f"{state.engine.sentence} No engine has answered for {GONE_S:g} s; the jobs that "
                "it has are kept.",
            )
        time.sleep(0.01)
