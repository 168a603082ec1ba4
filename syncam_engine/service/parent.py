# SPDX-License-Identifier: Apache-2.0
"""The parent: a small process that keeps the server running, and does nothing else.

libzmq ends its process where it meets what it does not expect; so may a fault in any other library,
or a lack of memory. To the parent that is an accident: it starts the server again over the same
state folder, where every job is kept. Nothing but the standard library is loaded here, so that
nothing here can have such a fault.

The parent's process id is the engine's, for whoever watches or ends it. A signal that asks it to
end is passed on; when it is killed, the server and the worker end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syncam_engine.link.endpoint import read_engine_info
from syncam_engine.link.errors import EXIT_ENGINE_RUNS

from .processes import how_it_ended

PARENT_VARIABLE = "SYNCAM_PARENT"
"""Tells a server its parent's process id."""
ACCIDENT_VARIABLE = "SYNCAM_ACCIDENT"
"""Tells a server how the one before it ended."""
EXIT_FAULT = 70
"""Exit status of a server that met a fault of its own (EX_SOFTWARE)."""
_ENDS = (0, EXIT_ENGINE_RUNS, 130, -signal.SIGINT, -signal.SIGTERM)
"""What is no accident."""
_BACKOFF_S = (0.0, 0.5, 2.0, 5.0, 10.0, 30.0)
_LIVED_S = 60.0
"""A server that ran for so long is started again at once."""
_MOST_TRIES = 8
"""So often in a row a server may end before it listens."""


class Parent:
    """`run()` returns the exit status of the engine's last server."""

    def __init__(self, command: Sequence[str], state_dir: Path) -> None:
        self._command, self._state_dir = list(command), state_dir
        self._server: subprocess.Popen | None = None
        self._asked = False
        """To end, by a signal."""

    def run(self) -> int:
        before = {k: signal.signal(k, self._pass_on) for k in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._keep()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _keep(self) -> int:
        accident, has_served, quick_ends, tries = "", False, 0, 0
        while True:
            start_s = time.monotonic()
            code = self._serve(accident)
            if self._asked or code in _ENDS:
                return code
            tries += 1
            if self._listened():
                has_served, tries = True, 0
            if not has_served or tries >= _MOST_TRIES:
                return code
            quick_ends = 0 if time.monotonic() - start_s > _LIVED_S else quick_ends + 1
            accident = how_it_ended(code)
            self._wait(_BACKOFF_S[min(max(quick_ends - 1, 0), len(_BACKOFF_S) - 1)])
            if self._asked:
                return 0

    def _serve(self, accident: str) -> int:
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid()), ACCIDENT_VARIABLE: accident}
        if sys.path[0] not in ("", os.getcwd()):  # "-m" must not add what this process goes without
            environment["PYTHONSAFEPATH"] = "1"
        self._server = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=environment)
        if self._asked:  # while it was being started
            self._server.terminate()
        code = self._server.wait()
        self._server.stdin.close()
        return code

    def _listened(self) -> bool:
        """Whether the server that ended had told where it listens."""
        info = read_engine_info(self._state_dir) or {}
        return info.get("server") == self._server.pid

    def _pass_on(self, *_: Any) -> None:
        self._asked = True
        if self._server is not None:
            self._server.terminate()  # harmless where a terminal has told it as well

    def _wait(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while not self._asked and time.monotonic() < end_s:
            time.sleep(0.1)


def keep_serving(arguments: Sequence[str], state_dir: Path) -> int:
    """Run the `syncam` command with `arguments` as a server until it ends for good."""
    code = Parent([sys.executable, "-m", "syncam_engine.cli", *arguments], state_dir).run()
    return code if code >= 0 else 128 - code


def take_place() -> tuple[int, str]:
    """Return, in a server, its parent's process id and how the server before it ended; (0, "") in
    any other process. What a server starts is not told."""
    parent = int(os.environ.pop(PARENT_VARIABLE, "0"))
    return parent, os.environ.pop(ACCIDENT_VARIABLE, "")
