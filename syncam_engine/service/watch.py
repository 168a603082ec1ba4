# SPDX-License-Identifier: Apache-2.0
"""The server's own memory: when it holds too much, and how it is given back."""

from __future__ import annotations

import ctypes
import sys
import time

import psutil

LOOK_S = 0.02
SETTLES_S = 1.0
"""What closed connections held is freed by libzmq's own threads, a moment later."""


class MemoryWatch:
    """Ask `too_much()` as often as you like. When it is, nobody may be connected any more; then
    `settle()`, before anybody is again: what clients hold must not count as the server's own."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        try:
            self._process = psutil.Process()
        except psutil.Error:  # a /proc of another namespace: nothing can be said, so nothing is cut
            self._process = None
        self._next_look_s = 0.0
        self._held = 0

    @property
    def look_again_s(self) -> float:
        """How long one may leave it: it fills at gigabytes a second."""
        return LOOK_S if self._held > self.limit_bytes // 4 else 10 * LOOK_S

    def held_bytes(self) -> int:
        """Private resident memory; files that are mapped to be sent do not count."""
        if self._process is None:
            return 0
        info = self._process.memory_info()
        return info.rss - getattr(info, "shared", 0)

    def too_much(self) -> int:
        """The bytes held when they are over the limit and something must go now; else 0."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return 0
        self._next_look_s = now_s + LOOK_S
        self._held = self.held_bytes()
        return self._held if self._held > self.limit_bytes else 0

    def settle(self) -> None:
        """Wait until what the closed connections held is given back. What then stays is the
        server's own, or a leak: nobody must be cut off for it for ever."""
        end_s = time.monotonic() + SETTLES_S
        while True:
            give_memory_back()
            self._held = self.held_bytes()
            if self._held <= self.limit_bytes or time.monotonic() > end_s:
                break
            time.sleep(LOOK_S)
        self.limit_bytes = max(self.limit_bytes, self._held * 5 // 4)


def give_memory_back() -> None:
    """glibc keeps freed memory of other threads unless it is told."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
