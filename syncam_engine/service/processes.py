# SPDX-License-Identifier: Apache-2.0
"""A process that another one started: how it ends with the one that started it, and how its end is
told. The parent, the server and the worker are such a line. Standard library alone."""

from __future__ import annotations

import os
import signal
import sys
import threading


def end_with_the_starter() -> None:
    """Have this process end with the one that holds the other end of its standard input.

    On Linux the kernel sees to it, even while this process is stopped; elsewhere, and where the
    starter ended before it could be asked, a thread notices.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    threading.Thread(target=_leave_at_the_end_of_input, name="stdin", daemon=True).start()


def how_it_ended(code: int) -> str:
    """Say an exit status, as `subprocess` gives it, in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    hint = ", which the system sends when memory runs out" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _leave_at_the_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)
