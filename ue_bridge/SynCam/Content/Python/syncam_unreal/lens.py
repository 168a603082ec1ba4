# SPDX-License-Identifier: Apache-2.0
"""From an Unreal lens to `K`: filmback, focal length, squeeze, plate crop, sensor offset, aspect.

The engine's rules, as far as they are public (docs/unreal.md lists which a real editor must still
confirm): the plate crop shortens one side of the sensor, the squeeze widens what it sees, the
offset shifts it, and a camera that does not constrain its aspect keeps one of its angles of view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from syncam_engine.link.camera import intrinsics
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix3

LONG_SIDE_PX = 1280
"""Pixels of the longer side of a rig's cameras: Unreal's cameras have an aspect but no size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """What a camera component says of its lens, in millimetres."""

    sensor_width_mm: float
    sensor_height_mm: float
    focal_length_mm: float
    squeeze: float = 1.0
    crop_aspect: float = 0.0
    """Aspect of the plate crop; 0 is no crop."""
    offset_x_mm: float = 0.0
    offset_y_mm: float = 0.0
    constrain_aspect: bool = True
    keep: Literal["x", "y", "major"] = "x"
    """Which angle of view an unconstrained camera keeps in a picture of another aspect."""


def lens_of_field_of_view(
    fov_x_deg: float, aspect: float, constrain: bool, keep: str = "x"
) -> Lens:
    """Return the lens of a plain camera component, which has an angle and an aspect only."""
    width_mm = 36.0
    half = math.tan(math.radians(fov_x_deg) / 2.0)
    return Lens(
        sensor_width_mm=width_mm,
        sensor_height_mm=width_mm / aspect if aspect > 0.0 else 0.0,
        focal_length_mm=width_mm / (2.0 * half) if half > 0.0 else 0.0,
        constrain_aspect=constrain,
        keep=keep,
    )


def check_lens(name: str, lens: Lens) -> None:
    """Raise SynCamError ("camera.filmback", "camera.lens") for a lens that has no picture."""
    if not (lens.sensor_width_mm > 0.0 and lens.sensor_height_mm > 0.0):
        size = f"{lens.sensor_width_mm:g} x {lens.sensor_height_mm:g} mm"
        raise SynCamError(
            "camera.filmback",
            f"Camera {name!r} has a filmback of {size}; both sides must be greater than zero.",
            value=[lens.sensor_width_mm, lens.sensor_height_mm],
            nearest=[23.76, 13.365],
            fix="Pick a filmback preset",
        )
    if not (lens.focal_length_mm > 0.0 and lens.squeeze > 0.0):
        raise SynCamError(
            "camera.lens",
            f"Camera {name!r} has a focal length of {lens.focal_length_mm:g} mm and a squeeze of "
            f"{lens.squeeze:g}; both must be greater than zero.",
            value=[lens.focal_length_mm, lens.squeeze],
            nearest=[35.0, 1.0],
            fix="Pick a lens preset",
        )


def used_sensor_mm(lens: Lens) -> tuple[float, float]:
    """Return the width and height of the sensor that are left after the plate crop."""
    width, height = lens.sensor_width_mm, lens.sensor_height_mm
    if lens.crop_aspect > 0.0:
        aspect = width * lens.squeeze / height
        if lens.crop_aspect < aspect:
            width *= lens.crop_aspect / aspect
        else:
            height *= aspect / lens.crop_aspect
    return width, height


def aspect_of(lens: Lens) -> float:
    """Return the desqueezed width over height of what the camera sees."""
    width, height = used_sensor_mm(lens)
    return width * lens.squeeze / height


def fov_x_deg(lens: Lens) -> float:
    """Return the horizontal angle of view, as `get_horizontal_field_of_view` of the component."""
    width, _ = used_sensor_mm(lens)
    return math.degrees(2.0 * math.atan(width * lens.squeeze / (2.0 * lens.focal_length_mm)))


def picture_size_px(aspect: float, long_side_px: int = LONG_SIDE_PX) -> tuple[int, int]:
    """Return an even width and height of this aspect, as near as whole pixels come."""
    if aspect >= 1.0:
        return long_side_px, max(2, round(long_side_px / aspect / 2.0) * 2)
    return max(2, round(long_side_px * aspect / 2.0) * 2), long_side_px


def intrinsics_of(lens: Lens, width_px: int, height_px: int) -> Matrix3:
    """Return the 3x3 `K` of this lens for a picture of `width_px` x `height_px`.

    A constrained camera fills the picture with its own frame (whole pixels stretch it by less than
    one part in a thousand, which `K` says exactly). An unconstrained one has square pixels and
    keeps the angle of `keep`. A sensor moved to the right or up shows more of that side, so the
    principal point moves to the left or down.
    """
    width_mm, height_mm = used_sensor_mm(lens)
    fx = width_px * lens.focal_length_mm / (width_mm * lens.squeeze)
    fy = height_px * lens.focal_length_mm / height_mm
    if not lens.constrain_aspect:
        keep_x = lens.keep == "x" or (lens.keep == "major" and width_px > height_px)
        fx = fy = fx if keep_x else fy
    cx = width_px / 2.0 - width_px * lens.offset_x_mm / width_mm
    cy = height_px / 2.0 + height_px * lens.offset_y_mm / height_mm
    return intrinsics(fx, fy, cx, cy)
