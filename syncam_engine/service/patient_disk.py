# SPDX-License-Identifier: Apache-2.0
"""Files flushed by a thread, so that a disk that takes its time keeps nobody else waiting."""

from __future__ import annotations

import errno
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

from .files import sync_folder, write_whole

PATIENCE_S = 1.0
"""So long the others wait at most for a disk that is slow."""
MOST_LATE = 64


class StillWriting(OSError):
    """The disk has not taken it yet. The same call again says how it went."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, f"it has not taken a file within {PATIENCE_S:g} s")


class PatientDisk:
    """`write` returns once a file is whole and flushed, or raises `StillWriting` and goes on with
    it. While one is late, none is waited for."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._late: dict[Path, Future[None]] = {}

    def write(self, path: Path, data: bytes) -> None:
        """Write a file whole, also where its folder is new. Raises `OSError`, of which
        `StillWriting` is one."""
        job = self._late.pop(path, None)
        # What became of those that nobody asks for again is seen at the next start.
        self._late = {other: late for other, late in self._late.items() if not late.done()}
        patience_s = 0.0 if self._late else PATIENCE_S
        if job is None:
            if len(self._late) >= MOST_LATE:
                raise OSError(errno.EIO, f"it has not taken {MOST_LATE} files")
            job = self._thread.submit(_write, path, data)
        try:
            job.result(patience_s)
        except NotYet:
            self._late[path] = job
            raise StillWriting from None

    def close(self) -> None:
        self._thread.shutdown(wait=False)


def _write(path: Path, data: bytes) -> None:
    write_whole(path, data)
    sync_folder(path.parent.parent)
