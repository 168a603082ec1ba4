# SPDX-License-Identifier: Apache-2.0
"""ZAP: libzmq asks here, at each CURVE handshake, whether a public key may come in."""

from __future__ import annotations

import logging
from collections.abc import Callable

import zmq
from zmq.utils import z85

LOG = logging.getLogger("syncam.door")
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
        self.refused = 0
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def hear(self) -> None:
        while True:
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
        LOG.warning(
            "refused a handshake from %s (%s)",
            address.decode("ascii", "replace"),
            mechanism.decode("ascii", "replace"),
            extra={"key": key or None},
        )
        return b"400", b"The key is not trusted here.", b""
