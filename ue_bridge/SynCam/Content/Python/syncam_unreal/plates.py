# SPDX-License-Identifier: Apache-2.0
"""Where a camera's plane stands and how large it is, from its pose and lens. Plain numbers only.

The engine's plane (/Engine/BasicShapes/Plane) is 100 x 100 units in its own X and Y, seen from +Z,
with the picture's right along X and its down along Y.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncam_engine.link import poses
from syncam_engine.link.camera import Camera
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.poses import Vector3

from . import conventions

PLANE_SIDE_UU = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A plane in Unreal's world: location in world units, angles in degrees, scale of the mesh."""

    location_uu: Vector3
    roll_pitch_yaw_deg: Vector3
    scale: Vector3


def plate_crop_of(camera: Camera, width_px: int, height_px: int, rule: str) -> tuple[float, ...]:
    """Return u0, v0, u1, v1 of the clip that belong on the camera's plate."""
    return fit_camera(camera, width_px, height_px, rule).plate


def plate_of(
    camera: Camera,
    clip_size_px: tuple[int, int],
    *,
    rule: str = "crop",
    distance_m: float = 1.0,
    world_to_meters: float = 100.0,
    frame: int = 0,
) -> Plate:
    """Return the plane that fills what the clip shows of the camera's picture, `distance_m` ahead.

    With "crop" the clip shows less than the camera and the plane is smaller than its frame; with
    "letterbox" the plane is the camera's whole frame and the bars are cut off by `plate_crop_of`.
    """
    fitted = fit_camera(camera, *clip_size_px, rule)
    K = fitted.camera.K_at(frame)
    width, height = clip_size_px
    u0, v0, u1, v1 = fitted.plate
    distance_m = max(distance_m, camera.near_m * 1.5)
    left, right = ((u * width - K[0][2]) / K[0][0] * distance_m for u in (u0, u1))
    top, bottom = ((v * height - K[1][2]) / K[1][1] * distance_m for v in (v0, v1))
    c2w = camera.c2w_cv_m_at(frame)
    centre = ((left + right) / 2.0, (top + bottom) / 2.0, distance_m)
    # The plane's X is the picture's right, its Y the picture's down, so its Z faces the camera.
    axes = [[c2w[i][k] for i in range(3)] for k in range(3)]
    side, down, forward = ((a[0], -a[1], a[2]) for a in axes)
    back = tuple(-c for c in forward)
    units = world_to_meters / PLANE_SIDE_UU
    return Plate(
        location_uu=conventions.point_to_uu(poses.transform_point(c2w, centre), world_to_meters),
        roll_pitch_yaw_deg=conventions.angles_of_axes(side, down, back),
        scale=((right - left) * units, (bottom - top) * units, 1.0),
    )
