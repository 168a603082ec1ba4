# SPDX-License-Identifier: Apache-2.0
"""What the engine says of itself: its presets to who greets it, its workers and counts when asked.

Messages of `link.messages`, from the engine to a client.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


class PresetInfo(Struct, kw_only=True):
    name: str
    title: str = ""
    default: bool = False
    available: bool = True
    """False: its weights are not on this machine yet."""
    envelope: dict[str, Any] = msgspec.field(default_factory=dict)
    """`link.envelope.Envelope` as plain data."""
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    """steps, guidance_scale, negative_prompt, width, height, frames, fps, previz_strength."""


class Hello(Struct, kw_only=True):
    """The engine answers: it is there, and this is what it is."""

    engine: str
    """Version of the engine's package."""
    protocol: int
    instance: str
    """New at each start of the server."""
    presets: list[PresetInfo] = msgspec.field(default_factory=list)
    worker: str = ""
    """starting, loading, ready, busy, asleep, yielded, dead."""
    device: str = ""
    log_path: str = ""
    local: bool = True
    """Results come with paths that this client can open."""


class WorkerInfo(Struct, kw_only=True):
    index: int
    state: str
    device: str = ""
    preset: str = ""
    job_id: str = ""
    phase: str = ""
    step: int = 0
    steps: int = 0
    memory_mb: float = 0.0
    """What the worker holds of its device's memory."""
    memory_free_mb: float = 0.0
    """What its device has left for anyone, the machine's own memory on a CPU; 0: not known."""
    restarts: int = 0
    pid: int = 0


class EngineStatus(Struct, kw_only=True):
    engine: str
    instance: str
    pid: int
    uptime_s: float
    endpoint: str = ""
    workers: list[WorkerInfo] = msgspec.field(default_factory=list)
    queued: int = 0
    running: int = 0
    paused: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    clients: int = 0
    disk_free_mb: float = 0.0
    notes: list[str] = msgspec.field(default_factory=list)
    """What a person should know: disk full, device yielded, worker restarting."""
    log_path: str = ""
