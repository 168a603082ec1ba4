# SPDX-License-Identifier: Apache-2.0
"""ZAP: libzmq asks here, at each CURVE handshake, whether a public key may come in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import zmq
from zmq.utils import z85

LOG = logging.getLogger("syncam.door")
HEAR_S = 0.02
MOST_SAID = 20
"""Refused handshakes that the log names in a minute: a flood must not push out the rest."""
_NOT_NOW = b"300"
"""ZAP's "temporary": the client is not told that it is refused, and comes again."""


class Doorkeeper:
    """Answers for the domains that it knows. `allowed` maps a domain to a function that returns
    the public keys (Z85 text) which may come in now; it is asked anew at each handshake, so that a
    key that is revoked is refused from the next one on.

    Every question is answered: after one without an answer libzmq would ask no more, and nobody
    would ever come in again.
    """

    def __init__(self, context: zmq.Context, allowed: dict[bytes, Callable[[], set[str]]]) -> None:
        self._allowed = allowed
        self.refused = self._said = self._unsaid = 0
        self._minute_ends_s = 0.0
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def hear(self) -> None:
        """Answer a bounded time at once: strangers who come without end keep nobody waiting."""
        end_s = time.monotonic() + HEAR_S
        while time.monotonic() < end_s:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self._answer(frames))

    def close(self) -> None:
        self.socket.close(linger=0)

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        version, request_id, *_ = [*frames, b"", b""]
        try:
            code, text, user_id = self._judge(frames)
        except Exception as error:  # the keys cannot be read just now; the next one may come in
            LOG.exception("a handshake cannot be judged: %s", error)
            code, text, user_id = _NOT_NOW, b"The engine cannot read its keys just now.", b""
        return [version, request_id, code, text, user_id, b""]

    def _judge(self, frames: list[bytes]) -> tuple[bytes, bytes, bytes]:
        _version, _request_id, domain, address, _, mechanism, *credentials = frames
        key = ""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            key = z85.encode(credentials[0]).decode("ascii")
        if key and domain in self._allowed and key in self._allowed[domain]():
            return b"200", b"OK", key.encode("ascii")
        self.refused += 1
        self._say_refused(address, mechanism, key)
        return b"400", b"The key is not trusted here.", b""

    def _say_refused(self, address: bytes, mechanism: bytes, key: str) -> None:
        if time.monotonic() >= self._minute_ends_s:
            if self._unsaid:
                LOG.warning("refused %d more handshakes in the minute before", self._unsaid)
            self._minute_ends_s = time.monotonic() + 60.0
            self._said = self._unsaid = 0
        if self._said >= MOST_SAID:
            self._unsaid += 1
            return
        self._said += 1
        LOG.warning(
            "refused a handshake from %s (%s)",
            address.decode("ascii", "replace"),
            mechanism.decode("ascii", "replace"),
            extra={"key": key or None},
        )
