# SPDX-License-Identifier: Apache-2.0
"""Files over the wire, a bounded piece at a time, so that a host's tick stays short.

An `Outgoing` file is first read for its digest, then sent in order on credit. An `Incoming` one is
asked for on credit, checked against its digest, and appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from . import limits
from .arrival import Arrival
from .errors import SynCamError
from .messages import Chunk, ClipResult, Fetch, Upload, UploadState

_ASK_AGAIN_S = 0.05
_MOST_STALLS = 12
"""In a row, of `RESEND_AFTER_S` each, before a fetch from an engine that is there is given up."""


class _Stalls:
    """Notices that a transfer has not moved for a while although something is under way."""

    def __init__(self) -> None:
        self._moved_s = time.monotonic()

    def _moved(self) -> None:
        self._moved_s = time.monotonic()

    def _still_s(self) -> float:
        return time.monotonic() - self._moved_s

    def is_stalled(self) -> bool:
        return self._still_s() > limits.RESEND_AFTER_S


class Outgoing(_Stalls):
    """One input on its way to the engine. Source: a path, or the bytes themselves."""

    def __init__(self, source: Path | str | bytes) -> None:
        super().__init__()
        self._file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else _open(source)
        self.size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        self._name = "" if isinstance(source, bytes) else source
        self._sha = hashlib.sha256()
        self._hashed = 0
        self.digest = ""
        self.sent = self.received = 0
        self.complete = False
        if not 0 < self.size <= limits.MAX_UPLOAD_BYTES:
            raise SynCamError(
                "input.size",
                f"The input clip {self._name} has "
                f"{self.size} bytes; 1 to {limits.MAX_UPLOAD_BYTES} can be sent.",
                value=self.size,
                nearest=limits.MAX_UPLOAD_BYTES if self.size else 1,
            )

    def hash_piece(self) -> bool:
        """Read one piece for the digest; True when the digest is there."""
        if self.digest:
            return True
        piece = self._read(self._hashed, limits.CHUNK_BYTES // 2)
        self._hashed += len(piece)
        self._sha.update(piece)
        if self._hashed == self.size:
            self.digest = self._sha.hexdigest()
        return bool(self.digest)

    def next_chunk(self) -> tuple[Upload, bytes] | None:
        """The next chunk to send, or None while the credit is used up or all is sent.

        The engine may have it all and not yet on its disk: then the last chunk asks again.
        """
        if self.received >= self.size and not self.complete and self._still_s() > _ASK_AGAIN_S:
            self.sent = (self.size - 1) // limits.CHUNK_BYTES * limits.CHUNK_BYTES
            return self._chunk()
        used = (self.sent - self.received) // limits.CHUNK_BYTES
        if self.complete or self.sent >= self.size or used >= limits.UPLOAD_CREDIT_CHUNKS:
            return None
        return self._chunk()

    def _read(self, offset: int, most: int) -> bytes:
        """Read what is left, up to `most` bytes. Raises `SynCamError` "input.*" for a file that can
        not be read any more, or became shorter."""
        wanted = min(most, self.size - offset)
        try:
            self._file.seek(offset)
            piece = self._file.read(wanted)
        except OSError as error:
            raise SynCamError(
                "input.unreadable", f"The input clip {self._name} cannot be read: {error.strerror}."
            ) from error
        if len(piece) < wanted:
            raise SynCamError(
                "input.changed",
                f"The input clip {self._name} became shorter while it was sent.",
                fix="Send the job again once the file is written",
            )
        return piece

    def _chunk(self) -> tuple[Upload, bytes]:
        piece = self._read(self.sent, limits.CHUNK_BYTES)
        call = Upload(digest=self.digest, size=self.size, offset=self.sent)
        self.sent += len(piece)
        self._moved()
        return call, piece

    def acknowledge(self, state: UploadState) -> None:
        """The engine says how far it is; a smaller number than expected means: again from there."""
        received = min(max(state.received, 0), self.size)
        if received < self.received:
            self.sent = received
        self.received = received
        self._moved()
        self.complete = state.complete
        if self.complete:
            self._file.close()

    def restart(self) -> None:
        """A new connection: what was under way is sent again from what was acknowledged."""
        self.sent = self.received
        self._moved()


class Incoming(_Stalls, Arrival):
    """One artefact on its way to a file of the client's own choice.

    What arrives is digested and written by two threads side by side, so that neither holds up the
    host's tick or the next chunk.
    """

    def __init__(self, job_id: str, clip: ClipResult, target: Path) -> None:
        _Stalls.__init__(self)
        Arrival.__init__(self, job_id, clip, target)
        self._file: BinaryIO | None = None
        self._sha = hashlib.sha256()
        self._lanes: list[_Lane] = []
        self._ahead: dict[int, bytes | memoryview] = {}
        self._ahead_bytes = 0
        self._stalls = 0
        self.asked = self.arrived = 0
        # glibc returns freed memory above twice the largest block that was ever freed, and a
        # process pays for it page by page when it takes it again. Chunks come and go by the
        # hundred: one block of their credit, never touched and freed, keeps theirs at hand.
        bytes(limits.CREDIT_BYTES)

    @property
    def written(self) -> int:
        """Bytes that are digested and written."""
        return min((lane.done_bytes for lane in self._lanes), default=0)

    @property
    def is_busy(self) -> bool:
        """There is something to be dealt with that has arrived."""
        return self.written < self.arrived

    @property
    def complete(self) -> bool:
        return self.written >= self.clip.bytes

    def next_call(self) -> Fetch | None:
        """The next part to ask for, or None while the credit is used up or all is asked for."""
        ahead = self.asked - self.written
        if self.asked >= self.clip.bytes or ahead + limits.FETCH_BYTES > limits.CREDIT_BYTES:
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

    def take(self, chunk: Chunk, data: bytes | memoryview) -> None:
        """Take a chunk; one that is early waits for its turn.

        Raises `OSError` when no file can be made, `SynCamError` "fetch.unasked" for bytes that were
        not asked for: what is held is never more than that.
        """
        offset, end = chunk.offset, chunk.offset + len(data)
        is_of_clip = (chunk.digest, chunk.size) == (self.clip.digest, self.clip.bytes)
        if not is_of_clip or offset < 0 or not data:
            raise self._unasked(f"{len(data)} bytes at {offset} of {chunk.size}")
        if end <= self.arrived:
            return  # Asked for twice, since its first answer was late.
        if end > self.asked:
            raise self._unasked(f"bytes up to {end}, {self.asked} were asked for")
        if offset != self.arrived:
            if offset < self.arrived or self._ahead_bytes + len(data) > self.asked - self.arrived:
                raise self._unasked(f"{len(data)} bytes at {offset} that overlap others")
            if offset not in self._ahead:
                self._ahead[offset] = data
                self._ahead_bytes += len(data)
            return
        if self._file is None:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._part, "wb", buffering=0)  # noqa: SIM115
            self._lanes = [_Lane(self._sha.update), _Lane(self._write)]
        self._pass_on(data)
        while self.arrived in self._ahead:
            early = self._ahead.pop(self.arrived)
            self._ahead_bytes -= len(early)
            self._pass_on(early)

    def finish(self) -> Path | None:
        """Once all is written, check the digest and give the file its name; None before that.

        Raises `OSError` for a disk that does not take it, `SynCamError` "fetch.*".
        """
        for lane in self._lanes:
            if lane.error is not None:
                raise lane.error
        if not self.complete:
            return None
        if self._file is None:
            raise SynCamError("fetch.empty", f"The clip of {self.clip.camera} has no bytes.")
        self._end_lanes()
        self._file.close()
        return self._accept(self._sha.hexdigest())

    def abandon(self) -> None:
        self._end_lanes()
        if self._file is not None:
            self._file.close()
        self._part.unlink(missing_ok=True)

    def restart(self) -> None:
        """A new connection, or no answer for long: what is missing is asked for again."""
        self.asked = self.arrived
        self._moved()
        self._ahead.clear()
        self._ahead_bytes = 0

    def note_stall(self) -> None:
        """Count a stall. Raises `SynCamError` "fetch.stalled" after many without a byte."""
        self._stalls += 1
        if self._stalls >= _MOST_STALLS:
            seconds = self._stalls * limits.RESEND_AFTER_S
            raise SynCamError(
                "fetch.stalled",
                f"The engine has sent nothing of the clip of {self.clip.camera} for {seconds:g} s.",
                fix="Fetch it again",
            )

    def _pass_on(self, data: bytes | memoryview) -> None:
        self.arrived += len(data)
        self._stalls = 0
        for lane in self._lanes:
            lane.give(data)
        self._moved()

    def _write(self, data: bytes | memoryview) -> None:
        while data:
            data = memoryview(data)[self._file.write(data) :]

    def _unasked(self, what: str) -> SynCamError:
        return SynCamError(
            "fetch.unasked",
            f"The engine sent what was not asked for of the clip of {self.clip.camera}: {what}.",
            fix="Fetch it again",
        )

    def _end_lanes(self) -> None:
        for lane in self._lanes:
            lane.end()


class _Lane:
    """A thread that does one thing to each piece, in order, until it is ended or fails."""

    def __init__(self, work: Callable[[bytes | memoryview], object]) -> None:
        self.done_bytes = 0
        self.error: OSError | None = None
        self._work = work
        self._pieces: queue.SimpleQueue[bytes | memoryview | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="syncam-fetch", daemon=True)
        self._thread.start()

    def give(self, piece: bytes | memoryview) -> None:
        self._pieces.put(piece)

    def end(self) -> None:
        """Leave what is left; waits for the piece that is under way."""
        self._ended = True
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None and not self._ended:
            try:
                self._work(piece)
            except OSError as error:
                self.error = error
                return
            self.done_bytes += len(piece)


def _open(path: Path | str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise SynCamError(
            "input.unreadable", f"The input clip {path} cannot be read: {error.strerror}."
        ) from error
