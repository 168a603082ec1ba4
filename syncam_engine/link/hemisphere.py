# SPDX-License-Identifier: Apache-2.0
"""Cameras on a hemisphere around a centre, as the training scenes have them (paper, app. B)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from syncam_engine.link import poses
from syncam_engine.link.camera import Camera
from syncam_engine.link.poses import Matrix3, Matrix4, Vector3

RADIUS_M = (3.5, 9.0)
ELEVATION_DEG = (0.0, 45.0)
AZIMUTH_DEG = (0.0, 360.0)


def hemisphere_point_m(
    center_m: Sequence[float], radius_m: float, azimuth_deg: float, elevation_deg: float
) -> Vector3:
    """Return the point at a radius, azimuth (0 is +X, 90 is +Y) and elevation about a centre."""
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    return (
        center_m[0] + radius_m * math.cos(e) * math.cos(a),
        center_m[1] + radius_m * math.cos(e) * math.sin(a),
        center_m[2] + radius_m * math.sin(e),
    )


def hemisphere_pose_c2w_cv_m(
    center_m: Sequence[float], radius_m: float, azimuth_deg: float, elevation_deg: float
) -> Matrix4:
    """Return the 4x4 pose of a level camera on the hemisphere that looks at its centre."""
    eye = hemisphere_point_m(center_m, radius_m, azimuth_deg, elevation_deg)
    return poses.look_at_c2w_cv_m(eye, center_m)


def sample_hemisphere_cameras(
    rng: random.Random,
    count: int,
    *,
    center_m: Sequence[float],
    K: Matrix3,
    width_px: int,
    height_px: int,
    radius_m: tuple[float, float] = RADIUS_M,
    elevation_deg: tuple[float, float] = ELEVATION_DEG,
    azimuth_deg: tuple[float, float] = AZIMUTH_DEG,
    name: str = "cam{:02d}",
) -> list[Camera]:
    """Return `count` level cameras that look at the centre, each drawn independently.

    Radius, azimuth and elevation are uniform in their ranges; `name` gets the number from 1.
    Raises ValueError for an empty or negative range.
    """
    for label, (low, high), floor in (
        ("radius_m", radius_m, 1e-3),
        ("elevation_deg", elevation_deg, -90.0),
        ("azimuth_deg", azimuth_deg, -360.0),
    ):
        if not floor <= low <= high:
            raise ValueError(
                f"{label} must be (low, high) with {floor:g} <= low <= high, got {low, high}"
            )
    return [
        Camera(
            name=name.format(number),
            width_px=width_px,
            height_px=height_px,
            K=K,
            c2w_cv_m=hemisphere_pose_c2w_cv_m(
                center_m,
                rng.uniform(*radius_m),
                rng.uniform(*azimuth_deg),
                rng.uniform(*elevation_deg),
            ),
        )
        for number in range(1, count + 1)
    ]
