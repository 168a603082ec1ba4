# SPDX-License-Identifier: Apache-2.0
"""The socket under a client: connects in the background, notices at once when the engine goes.

On this machine it speaks only with an engine of its own user: the socket's file and folder are
looked at before each connection, and the system is asked whose process is at the other end before
anything is sent or read. Over TCP the engine's public key does that.
"""

from __future__ import annotations

import os
import socket as system
import struct
import time
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from . import keys, limits
from .endpoint import Endpoint, local_endpoint, parse_endpoint, user_state_dir
from .errors import SynCamError
from .owners import is_own_socket, peer_uid

_LOOK_S = 0.1
_REFUSED = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_FAILED = {int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL), int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)}
_FAILURES_THAT_COUNT = 3
"""A handshake that breaks off may be a busy machine; so many in a row are a wrong key."""

_TCP_INFO_BYTES = 136
"""Of Linux's `tcp_info`, up to and with `tcpi_bytes_received`."""
_MOST_BESIDE_FRAME_BYTES = 64
"""What encryption and framing add to a frame, and more."""


class Connection:
    """A DEALER socket that never blocks. `up` is True while the other side has shaken hands."""

    def __init__(self, endpoint: Endpoint | str | None, state_dir: Path | None) -> None:
        self._wanted = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self.state_dir = state_dir or user_state_dir()
        self._endpoint: Endpoint | None = None
        self._context = zmq.Context(io_threads=1)
        self._socket: zmq.Socket | None = None
        self._monitor: zmq.Socket | None = None
        self._next_look_s = 0.0
        self._failures = 0
        self._handle = -1
        self._read_bytes = 0
        self._proven = False
        """Whether it is known that the other side is no other user of this machine."""
        self.up = False
        self.problem: SynCamError | None = None
        """Why there is nothing here to connect to, where that is not that no engine runs."""
        if self._wanted is not None and self._wanted.socket is None:
            self._connect(self._wanted)

    @property
    def is_local(self) -> bool:
        """Whether the engine is looked for in `state_dir`, not named by an address."""
        return self._wanted is None

    @property
    def address(self) -> str:
        endpoint = self._endpoint or self._wanted
        return endpoint.address if endpoint else ""

    def follow(self) -> Literal["up", "down", "flooded"] | SynCamError | None:
        """What became of the connection since the last call: one change at a time, or None."""
        if not self.up:
            self._look_for_engine()
        if self._unread_bytes() > limits.MAX_UNREAD_BYTES:
            self.begin_anew()
            return "flooded"
        while self._monitor is not None and self._monitor.events & zmq.POLLIN:
            told = recv_monitor_message(self._monitor, zmq.NOBLOCK)
            event = told["event"]
            if event == zmq.EVENT_CONNECTED:
                self._handle, self._read_bytes = told["value"], 0
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.up, self._failures, self.problem = True, 0, None
                return "up"
            if self._endpoint.socket is not None:
                if event != zmq.EVENT_CONNECTED or not self._prove(told["value"]):
                    # What is at the path is looked at anew: it may be another's now.
                    was_up = self.up
                    self._drop_socket()
                    if was_up:
                        return "down"
                continue
            if event == zmq.EVENT_DISCONNECTED and self.up:
                self.up = False
                return "down"
            self._failures += event in _FAILED
            if event == _REFUSED or self._failures >= _FAILURES_THAT_COUNT:
                self._failures = 0
                return SynCamError(
                    "keys.refused",
                    f"The engine at {self.address} refuses this client, or has another key.",
                    fix="On the engine's machine: syncam keys trust NAME PUBLIC-KEY",
                )
        return None

    def send(self, frames: list[Any]) -> bool:
        """Send now or not at all; False when there is no connection or it is full."""
        if self._socket is None or not self.up:
            return False
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """Return the frames of one message, large ones as views without a copy, or None.

        A message of more parts than any has ends the connection, unread: a new one is made.
        """
        if self._socket is None or not self._proven:
            return None
        try:
            frames = [self._socket.recv(zmq.NOBLOCK, copy=False)]
            while frames[-1].more:
                if len(frames) == 2 + limits.MAX_BUFFERS:
                    self.begin_anew()
                    return None
                frames.append(self._socket.recv(zmq.NOBLOCK, copy=False))
        except zmq.Again:
            return None
        self._read_bytes += sum(len(frame) + _MOST_BESIDE_FRAME_BYTES for frame in frames)
        return [frame.bytes if k < 2 else frame.buffer for k, frame in enumerate(frames)]

    def begin_anew(self) -> None:
        """Leave this connection, with all that the socket holds of it, for a new one.

        The socket shows a message once all its parts are there, and holds them until then, without
        a limit. An engine that sends parts without end is left when too much is unread, where the
        system tells that, and else when it has been silent for too long.
        """
        if self._endpoint is not None:
            self._drop_socket()
            self._open(self._endpoint)

    def sleep(self, seconds: float) -> None:
        """Wait for anything to happen on the socket."""
        if self._socket is None:
            time.sleep(min(seconds, _LOOK_S))
        else:
            self._poller.poll(seconds * 1000)

    def close(self) -> None:
        self._drop_socket()
        self._context.destroy(linger=0)

    def _look_for_engine(self) -> None:
        """The local engine's address may change when it starts again (a loopback port does)."""
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + _LOOK_S
        try:
            endpoint = self._wanted or local_endpoint(self.state_dir)
        except SynCamError as error:
            self.problem = error
            self._drop_socket()
            return
        if endpoint is None:
            self.problem = None
        elif self._socket is None or endpoint != self._endpoint:
            self._drop_socket()
            self._open(endpoint)

    def _open(self, endpoint: Endpoint) -> None:
        """Connect where that can be done; `problem` says why not."""
        try:
            self._connect(endpoint)
        except SynCamError as error:
            self.problem = error

    def _prove(self, handle: int) -> bool:
        """Whether this user's process is at the other end of a connection over ipc."""
        try:
            uid = peer_uid(handle)
        except OSError:
            return False  # it is closed again
        if uid in (None, os.getuid()):
            self._proven = True
            return True
        self.problem = SynCamError(
            "engine.not_own",
            f"The engine at {self.address} is a process of another user (uid {uid}).",
            value=uid,
            fix="End it, then start the engine as yourself",
        )
        return False

    def _connect(self, endpoint: Endpoint) -> None:
        over_tcp = endpoint.address.startswith("tcp://")
        if over_tcp:
            pair, server_key = keys.own_pair("client"), _server_key(endpoint)
        if endpoint.socket is not None and not is_own_socket(endpoint.socket):
            return
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        # With IMMEDIATE nothing is queued for an engine that is not there: a call either reaches
        # a live connection or is sent again by the client.
        socket.immediate = 1
        socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 1000
        socket.sndhwm, socket.rcvhwm = 256, limits.HIGH_WATER_CLIENT
        socket.maxmsgsize = limits.MAX_FRAME_BYTES
        notice_dead_peers(socket)
        if over_tcp:
            socket.curve_serverkey = server_key.encode("ascii")
            socket.curve_publickey = pair.public.encode("ascii")
            socket.curve_secretkey = pair.secret.encode("ascii")
        watched = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        watched |= _REFUSED | sum(_FAILED)
        self._proven = endpoint.socket is None
        if not self._proven:
            socket.reconnect_ivl = -1  # each connection is to a socket that was looked at
            watched |= zmq.EVENT_CLOSED
        self._monitor = socket.get_monitor_socket(watched)
        self._monitor.linger = 0
        socket.connect(endpoint.address)
        self._socket, self._endpoint = socket, endpoint
        self._poller = zmq.Poller()
        for one in (socket, self._monitor):
            self._poller.register(one, zmq.POLLIN)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=0)
        self._socket = self._monitor = None
        self.up = self._proven = False
        self._handle = -1

    def _unread_bytes(self) -> int:
        """What has come over the network and was not read; 0 where the system does not tell."""
        if self._handle < 0 or not hasattr(system, "TCP_INFO"):
            return 0
        try:
            with system.fromfd(self._handle, system.AF_INET, system.SOCK_STREAM) as connection:
                facts = connection.getsockopt(system.IPPROTO_TCP, system.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:  # an ipc socket, or one that is closed already
            return 0
        if len(facts) < _TCP_INFO_BYTES:
            return 0
        (received,) = struct.unpack_from("=Q", facts, _TCP_INFO_BYTES - 8)
        self._read_bytes = min(self._read_bytes, received)
        return received - self._read_bytes


def notice_dead_peers(socket: zmq.Socket) -> None:
    """Have the system find out that the machine at the other end is gone.

    libzmq's own heartbeats would do it, but end the process (`!_io_error`) when one is due on a
    connection that the other side has closed while what it sent waits to be read.
    """
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 10, 10, 3


def _server_key(endpoint: Endpoint) -> str:
    """The engine's public key: from the address, or the trusted engine named after its host."""
    if endpoint.server_key:
        return endpoint.server_key
    known = keys.trusted("engine")
    host = endpoint.address.removeprefix("tcp://").rpartition(":")[0]
    if host in known:
        return known[host]
    if len(known) == 1:
        return next(iter(known.values()))
    raise SynCamError(
        "keys.engine_unknown",
        f"The public key of the engine at {endpoint.address} is not known here.",
        value=endpoint.address,
        fix=f"syncam keys trust --engine {host} PUBLIC-KEY",
    )
