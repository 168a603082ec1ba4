# SPDX-License-Identifier: Apache-2.0
"""The calls that carry a client's files, and which file each answer belongs to.

An `Outgoing` or `Incoming` file knows how far it is; here its chunks become messages, what comes
back finds its file, and what was not answered is asked again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import codec
from .arrival import LocalCopy
from .connection import Connection
from .errors import SynCamError
from .events import Fetched, Reply
from .messages import Chunk, ClipResult, ErrorInfo, UploadState, new_id
from .transfer import Incoming, Outgoing


class FileCalls:
    """The files of one client. What comes of a fetch is put into `events`."""

    def __init__(self, connection: Connection, events: deque[Any]) -> None:
        self._connection = connection
        self._events = events
        self._fetches: dict[str, Incoming] = {}
        self._copies: dict[str, LocalCopy] = {}
        self._calls: dict[str, Incoming | Outgoing] = {}

    @property
    def is_busy(self) -> bool:
        """There is something to be dealt with that has arrived."""
        return bool(self._copies) or any(f.is_busy for f in self._fetches.values())

    def fetch(self, job_id: str, clip: ClipResult, source: Path | None, target: Path) -> str:
        """Begin to bring a clip into the file `target`, from the file `source` where there is one;
        `Fetched` or `Reply` follows."""
        if source is not None:
            copy = LocalCopy(job_id, clip, source, target)
            self._copies[copy.message_id] = copy
            return copy.message_id
        incoming = Incoming(job_id, clip, target)
        self._fetches[incoming.message_id] = incoming
        return incoming.message_id

    def end_fetch(self, arrival: Incoming | LocalCopy, error: ErrorInfo) -> None:
        self._forget_calls(arrival)
        found = self._fetches.pop(arrival.message_id, None)
        if (found or self._copies.pop(arrival.message_id, None)) is not None:
            arrival.abandon()
            self._events.append(Reply(message_id=arrival.message_id, body=error))

    def advance_copies(self) -> None:
        """Give copies that are whole their names; they need no engine."""
        for copy in list(self._copies.values()):
            if self._finish(copy):
                self._copies.pop(copy.message_id, None)

    def advance_inputs(self, inputs: Sequence[Outgoing], end_s: float) -> bool:
        """Send what may be sent of a job's inputs; False when the time is up. Raises `SynCamError`
        "input.*" for a file that went away or changed meanwhile."""
        for outgoing in inputs:
            self._retry_when_stalled(outgoing)
            while not outgoing.hash_piece():
                if time.monotonic() > end_s:
                    return False
            while (chunk := outgoing.next_chunk()) is not None:
                message_id = new_id()
                self._calls[message_id] = outgoing
                self._connection.send(
                    codec.encode(chunk[0], message_id=message_id, buffers=[chunk[1]])
                )
                if time.monotonic() > end_s:
                    return False
        return True

    def advance_fetches(self) -> None:
        """Ask for what may be asked for, and give files that are whole their names."""
        for incoming in list(self._fetches.values()):
            if self._finish(incoming):
                self._fetches.pop(incoming.message_id, None)
                continue
            if incoming.is_stalled():
                try:
                    incoming.note_stall()
                except SynCamError as error:
                    self.end_fetch(incoming, codec.error_info(error))
                    continue
            self._retry_when_stalled(incoming)
            while (call := incoming.next_call()) is not None:
                message_id = new_id()
                self._calls[message_id] = incoming
                frames = codec.encode(call, message_id=message_id, job=incoming.job_id)
                self._connection.send(frames)

    def take(self, parent: str, body: Chunk | UploadState, buffers: list) -> None:
        """Pass the answer to the call `parent` on to its file."""
        transfer = self._calls.get(parent)
        if isinstance(transfer, Outgoing) and isinstance(body, UploadState):
            del self._calls[parent]
            transfer.acknowledge(body)
        elif isinstance(transfer, Incoming) and isinstance(body, Chunk):
            try:
                transfer.take(body, buffers[0] if buffers else b"")
            except OSError as error:
                self.end_fetch(transfer, _cannot_write(transfer, error))
            except SynCamError as error:
                self.end_fetch(transfer, codec.error_info(error))

    def refused(self, parent: str) -> Incoming | Outgoing | None:
        """The file that the call `parent` was for, which the engine answered with an error."""
        return self._calls.pop(parent, None)

    def restart(self, inputs: Sequence[Outgoing]) -> None:
        """A new connection: whatever was on its way may not have arrived."""
        self._calls.clear()
        for transfer in [*self._fetches.values(), *inputs]:
            transfer.restart()

    def abandon(self) -> None:
        """Leave all fetches, with nothing half written."""
        for arrival in [*self._fetches.values(), *self._copies.values()]:
            arrival.abandon()

    def _finish(self, arrival: Incoming | LocalCopy) -> bool:
        """Whether a file's way has ended, well or not; that is told then."""
        try:
            path = arrival.finish()
        except OSError as error:
            self.end_fetch(arrival, _cannot_write(arrival, error))
            return True
        except SynCamError as error:
            self.end_fetch(arrival, codec.error_info(error))
            return True
        if path is None:
            return False
        self._forget_calls(arrival)
        self._events.append(
            Fetched(
                message_id=arrival.message_id,
                job_id=arrival.job_id,
                clip=arrival.clip,
                path=str(path),
            )
        )
        return True

    def _retry_when_stalled(self, transfer: Incoming | Outgoing) -> None:
        """An answer may be dropped at a high-water mark: ask again for what has not come."""
        if transfer.is_stalled():
            self._forget_calls(transfer)
            transfer.restart()

    def _forget_calls(self, transfer: Incoming | Outgoing | LocalCopy) -> None:
        """What still comes of a transfer's calls is not for it any more."""
        for message_id in [key for key, item in self._calls.items() if item is transfer]:
            del self._calls[message_id]


def _cannot_write(arrival: Incoming | LocalCopy, error: OSError) -> ErrorInfo:
    sentence = f"{arrival.target} cannot be written: {error.strerror}."
    return ErrorInfo(code="fetch.write", sentence=sentence)
