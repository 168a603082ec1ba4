# SPDX-License-Identifier: Apache-2.0
"""From a click on Generate to a request with its inputs, a piece for each `next`. No `unreal`.

Read the cameras, check them against the preset, render the views that the mode needs. A generator:
closing it puts the editor back as it was, at whatever point.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from syncam_engine.link.engine_facts import PresetInfo
from syncam_engine.link.messages import GenerateRequest

from . import request_making
from .host_protocol import Host, Reading
from .panel_state import PanelFields

FRAMES_A_TICK = 4


@dataclass(frozen=True, slots=True)
class Working:
    """What the panel shows meanwhile."""

    sentence: str
    progress: float
    """0 to 1."""


READING = Working("Reading the cameras.", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that can be sent."""

    request: GenerateRequest
    clips: list[Path] | list[bytes]
    reading: Reading
    warnings: list[str]


def read_rig(
    host: Host, fields: PanelFields, pictures: int, fps: Fraction, size_px: tuple[int, int]
) -> Generator[Working, None, Reading]:
    """Read the rig over a few steps; return the reading, which has it."""
    reading = host.begin_reading(fields, pictures, fps, size_px)
    try:
        while not reading.step(FRAMES_A_TICK):
            yield replace(READING, progress=reading.progress)
    finally:
        reading.close()
    return reading


def prepare_job(
    host: Host, fields: PanelFields, preset: PresetInfo
) -> Generator[Working, None, Prepared]:
    """Read, check, render what is needed; return the job. Raises SynCamError."""
    reading = yield from read_rig(host, fields, *request_making.pictures_of(preset))
    rig = reading.rig
    request = request_making.make_request(fields, rig, reading.scene_frames, preset)
    warnings = request_making.check(request, rig, preset)
    clips = request_making.given_clips(fields, rig)
    if clips is None:
        wanted = range(len(rig.cameras)) if fields.mode == "previz" else [rig.anchor]
        fitted = request_making.fitted_rig(request, rig)
        pictures = len(wanted) * max(1, len(reading.scene_frames))
        views = host.render_views(fields, fitted, list(wanted), reading.scene_frames)
        clips = yield from _rendered(views, pictures)
    return Prepared(request=request, clips=clips, reading=reading, warnings=warnings)


def _rendered(
    views: Generator[int, None, list[bytes]], pictures: int
) -> Generator[Working, None, list[bytes]]:
    try:
        while True:
            try:
                made = next(views)
            except StopIteration as done:
                return done.value
            yield Working(f"Rendering the views: {made} of {pictures}.", made / pictures)
    finally:
        views.close()
