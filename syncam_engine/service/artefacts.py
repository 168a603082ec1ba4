# SPDX-License-Identifier: Apache-2.0
"""Open result files, so that a chunk costs one read and no look into the database.

Small files are read. Large ones are mapped, which saves the copy that would take as long as sending
it; a mapped file that shrinks would end the process, so its size is looked at before each chunk.
"""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

_MOST_OPEN = 64
_MAPPED_FROM_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Artefact:
    owner: str
    size: int
    handle: int
    mapped: memoryview | None

    def close(self) -> None:
        # A chunk that is being sent keeps the mapping alive until it is out.
        os.close(self.handle)

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return up to `length` bytes. Raises `OSError` when the file is not what it was."""
        length = max(0, min(length, self.size - offset))
        if os.fstat(self.handle).st_size != self.size:
            raise OSError("the result's file has changed")
        if self.mapped is not None:
            return self.mapped[offset : offset + length]
        os.lseek(self.handle, offset, os.SEEK_SET)
        return os.read(self.handle, length)


class Artefacts:
    """The artefacts asked for last, by job and digest."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Artefact] = OrderedDict()

    def get(self, job_id: str, digest: str) -> Artefact | None:
        artefact = self._open.get((job_id, digest))
        if artefact is not None:
            self._open.move_to_end((job_id, digest))
        return artefact

    def add(self, job_id: str, digest: str, owner: str, path: Path) -> Artefact:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        size = os.fstat(handle).st_size
        mapped = None
        if size >= _MAPPED_FROM_BYTES:
            mapped = memoryview(mmap.mmap(handle, size, access=mmap.ACCESS_READ))
        artefact = Artefact(owner, size, handle, mapped)
        self._open[job_id, digest] = artefact
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        return artefact

    def forget(self, job_id: str) -> None:
        """Close the files of a job that is deleted."""
        for key in [key for key in self._open if key[0] == job_id]:
            self._open.pop(key).close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
