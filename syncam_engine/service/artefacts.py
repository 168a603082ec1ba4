# SPDX-License-Identifier: Apache-2.0
"""Open result files, so that a chunk costs one read and no look into the database."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

_MOST_OPEN = 64


@dataclass(frozen=True, slots=True)
class Artefact:
    owner: str
    size: int
    handle: int


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
        artefact = Artefact(owner, os.fstat(handle).st_size, handle)
        self._open[job_id, digest] = artefact
        while len(self._open) > _MOST_OPEN:
            os.close(self._open.popitem(last=False)[1].handle)
        return artefact

    def forget(self, job_id: str) -> None:
        """Close the files of a job that is deleted."""
        for key in [key for key in self._open if key[0] == job_id]:
            os.close(self._open.pop(key).handle)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1].handle)

    @staticmethod
    def read(artefact: Artefact, offset: int, length: int) -> bytes:
        length = max(0, min(length, artefact.size - offset))
        if hasattr(os, "pread"):
            return os.pread(artefact.handle, length, offset)
        os.lseek(artefact.handle, offset, os.SEEK_SET)
        return os.read(artefact.handle, length)
