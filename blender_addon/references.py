# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip that a reference job followed, for running the job again: that one, not the one that is
set now.

The job's record holds its SHA-256 and, where it was a file, its path. The engine keeps what it was
sent by content for a week after the last job that used it. Pure: no bpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest

from .jobs import JobRecord

PIECE_BYTES = 4 * 2**20
"""Read in one tick: a few milliseconds."""


def clips_again(record: JobRecord, request: GenerateRequest) -> Iterator[None]:
    """Return what to send so that `request` follows the clip that `record` followed: its file where
    that is still the same, else nothing, and the digest is in `request.inputs` for the engine to
    take what it has kept. Yields while the file is read. Raises SynCamError "reference.gone"."""
    digest = next(iter(record.request.get("inputs", ())), "")
    path = Path(record.reference) if record.reference else None
    is_there = path is not None and path.is_file()
    # A job that ended before it was sent has no digest: its file is all there is to go by.
    if is_there and (not digest or digest == (yield from _digest_of(path))):
        return [path]
    if not digest:
        raise SynCamError("reference.gone", record.inputs_gone, fix="Choose a reference")
    request.inputs = [digest]
    return []


def _digest_of(path: Path) -> Iterator[None]:
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            sha.update(piece)
            yield
    return sha.hexdigest()
