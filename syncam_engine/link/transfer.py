# SPDX-License-Identifier: Apache-2.0
"""Files over the wire, a bounded piece at a time, so that a host's tick stays short.

An `Outgoing` file is first read for its digest, then sent in order on credit. An `Incoming` one is
asked for on credit, checked against its digest, and appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path
from typing import BinaryIO

from . import limits
from .errors import SynCamError
from .messages import ClipResult, Fetch, Upload, UploadState, new_id


class _Stalls:
    """Notices that a transfer has not moved for a while although something is under way."""

    def __init__(self) -> None:
        self._moved_s = time.monotonic()

    def _moved(self) -> None:
        self._moved_s = time.monotonic()

    def is_stalled(self) -> bool:
        return time.monotonic() - self._moved_s > limits.RESEND_AFTER_S


class Outgoing(_Stalls):
    """One input on its way to the engine. Source: a path, or the bytes themselves."""

    def __init__(self, source: Path | str | bytes) -> None:
        super().__init__()
        self._file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else _open(source)
        self.size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        self._sha = hashlib.sha256()
        self.digest = ""
        self.sent = self.received = 0
        self.complete = False
        if not 0 < self.size <= limits.MAX_UPLOAD_BYTES:
            raise SynCamError(
                "input.size",
                f"The input clip {source if not isinstance(source, bytes) else ''} has "
                f"{self.size} bytes; 1 to {limits.MAX_UPLOAD_BYTES} can be sent.",
                value=self.size,
                nearest=limits.MAX_UPLOAD_BYTES if self.size else 1,
            )

    def hash_piece(self) -> bool:
        """Read one piece for the digest; True when the digest is there."""
        if self.digest:
            return True
        piece = self._file.read(limits.CHUNK_BYTES // 2)
        self._sha.update(piece)
        if not piece:
            self.digest = self._sha.hexdigest()
        return bool(self.digest)

    def next_chunk(self) -> tuple[Upload, bytes] | None:
        """The next chunk to send, or None while the credit is used up or all is sent."""
        used = (self.sent - self.received) // limits.CHUNK_BYTES
        if self.complete or self.sent >= self.size or used >= limits.UPLOAD_CREDIT_CHUNKS:
            return None
        self._file.seek(self.sent)
        piece = self._file.read(limits.CHUNK_BYTES)
        call = Upload(digest=self.digest, size=self.size, offset=self.sent)
        self.sent += len(piece)
        self._moved()
        return call, piece

    def acknowledge(self, state: UploadState) -> None:
        """The engine says how far it is; a smaller number than expected means: again from there."""
        if state.received < self.received:
            self.sent = state.received
        self.received = state.received
        self._moved()
        self.complete = state.complete
        if self.complete:
            self._file.close()

    def restart(self) -> None:
        """A new connection: what was under way is sent again from what was acknowledged."""
        self.sent = self.received
        self._moved()


class Incoming(_Stalls):
    """One artefact on its way to a file of the client's own choice."""

    def __init__(self, job_id: str, clip: ClipResult, target: Path) -> None:
        super().__init__()
        self.message_id = new_id()
        self.job_id, self.clip, self.target = job_id, clip, Path(target)
        self._part = self.target.with_name(f"{self.target.name}.{self.message_id[:8]}.part")
        self._file: BinaryIO | None = None
        self._sha = hashlib.sha256()
        self._ahead: dict[int, bytes] = {}
        self.asked = self.written = 0

    @property
    def complete(self) -> bool:
        return self.written >= self.clip.bytes

    def next_call(self) -> Fetch | None:
        """The next part to ask for, or None while the credit is used up or all is asked for."""
        ahead = self.asked - self.written
        credit = limits.CREDIT_CHUNKS * limits.CHUNK_BYTES
        if self.asked >= self.clip.bytes or ahead + limits.FETCH_BYTES > credit:
            return None
        call = Fetch(
            job_id=self.job_id,
            digest=self.clip.digest,
            offset=self.asked,
            length=min(limits.FETCH_BYTES, self.clip.bytes - self.asked),
        )
        self.asked += call.length
        self._moved()
        return call

    def take(self, offset: int, data: bytes | memoryview) -> None:
        """Write a chunk; one that is early waits for its turn. Raises `OSError` on a full disk."""
        if offset != self.written:
            if self.written < offset < self.asked:
                self._ahead[offset] = bytes(data)
            return
        if self._file is None:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._part, "wb")  # noqa: SIM115
        self._write(data)
        while self.written in self._ahead:
            self._write(self._ahead.pop(self.written))

    def finish(self) -> Path:
        """Close, check the digest and give the file its name."""
        if self._file is None:
            raise SynCamError("fetch.empty", f"The clip of {self.clip.camera} has no bytes.")
        self._file.close()
        if self._sha.hexdigest() != self.clip.digest:
            self._part.unlink(missing_ok=True)
            raise SynCamError(
                "fetch.digest",
                f"The clip of {self.clip.camera} arrived damaged.",
                value=self._sha.hexdigest(),
                nearest=self.clip.digest,
                fix="Fetch it again",
            )
        os.replace(self._part, self.target)
        return self.target

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
        self._part.unlink(missing_ok=True)

    def restart(self) -> None:
        self.asked = self.written
        self._moved()
        self._ahead.clear()

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._sha.update(data)
        self.written += len(data)
        self._moved()


def _open(path: Path | str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise SynCamError(
            "input.unreadable", f"The input clip {path} cannot be read: {error.strerror}."
        ) from error
