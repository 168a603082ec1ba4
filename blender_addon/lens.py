# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's lens to pinhole intrinsics and back. Pure: no bpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from syncam_engine.link.camera import intrinsics
from syncam_engine.link.poses import Matrix3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A perspective lens in Blender's words, at one frame."""

    focal_mm: float
    sensor_width_mm: float
    sensor_height_mm: float
    sensor_fit: str
    """"AUTO", "HORIZONTAL" or "VERTICAL"."""
    shift_x: float
    shift_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The render's picture: its size in pixels (percentage applied) and pixel aspect."""

    width_px: int
    height_px: int
    aspect_x: float = 1.0
    aspect_y: float = 1.0


def is_horizontal(lens: Lens, frame: Frame) -> bool:
    """Whether the sensor lies along the picture's width."""
    if lens.sensor_fit == "AUTO":
        return frame.width_px * frame.aspect_x >= frame.height_px * frame.aspect_y
    return lens.sensor_fit == "HORIZONTAL"


def _base_and_sensor(lens: Lens, frame: Frame) -> tuple[float, float]:
    """Return the pixels that the sensor spans (in pixel widths) and its size in mm."""
    base = (
        frame.width_px
        if is_horizontal(lens, frame)
        else frame.height_px * frame.aspect_y / frame.aspect_x
    )
    return base, sensor_mm(lens)


def sensor_mm(lens: Lens) -> float:
    """Return the sensor's size that counts; AUTO means its width, whichever side it lies along."""
    return lens.sensor_height_mm if lens.sensor_fit == "VERTICAL" else lens.sensor_width_mm


def on_sensor(lens: Lens, frame: Frame, u: float, v: float) -> tuple[float, float]:
    """Return where a point of the picture lies on the sensor, in sensors from its middle.

    (u, v) are fractions of the picture from its top-left corner; x goes right, y up. At distance d
    the point is seen at ((x, y) + (shift_x, shift_y)) * d * sensor / focal length.
    """
    base, _ = _base_and_sensor(lens, frame)
    aspect = frame.aspect_x / frame.aspect_y
    return (u - 0.5) * frame.width_px / base, (0.5 - v) * frame.height_px / (base * aspect)


def intrinsics_of(lens: Lens, frame: Frame) -> Matrix3:
    """Return the 3x3 `K` in pixels, origin at the top-left corner."""
    base, sensor = _base_and_sensor(lens, frame)
    aspect = frame.aspect_x / frame.aspect_y
    fx_px = lens.focal_mm * base / sensor
    return intrinsics(
        fx_px,
        fx_px * aspect,
        frame.width_px / 2.0 - lens.shift_x * base,
        frame.height_px / 2.0 + lens.shift_y * base * aspect,
    )


def lens_of(K: Matrix3, frame: Frame, sensor_width_mm: float = 36.0) -> Lens:
    """Return a lens with the sensor along the width whose intrinsics are `K` (inverse of above)."""
    base = float(frame.width_px)
    aspect = frame.aspect_x / frame.aspect_y
    return Lens(
        focal_mm=K[0][0] * sensor_width_mm / base,
        sensor_width_mm=sensor_width_mm,
        sensor_height_mm=sensor_width_mm * frame.height_px / frame.width_px,
        sensor_fit="HORIZONTAL",
        shift_x=(frame.width_px / 2.0 - K[0][2]) / base,
        shift_y=(K[1][2] - frame.height_px / 2.0) / (base * aspect),
    )


def focal_for_hfov_mm(
    hfov_deg: float, lens: Lens, frame: Frame, fitted_share: float = 1.0
) -> float:
    """Return the focal length at which the model sees `hfov_deg` across.

    `fitted_share` is the part of the picture's width that the fit to the model's size keeps
    (1 when it keeps all; above 1 where it adds bars).
    """
    base, sensor = _base_and_sensor(lens, frame)
    seen_px = frame.width_px * fitted_share
    return seen_px / 2.0 / math.tan(math.radians(hfov_deg) / 2.0) * sensor / base
