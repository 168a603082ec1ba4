# SPDX-License-Identifier: GPL-3.0-or-later
"""Where new cameras of a rig stand, and which anchor suits it. Pure: no bpy."""

from __future__ import annotations

import math
import random

from syncam_engine.link import poses
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m, sample_hemisphere_cameras
from syncam_engine.link.poses import Matrix4, Vector3
from syncam_engine.link.rig import Rig

UNIT_K = ((1.0, 0.0, 0.5), (0.0, 1.0, 0.5), (0.0, 0.0, 1.0))


def new_poses(
    shape: str,
    count: int,
    *,
    center_m: Vector3,
    radius_m: float,
    elevation_deg: float,
    span_deg: float,
    azimuth_deg: float,
    seed: int,
) -> list[Matrix4]:
    """Return `count` poses that look at (or past) the centre.

    ARC: evenly over `span_deg` about `azimuth_deg`. LINE: evenly on a straight line of the arc's
    length, all looking the same way. HEMISPHERE: drawn at random from `seed`, up to
    `elevation_deg`, within `span_deg`.
    """
    if not (count >= 1 and radius_m > 0 and math.isfinite(radius_m)):
        raise SynCamError(
            "rig.shape",
            f"A rig of {count} cameras at {radius_m:g} m is impossible; "
            "it needs at least 1 camera and a radius above 0.",
            value=[count, radius_m],
            nearest=[max(1, count), 6.0],
        )
    shares = [k / (count - 1) - 0.5 if count > 1 else 0.0 for k in range(count)]
    if shape == "HEMISPHERE":
        made = sample_hemisphere_cameras(
            random.Random(seed),
            count,
            center_m=center_m,
            K=UNIT_K,
            width_px=1,
            height_px=1,
            radius_m=(radius_m * 0.8, radius_m * 1.2),
            elevation_deg=(min(3.0, elevation_deg), max(3.0, elevation_deg)),
            azimuth_deg=(azimuth_deg - span_deg / 2, azimuth_deg + span_deg / 2),
        )
        return [camera.c2w_cv_m_at(0) for camera in made]
    middle = hemisphere_pose_c2w_cv_m(center_m, radius_m, azimuth_deg, elevation_deg)
    if shape == "LINE":
        right, eye = [row[0] for row in middle[:3]], poses.centre_of(middle)
        length_m = math.radians(span_deg) * radius_m
        return [
            poses.rigid(
                poses.rotation_of(middle),
                [e + s * length_m * r for e, r in zip(eye, right, strict=True)],
            )
            for s in shares
        ]
    # A full circle does not put its last camera on its first.
    if span_deg >= 359.5:
        shares = [k / count for k in range(count)]
    return [
        hemisphere_pose_c2w_cv_m(center_m, radius_m, azimuth_deg + s * span_deg, elevation_deg)
        for s in shares
    ]


def best_anchor(rig: Rig) -> int:
    """Return the camera whose greatest turn to any other, around and up or down, is smallest."""
    views = [camera.c2w_cv_m_at(0) for camera in rig.cameras]
    turns = [(poses.azimuth_deg(view), poses.elevation_deg(view)) for view in views]

    def worst(index: int) -> float:
        around, up = turns[index]
        return max(poses.wrapped_difference_deg(a, around) + abs(e - up) for a, e in turns)

    return min(range(len(turns)), key=worst)


def nearest_to_anchor(rig: Rig, count: int) -> list[str]:
    """Return the names of the anchor and the cameras least turned from it, in the rig's order."""
    anchor = rig.anchor_camera.c2w_cv_m_at(0)
    ranked = sorted(
        rig.cameras,
        key=lambda c: poses.rotation_angle_deg(
            poses.rotation_of(poses.relative_c2w(anchor, c.c2w_cv_m_at(0)))
        ),
    )
    kept = {camera.name for camera in ranked[:count]}
    return [camera.name for camera in rig.cameras if camera.name in kept]
