# SPDX-License-Identifier: Apache-2.0
"""The clients' side of the server: one ROUTER socket, who is who, and what each may cost.

Nothing here blocks and nothing here trusts: a message is decoded within its limits, a peer without
a `hello` is told so, a peer that does not read loses events rather than holding memory.

libzmq has no limit on the parts of one message, and none on what the parts of an unfinished one
hold. A client whose message has too many parts is cut off. Where the server itself would suffer, by
parts without end or by the memory that they hold, the socket is opened anew, which drops everybody.
Honest clients connect again and lose nothing. How many connections there are is the gate's.
"""

from __future__ import annotations

import contextlib
import logging
import socket as system
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq
from msgspec import Struct

from syncam_engine.link import codec, keys, limits
from syncam_engine.link.connection import notice_dead_peers
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import (
    TO_ENGINE,
    ErrorInfo,
    SayHello,
)

from .gate import Gate

LOG = logging.getLogger("syncam.hub")
MAX_SESSIONS = 1024
MAX_STRANGERS = 512
"""Connections whose clients have not said hello."""
PARTS_ANSWERED = 4096
"""A message of more parts than a message has is read to its end and answered with an error; the
sender of one with so many is cut off."""
PARTS_READ = 262_144
"""To read so many keeps the others waiting for as long as a new socket does."""
HEAR_S = 0.1
"""So long, and for one message more, a hub's clients keep the other's and the workers waiting."""
PIPE_BYTES = 512 * 1024
"""What the kernel is asked to hold of an answer on its way over ipc."""
SESSION_SILENCE_S = 60.0


@dataclass(slots=True, kw_only=True)
class Session:
    """One connected client."""

    routing_id: bytes
    owner: str
    name: str
    user_id: str
    """The CURVE public key, or "" on an ipc socket."""
    heard_s: float
    remote: bool = False
    """It came by `--bind`, so its machine may be another."""
    connection: int = -1
    """The system's number of the connection that said hello."""
    dropped: int = 0


Handler = Callable[[Session, Any, list], "Struct | list[tuple[Struct, list]]"]


