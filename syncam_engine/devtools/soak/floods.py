# SPDX-License-Identifier: Apache-2.0
"""Peers that speak ZeroMQ's own protocol by hand, or nothing at all, as many as there may be."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from syncam_engine.link import limits


class RawPeer:
    """A local client without libzmq, which never sends a message that is not finished."""

    def __init__(self, path: str | Path, more: Mapping[str, bytes] | None = None) -> None:
        """`more` are further properties of its greeting."""
        self.raw = socket.socket(socket.AF_UNIX)
        self.raw.settimeout(30)
        self.raw.connect(str(path))
        greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32
        self.raw.sendall(greeting)
        ready = b"\x05READY"
        for name, value in {"Socket-Type": b"DEALER", **(more or {})}.items():
            ready += bytes([len(name)]) + name.encode() + len(value).to_bytes(4, "big") + value
        self.raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
        self._read(64)
        self._read(self._read(2)[1])  # libzmq takes no message before its own words are over
        self.sent = 0

    def send_parts(self, size: int, count: int) -> None:
        """Parts of a message, each of which says that more follow."""
        for _ in range(count):
            self.raw.sendall(b"\x03" + size.to_bytes(8, "big") + bytes(size))
            self.sent += 1

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.raw.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the engine ended the connection")
            data += more
        return data

    def send_message(self, parts: list[bytes]) -> None:
        for k, part in enumerate(parts):
            flags = bytes([2 | (k < len(parts) - 1)])
            self.raw.sendall(flags + len(part).to_bytes(8, "big") + part)


class Unfinished:
    """`count` raw local clients that send messages without end, and come again when cut off."""

    def __init__(self, path: str | Path, count: int) -> None:
        self._path, self._stopping = path, threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(count)]

    def __enter__(self) -> Unfinished:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stopping.wait(0.002):
            with contextlib.suppress(OSError):
                peer = RawPeer(self._path)
                try:
                    while not self._stopping.is_set():
                        peer.send_parts(limits.MIB, 1)
                finally:
                    peer.raw.close()


def connect_all(host: str, port: int, count: int) -> list[socket.socket]:
    """Plain connections that say nothing; fewer where this process has no file left for more."""
    _allow_files(count + 200)
    made: list[socket.socket] = []
    with contextlib.suppress(OSError):
        for _ in range(count):
            made.append(socket.create_connection((host, port), timeout=10))
    return made


def still_open(connections: list[socket.socket]) -> int:
    """How many of them the other side has not ended."""
    count = 0
    for one in connections:
        one.setblocking(False)
        try:
            while one.recv(4096):  # its greeting
                pass
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def _allow_files(count: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
