# SPDX-License-Identifier: Apache-2.0
"""What is done to an engine and its clients in `soak.faults`: each kind of blow, one method."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from syncam_engine.devtools.harness import LocalEngine, wait_until
from syncam_engine.link.limits import SILENCE_S

WORK_S = 1.2
"""A blow that waits for work falls within so long of it: a few jobs' lives."""
CLOCK_VARIABLE = "SYNCAM_SOAK_CLOCK"
_JUMPS_S = (60.0, -60.0, 3600.0, -3600.0, 1e6, -1e6, 3e8, 0.0)
_CLOCK = f"""
import os, time

def _by():
    try:
        with open(os.environ["{CLOCK_VARIABLE}"]) as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0

_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _by()
time.time_ns = lambda: _time_ns() + int(_by() * 1e9)
"""


class Killable(Protocol):
    """A client in a process of its own."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def pid(self) -> int: ...


def give_jumping_clock(engine: LocalEngine) -> None:
    """Have the engine's processes, from their next start on, see a time of day that can jump."""
    folder = engine.folder / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_CLOCK)
    paths = [str(folder), engine.environment.get("PYTHONPATH", "")]
    engine.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    engine.environment[CLOCK_VARIABLE] = str(folder / "jumped-s")


class Blows:
    """Blows in random order at random moments, each kind as often as it was asked for."""

    def __init__(
        self, engine: LocalEngine, clients: Sequence[Killable], rng: random.Random
    ) -> None:
        self._engine, self._clients, self._rng = engine, clients, rng
        self._asker = engine.client(client_name="blows")
        self._stopped: list[psutil.Process] = []
        self.counts: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], None]] = {
            "kills of worker": self.kill_worker,
            "kills of server": self.kill_server,
            "kills of client": self.kill_client,
            "kills of all at once": self.kill_all,
            "stopped workers": self.stop_worker,
            "stopped servers": self.stop_server,
            "stopped clients": self.stop_client,
            "truncated databases": lambda: self.cut("jobs.sqlite"),
            "truncated journals": lambda: self.cut("jobs.sqlite-wal"),
            "clock jumps": self.jump,
        }

    def deal(self, kills: int, others: int) -> None:
        """`kills` of worker, server and client each, `others` of every other kind.

        A third of them fall whenever they do, which is mostly on processes that are starting; a
        third in the life of the first job after it, a worker's slowest; and a third once that one
        has ended, so that jobs get done: in one's first step, its last, while it is written,
        between two.
        """
        names = [
            name
            for name in self.kinds
            for _ in range(kills if name in list(self.kinds)[:3] else others)
        ]
        self._rng.shuffle(names)
        for name in names:
            self._await_a_moment()
            self.counts["blows that met a running job"] += self._works()
            self.kinds[name]()
            self.counts[name] += 1

    def kill_worker(self) -> None:
        self._signal_worker(signal.SIGKILL)

    def stop_worker(self) -> None:
        """Stopped for good: the server has to notice and replace it."""
        pid = self._signal_worker(signal.SIGSTOP)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._stopped.append(psutil.Process(pid))

    def end(self) -> None:
        """Kill what was stopped before it could ask the kernel to die with its server, which was
        killed before it noticed: nobody else will."""
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_server(self) -> None:
        self._engine.kill()
        self._engine.start()

    def kill_client(self) -> None:
        client = self._rng.choice(self._clients)
        client.kill()
        client.start()

    def kill_all(self) -> None:
        pid = self._worker_pid()
        for client in self._clients:
            client.kill()
        self._engine.kill()
        _signal(pid, signal.SIGKILL)
        self._engine.start()
        for client in self._clients:
            client.start()

    def stop_server(self) -> None:
        """For a moment, or for longer than clients wait before they say that it is lost."""
        self._stop_a_while(self._engine.server_pid(), self._rng.choice((0.5, 2.0, SILENCE_S + 2)))

    def stop_client(self) -> None:
        self._stop_a_while(self._rng.choice(self._clients).pid(), self._rng.uniform(0.2, 3.0))

    def cut(self, name: str) -> None:
        """Kill the server, and leave a random part of one of its database's files."""
        self._engine.kill()
        path: Path = self._engine.state_dir / name
        if path.exists():
            os.truncate(path, self._rng.randrange(path.stat().st_size + 1))
        self._engine.start()

    def jump(self) -> None:
        """Move the time of day of server and workers."""
        Path(self._engine.environment[CLOCK_VARIABLE]).write_text(str(self._rng.choice(_JUMPS_S)))

    def _signal_worker(self, sign: signal.Signals) -> int:
        while not _signal(pid := self._worker_pid(), sign):
            continue  # it was just being replaced
        return pid

    def _worker_pid(self) -> int:
        """A worker's process; one that is only just starting is left alone for a moment."""
        found: list[int] = []

        def look() -> int:
            found.append(self._engine.status(self._asker).workers[0].pid)
            return found[-1]

        if look() == 0:
            wait_until(look, 120, self._engine.said)
            self._pause(0.05, 0.8)
            wait_until(look, 120, self._engine.said)
        return found[-1]

    def _works(self) -> bool:
        return self._engine.status(self._asker).workers[0].state == "busy"

    def _await_a_moment(self) -> None:
        moment = self._rng.choice(("any", "at work", "well at work"))
        if moment == "any":
            self._pause(0.0, 0.6)
            return
        wait_until(self._works, 120, self._engine.said)
        if moment == "well at work":
            done = self._engine.status(self._asker).done
            more = lambda: self._engine.status(self._asker).done > done  # noqa: E731
            wait_until(more, 120, self._engine.said)
        self._pause(0.0, WORK_S)

    def _stop_a_while(self, pid: int, seconds: float) -> None:
        _signal(pid, signal.SIGSTOP)
        time.sleep(seconds)
        _signal(pid, signal.SIGCONT)

    def _pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self._rng.uniform(least_s, most_s))


def _signal(pid: int, sign: signal.Signals) -> bool:
    if not pid:  # to the system 0 is everybody of this process's own group
        return False
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return False
    return True