class Hub:
    """`handle(session, body, buffers)` answers a message with a struct, or with several of them and
    their buffers, or raises `SynCamError`."""

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        handle: Handler,
        trusted_keys: Callable[[], set[str]] = set,
        *,
        most_sessions: int = MAX_SESSIONS,
        most_strangers: int = MAX_STRANGERS,
        remote: bool = False,
    ) -> None:
        """`trusted_keys` says which CURVE keys may be here now; the handshake asked it before.
        `remote`: the address is `--bind`'s, for clients on other machines."""
        self._remote = remote
        self._context, self._handle = context, handle
        self._most_sessions, self._most_strangers = most_sessions, most_strangers
        self._trusted_keys = trusted_keys
        self.counts: Counter[str] = Counter()
        self.sessions: dict[bytes, Session] = {}
        self.server_key = ""
        self._too_much = ""
        self._open(address)

    def _open(self, address: str) -> None:
        socket = self.socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.router_mandatory = 1
        socket.sndhwm, socket.rcvhwm = limits.HIGH_WATER_SEND, limits.HIGH_WATER_RECEIVE
        socket.maxmsgsize = limits.MAX_FRAME_BYTES
        socket.handshake_ivl = 5_000
        notice_dead_peers(socket)
        socket.backlog = 512
        is_tcp = address.startswith("tcp://")
        if self._context.get(zmq.IO_THREADS) > 1:
            # A flood from afar keeps no local client waiting.
            socket.affinity = 2 if self._remote else 1
        self._gate = Gate(socket, self._most_strangers, is_tcp=is_tcp)
        self._has_curve = is_tcp
        if is_tcp:
            pair = keys.own_pair("engine")
            self.server_key = pair.public
            socket.curve_server = 1
            socket.curve_secretkey = pair.secret.encode("ascii")
            socket.zap_domain = b"clients"
        socket.bind(address)
        self.address = socket.last_endpoint.decode().rstrip("\0")

    def close(self) -> None:
        self._gate.stop()
        self.socket.close(linger=0)

    def drop_all(self, why: str) -> None:
        """Open the socket anew before the next message is read."""
        self._too_much = why

    @property
    def is_flooded(self) -> bool:
        """Whether `drop_all` asked for `shut` and `reopen`."""
        return bool(self._too_much)

    def shut(self) -> None:
        """Cut everybody off; nobody comes in before `reopen`."""
        LOG.warning("every client is cut off: %s", self._too_much)
        self._too_much = ""
        self.sessions.clear()
        # An ipc listener deletes its file when it closes; the next one must not come before.
        self._gate.listener_closed.clear()
        self.socket.unbind(self.address)
        self._gate.listener_closed.wait(1.0)
        self.close()

    def reopen(self) -> None:
        """Listen again where it did; `socket` is another one now."""
        self._open(self.address)

    def hear(self, most: int = 64) -> None:
        """Answer what has come, a bounded number and time at once: workers are heard as well, and
        the other hub's clients. A message may hold so much that it takes a while to refuse."""
        end_s = time.monotonic() + HEAR_S
        for _ in range(most):
            if time.monotonic() > end_s:
                return
            frames = self._receive()
            if frames is None:
                return
            if frames:
                self._answer(frames[0].bytes, frames[-1], [f.buffer for f in frames[1:]])

    def _receive(self) -> list[zmq.Frame] | None:
        """One message's parts, the routing id first; None where none has come, nothing of one that
        is not to be answered."""
        if self._too_much:
            return None
        try:
            part = self.socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        frames, count = [part], 1
        while part.more and count <= PARTS_READ:
            part = self.socket.recv(copy=False)
            count += 1
            if len(frames) < 4 + limits.MAX_BUFFERS:  # enough to see that it is too many
                frames.append(part)
        if part.more:
            self.drop_all(f"a message has more than {PARTS_READ} parts")
            return []
        if count > PARTS_ANSWERED:
            self._cut_off(frames[0].bytes, part, f"a message of {count - 1} parts")
            return []
        return frames

    def _cut_off(self, routing_id: bytes, part: zmq.Frame, why: str) -> None:
        """End the connection that `part` came by; its client is a stranger when it is back."""
        session = self._forget(routing_id)
        LOG.warning("%s is cut off: %s", session.name if session else "a stranger", why)
        _to_connection(part, lambda connection: connection.shutdown(system.SHUT_RDWR))

    def publish(self, owner: str, body: Struct, job_id: str) -> None:
        """Send an event to every client of its owner; one that does not read misses it."""
        for session in [s for s in self.sessions.values() if s.owner == owner]:
            if not self._send(session.routing_id, codec.encode(body, job=job_id)):
                session.dropped += 1

    def forget_revoked(self) -> None:
        """A key that is revoked while its connection is open gets no further."""
        if not any(session.user_id for session in self.sessions.values()):
            return
        trusted = self._trusted_keys()
        for routing_id, session in list(self.sessions.items()):
            if session.user_id and session.user_id not in trusted:
                LOG.warning("%s is not trusted any more", session.name)
                self._forget(routing_id)

    def forget_silent(self) -> None:
        """Sessions are cheap, and gone clients say nothing: a client that lives says `sync`."""
        oldest_s = time.monotonic() - SESSION_SILENCE_S
        for routing_id in [k for k, s in self.sessions.items() if s.heard_s < oldest_s]:
            self._forget(routing_id)

    def _forget(self, routing_id: bytes) -> Session | None:
        """Its client is a stranger from now on, though its connection may stay."""
        session = self.sessions.pop(routing_id, None)
        if session is not None:
            self._gate.dismiss(session.connection)
        return session

    def _answer(self, routing_id: bytes, part: zmq.Frame, frames: list) -> None:
        """`part` is the one that knows whence the message came."""
        message_id = job_id = ""
        try:
            if len(frames) > 2 + limits.MAX_BUFFERS:
                raise SynCamError(
                    "message.too_large",
                    f"The message has {len(frames)} frames, more than {2 + limits.MAX_BUFFERS}.",
                    value=len(frames),
                    nearest=2 + limits.MAX_BUFFERS,
                )
            header = codec.decode_header(frames)
            message_id, job_id = header.id, header.job
            message = codec.decode(frames, TO_ENGINE)
            self.counts[header.type] += 1
            session = self._session(routing_id, part, message.body)
            answer = self._handle(session, message.body, message.buffers)
        except SynCamError as error:
            self.counts["error"] += 1
            LOG.info("refused: %s", error, extra={"code": error.code, "job": job_id or None})
            answer = codec.error_info(error)
        except Exception:  # the server outlives its own faults; the client is told
            LOG.exception("fault while answering", extra={"job": job_id or None})
            sentence = "The engine made a mistake with this message; its log says more."
            answer = ErrorInfo(code="engine.fault", sentence=sentence)
        for body, buffers in answer if isinstance(answer, list) else [(answer, [])]:
            frames = codec.encode(body, parent=message_id, job=job_id, buffers=buffers)
            self._send(routing_id, frames)

    def _session(self, routing_id: bytes, part: zmq.Frame, body: Any) -> Session:
        session = self.sessions.get(routing_id)
        # Without CURVE nobody vouches for it: a peer may write into its own greeting what it likes.
        user_id = _user_id(part) if self._has_curve else ""
        if isinstance(body, SayHello):
            if user_id and user_id not in self._trusted_keys():
                raise SynCamError(
                    "keys.refused",
                    "The key of this client is not trusted here any more.",
                    fix="On the engine's machine: syncam keys trust NAME PUBLIC-KEY",
                )
            if session is None and len(self.sessions) >= self._most_sessions:
                self.forget_silent()
                if len(self.sessions) >= self._most_sessions:
                    raise SynCamError(
                        "quota.clients",
                        f"{self._most_sessions} clients are connected; there is no room for more.",
                        nearest=self._most_sessions,
                    )
            session = Session(
                routing_id=routing_id,
                owner=f"key:{user_id}" if user_id else f"local:{body.client_id}",
                name=body.client_name or "a client",
                user_id=user_id,
                heard_s=0.0,
                remote=self._remote,
                connection=_handle_of(part),
            )
            self.sessions[routing_id] = session
            self._gate.admit(session.connection)
            self._widen(part)
        if session is None or session.user_id != user_id:
            raise SynCamError("hello.first", "Say hello first.", fix="Send `hello`")
        session.heard_s = time.monotonic()
        return session

    def _widen(self, part: zmq.Frame) -> None:
        """Have a local connection hold more at once, so that a result wakes both sides less often.
        libzmq has an option for it, and heeds it for TCP alone, which finds its own measure."""
        if self.address.startswith("ipc://"):
            option = (system.SOL_SOCKET, system.SO_SNDBUF, PIPE_BYTES)
            _to_connection(part, lambda connection: connection.setsockopt(*option))

    def _send(self, routing_id: bytes, frames: list) -> bool:
        try:
            # Chunks go out without a copy; small frames are cheaper copied.
            self.socket.send(routing_id, zmq.NOBLOCK | zmq.SNDMORE)
            for frame in frames[:-1]:
                self.socket.send(frame, zmq.NOBLOCK | zmq.SNDMORE)
            last = frames[-1]
            self.socket.send(last, zmq.NOBLOCK, copy=len(last) < 65536)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                self._forget(routing_id)
            elif error.errno != zmq.EAGAIN:
                LOG.warning("cannot send: %s", error)
            return False
        return True


def _user_id(frame: zmq.Frame) -> str:
    """The CURVE public key that the socket vouches for, or ""."""
    try:
        return frame.get("User-Id")
    except zmq.ZMQError:
        return ""


def _handle_of(part: zmq.Frame) -> int:
    """The system's number of the connection that a message came by, or -1."""
    try:
        return part.get(zmq.SRCFD)
    except zmq.ZMQError:
        return -1


def _to_connection(part: zmq.Frame, change: Callable[[system.socket], None]) -> None:
    """Do something to the system's socket that a message came by.

    It may have been closed since: then it fails, and nothing comes of that. Should its number have
    gone to another client by now, that one connects again.
    """
    handle = _handle_of(part)
    if handle < 0:
        return
    with (
        contextlib.suppress(OSError),
        system.fromfd(handle, system.AF_INET, system.SOCK_STREAM) as connection,
    ):
        change(connection)
