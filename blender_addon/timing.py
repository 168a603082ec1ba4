# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scene frames become which pictures, and how long a job will take. Pure: no bpy."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from .jobs import JobRecord


def frame_step(wanted: int, scene_fps: Fraction, preset_fps: tuple[float, float] | None) -> int:
    """Return the scene frames from one picture to the next.

    `wanted` 0 takes the step whose speed is nearest to what the preset was trained on.
    """
    if wanted > 0:
        return wanted
    if preset_fps is None:
        return 1
    low, high = preset_fps
    if low <= float(scene_fps) <= high:
        return 1
    middle = high if float(scene_fps) > high else low
    return max(1, round(float(scene_fps) / middle))


def scene_frames(first: int, step: int, pictures: int) -> list[int]:
    """Return the scene frame of each picture."""
    return [first + step * k for k in range(pictures)]


def offset_expression(frame_start: int, step: int, pictures: int) -> str | None:
    """Return the driver of an image user's offset that plays one picture every `step` frames.

    Blender shows picture min(max(frame - start + 1, 1), duration) + offset, with the duration
    `step * pictures`. None where step 1 needs no driver.
    """
    if step == 1:
        return None
    past = f"min(max(frame - {frame_start}, 0), {step * pictures - 1})"
    return f"floor({past} / {step}) - {past}"


def work_of(request: dict) -> float:
    """Return how much a request asks, in view-pictures times pixels times steps."""
    views = len(request["rig"]["cameras"]) if "rig" in request else request["views"]
    pixels = request["width"] * request["height"]
    return float(views * request["frames"] * pixels * request["steps"])


def estimate_s(records: Iterable[JobRecord], request: dict) -> float | None:
    """Return the seconds that a request will take, from the last jobs of its preset, or None."""
    rates = [
        (record.seconds.get("sample", 0.0) + record.seconds.get("decode", 0.0))
        / work_of(record.request)
        for record in records
        if record.state == "done"
        and record.seconds.get("sample")
        and record.request.get("preset") == request.get("preset")
    ]
    return rates[-1] * work_of(request) if rates else None


def duration_text(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
