# SPDX-License-Identifier: Apache-2.0
"""How many connections a listening socket may hold, of clients that are let in and of strangers.

libzmq accepts whoever comes, has no limit of its own, and ends the process where a local client
comes and no file is left. So each hub has a gate: a connection waits until its client has said
`hello` and was let in; only so many may wait, and for one more the oldest is cut off, of the
address that has most of them: a flood does not push out who comes from elsewhere.

The gate hears of connections by libzmq's monitor, in a thread of its own. libzmq's thread, which
accepts them, stops while about a thousand of its news are unread. However fast strangers come, and
however busy this process is, they hold `most_waiting` files and those thousand.
"""

from __future__ import annotations

import contextlib
import logging
import socket as system
import struct
import threading
import uuid
from dataclasses import dataclass
from typing import Any

import zmq

LOG = logging.getLogger("syncam.gate")
NEWS_HELD = 1001
"""Accepted connections of which the gate has not heard yet, at most."""
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_MONITOR_STOPPED


@dataclass(slots=True)
class _Waiting:
    ends: tuple[Any, Any]
    """Both ends' addresses: a number that names another connection by now has others."""
    origin: str


class Gate:
    """Watches `socket`, which listens at an `ipc` or `tcp` address soon. `stop()` comes before its
    end."""

    def __init__(self, socket: zmq.Socket, most_waiting: int, *, is_tcp: bool) -> None:
        self.most_waiting = most_waiting
        self.cut = 0
        self.listener_closed = threading.Event()
        self._family = system.AF_INET if is_tcp else getattr(system, "AF_UNIX", system.AF_INET)
        self._waiting: dict[str, dict[int, _Waiting]] = {}
        """By origin, then by the system's number, oldest first."""
        self._admitted: dict[int, _Waiting] = {}
        self._let_in: dict[int, tuple[Any, Any]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._socket = socket
        address = f"inproc://gate-{uuid.uuid4().hex}"
        socket.monitor(address, _EVENTS)
        self._news = socket.context.socket(zmq.PAIR)
        self._news.linger, self._news.rcvhwm = 0, 1
        self._news.connect(address)
        self._thread = threading.Thread(target=self._watch, name="gate", daemon=True)
        self._thread.start()

    def admit(self, handle: int) -> None:
        """The client of this connection is let in: it is not cut off."""
        with contextlib.suppress(OSError), self._connection(handle) as connection:
            ends = _ends(connection)
            with self._lock:
                self._let_in[handle] = ends  # before the gate has heard of it, it may be
                one = self._take(handle)
                if one is not None and one.ends == ends:
                    self._admitted[handle] = one

    def dismiss(self, handle: int) -> None:
        """Its client is a stranger again."""
        with self._lock:
            self._let_in.pop(handle, None)
            one = self._admitted.pop(handle, None)
            if one is not None:
                self._put(handle, one)

    def stop(self) -> None:
        self._socket.disable_monitor()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            try:
                event, handle = struct.unpack("=Hi", self._news.recv_multipart()[0])
                if event == zmq.EVENT_MONITOR_STOPPED:
                    break
                if event == zmq.EVENT_CLOSED:
                    self.listener_closed.set()
                elif event == zmq.EVENT_ACCEPTED:
                    self._accepted(handle)
                else:
                    self._gone(handle)
            except zmq.ZMQError:
                break
            except Exception:  # unread news would stop libzmq's thread
                LOG.exception("fault at the gate")
        self._news.close(linger=0)

    def _accepted(self, handle: int) -> None:
        with contextlib.suppress(OSError), self._connection(handle) as connection:
            ends = _ends(connection)
            with self._lock:
                self._take(handle)
                one = _Waiting(ends, str(ends[1][0]) if ends[1] else "")
                if self._let_in.get(handle) == ends:
                    self._admitted[handle] = one
                    return
                self._admitted.pop(handle, None)
                self._let_in.pop(handle, None)
                self._put(handle, one)
        while True:
            with self._lock:
                if self._count <= self.most_waiting:
                    return
                oldest = next(iter(max(self._waiting.values(), key=len)))
                one = self._take(oldest)
            self._cut_off(oldest, one)

    def _gone(self, handle: int) -> None:
        with self._lock:
            one = self._take(handle) or self._admitted.pop(handle, None)
            if one is not None and self._let_in.get(handle) == one.ends:
                del self._let_in[handle]

    def _cut_off(self, handle: int, one: _Waiting) -> None:
        self.cut += 1
        if self.cut & (self.cut - 1) == 0:  # a flood must not fill the log
            where = f" from {one.origin}" if one.origin else ""
            LOG.warning(
                "more than %d connections wait to be let in: the oldest%s is cut off (%d so far)",
                *(self.most_waiting, where, self.cut),
            )
        with contextlib.suppress(OSError), self._connection(handle) as connection:
            if _ends(connection) == one.ends:
                connection.shutdown(system.SHUT_RDWR)

    def _connection(self, handle: int) -> system.socket:
        return system.fromfd(handle, self._family, system.SOCK_STREAM)

    def _put(self, handle: int, one: _Waiting) -> None:
        self._waiting.setdefault(one.origin, {})[handle] = one
        self._count += 1

    def _take(self, handle: int) -> _Waiting | None:
        for origin, crowd in self._waiting.items():
            one = crowd.pop(handle, None)
            if one is not None:
                self._count -= 1
                if not crowd:
                    del self._waiting[origin]
                return one
        return None


def _ends(connection: system.socket) -> tuple[Any, Any]:
    return connection.getsockname(), connection.getpeername()
