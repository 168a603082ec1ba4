# SPDX-License-Identifier: Apache-2.0
"""Unreal's axes and units to the project's convention and back: the only place that flips them.

Unreal: left-handed world, Z up, in world units (centimetres unless World to Meters says otherwise);
a camera looks along its X axis, Y right, Z up. The project: right-handed, Z up, metres, OpenCV
camera axes (x right, y down, z forward). World points go by S = diag(1, -1, 1) / World to Meters,
so that X stays forward and Y turns from right to left. No `unreal` here: plain numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from syncam_engine.link.poses import Matrix4, Vector3, centre_of, rigid

Quaternion = tuple[float, float, float, float]
"""x, y, z, w, as unreal.Quat."""


def axes_of_quaternion(quaternion: Quaternion) -> tuple[Vector3, Vector3, Vector3]:
    """Return the forward (X), right (Y) and up (Z) axes in Unreal's world; any length is taken."""
    x, y, z, w = quaternion
    n = x * x + y * y + z * z + w * w
    s = 2.0 / n
    return (
        (1 - s * (y * y + z * z), s * (x * y + w * z), s * (x * z - w * y)),
        (s * (x * y - w * z), 1 - s * (x * x + z * z), s * (y * z + w * x)),
        (s * (x * z + w * y), s * (y * z - w * x), 1 - s * (x * x + y * y)),
    )


def point_to_m(point_uu: Sequence[float], world_to_meters: float) -> Vector3:
    """Return a world point in metres, right-handed."""
    x, y, z = point_uu
    return (x / world_to_meters, -y / world_to_meters, z / world_to_meters)


def point_to_uu(point_m: Sequence[float], world_to_meters: float) -> Vector3:
    """Return a world point in Unreal's units, left-handed."""
    x, y, z = point_m
    return (x * world_to_meters, -y * world_to_meters, z * world_to_meters)


def camera_to_world_cv_m(
    location_uu: Sequence[float], quaternion: Quaternion, world_to_meters: float = 100.0
) -> Matrix4:
    """Return the 4x4 `c2w_cv_m` of a camera component's world transform (its scale is left out).

    Columns are right, down, forward after S; the determinant is +1.
    """
    forward, right, up = axes_of_quaternion(quaternion)
    columns = (_flip_y(right), _flip_y([-c for c in up]), _flip_y(forward))
    return rigid(tuple(zip(*columns, strict=True)), point_to_m(location_uu, world_to_meters))


def unreal_placement(c2w_cv_m: Matrix4, world_to_meters: float = 100.0) -> tuple[Vector3, Vector3]:
    """Return the location (world units) and (roll, pitch, yaw) in degrees of a camera's pose.

    Inverse of `camera_to_world_cv_m`; at a pitch of +-90 degrees the roll is 0.
    """
    right, down, forward = (_flip_y([c2w_cv_m[i][k] for i in range(3)]) for k in range(3))
    angles = angles_of_axes(forward, right, tuple(-c for c in down))
    return point_to_uu(centre_of(c2w_cv_m), world_to_meters), angles


def angles_of_axes(x_axis: Vector3, y_axis: Vector3, z_axis: Vector3) -> Vector3:
    """Return roll, pitch, yaw in degrees of the rotator with these unit axes in Unreal's world."""
    level = math.hypot(x_axis[0], x_axis[1])
    pitch = math.atan2(x_axis[2], level)
    if level < 1e-9:
        # Straight up or down: yaw and roll turn about one axis, and yaw takes it all.
        yaw, roll = math.atan2(-y_axis[0], y_axis[1]), 0.0
    else:
        yaw = math.atan2(x_axis[1], x_axis[0])
        roll = math.atan2(-y_axis[2], z_axis[2])
    return (math.degrees(roll), math.degrees(pitch), math.degrees(yaw))


def _flip_y(vector: Sequence[float]) -> Vector3:
    return (vector[0], -vector[1], vector[2])
