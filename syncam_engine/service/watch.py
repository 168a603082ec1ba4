# SPDX-License-Identifier: Apache-2.0
"""The server's own memory: when it holds too much, and how it is given back."""

from __future__ import annotations

import ctypes
import sys
import time

import psutil

LOOK_S = 0.1
SETTLES_S = 1.0
"""What closed connections held is freed by libzmq's own threads, a moment later."""


class MemoryWatch:
    """Looks ten times a second; ask `too_much()` as often as you like."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        try:
            self._process = psutil.Process()
        except psutil.Error:  # a /proc of another namespace: nothing can be said, so nothing is cut
            self._process = None
        self._next_look_s = 0.0
        self._over = False

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
        if self._over:
            self._over = False
            give_memory_back()
            # What does not come back is the server's own, or a leak: it must not be cut for ever.
            self.limit_bytes = max(self.limit_bytes, self.held_bytes() * 5 // 4)
        held = self.held_bytes()
        if held <= self.limit_bytes:
            return 0
        self._over = True
        self._next_look_s = now_s + SETTLES_S
        return held


def give_memory_back() -> None:
    """glibc keeps freed memory of other threads unless it is told."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
