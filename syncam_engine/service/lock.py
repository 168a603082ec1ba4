# SPDX-License-Identifier: Apache-2.0
"""One engine a state folder. The lock goes with the process, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from syncam_engine.link.endpoint import private_dir, read_engine_info
from syncam_engine.link.errors import SynCamError

ENDS_S = 1.0
"""An engine that was killed has its lock for a moment longer, until its server is gone as well."""


def lock_state(state_dir: Path) -> int:
    """Return the handle that holds the lock; raises "engine.runs" when another engine has it."""
    private_dir(state_dir)
    handle = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    end_s = time.monotonic() + ENDS_S
    while True:
        try:
            _take(handle)
            return handle
        except OSError as error:
            if time.monotonic() < end_s:
                time.sleep(0.05)
                continue
            os.close(handle)
            info = read_engine_info(state_dir) or {}
            raise SynCamError(
                "engine.runs",
                f"An engine already runs with {state_dir} (process {info.get('pid', 'unknown')}).",
                value=str(state_dir),
                fix="syncam status",
            ) from error


def _take(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
