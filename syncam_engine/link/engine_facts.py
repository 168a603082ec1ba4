# SPDX-License-Identifier: Apache-2.0
"""What the engine says of itself: its presets to who greets it, its workers and counts when asked.

Messages of `link.messages`, from the engine to a client.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from . import limits
from .envelope import Envelope

_Side = Annotated[int, Meta(ge=1, le=limits.MAX_SIDE_PX)]


class _Defaults(Struct, kw_only=True):
    """What hosts compute with of a preset's defaults; whatever else there is, they leave alone."""

    steps: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    width: _Side | None = None
    height: _Side | None = None
    frames: Annotated[int, Meta(ge=1, le=limits.MAX_FRAMES)] | None = None
    fps: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]] | None = None
    previz_strength: float | None = None


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

    @property
    def is_sound(self) -> bool:
        """Whether a host can offer the preset: it has a name, and its numbers are such."""
        try:
            msgspec.convert(self.defaults, _Defaults)
            envelope = msgspec.convert(self.envelope, Envelope) if self.envelope else None
        except msgspec.ValidationError:
            return False
        is_usable = envelope is None or bool(envelope.sizes and envelope.frames)
        return is_usable and 0 < len(self.name) <= limits.MAX_NAME_CHARS


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
