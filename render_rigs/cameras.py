# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras on the paper's hemisphere, each drawn alone and kept only if it shows the subject."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from render_rigs.moves import moved
from render_rigs.scene import Actor
from syncam_engine.link.camera import Camera, intrinsics_from_lens
from syncam_engine.link.hemisphere import sample_hemisphere_cameras

Cast = Callable[[np.ndarray, np.ndarray, float], float | None]
"""(origin [3], unit direction [3], reach in metres) -> distance to the place's surface, or None."""

CLEARANCE_M = 0.4
MAX_TRIES_A_CAMERA = 120


@dataclass(slots=True)
class CameraDraw:
    cameras: list[Camera]
    rejected: Counter


class NoRoomForCameras(Exception):
    """A place in which too few cameras see the subject; the message counts the reasons."""


def draw_cameras(
    rng: random.Random,
    count: int,
    *,
    center_m,
    actors: list[Actor],
    cast: Cast,
    width_px: int,
    height_px: int,
    radius_m,
    elevation_deg,
    focal_mm,
    sensor_mm: float,
    tall: float = 0.14,
    motion: str = "static",
    frames: int = 1,
    fps: int = 15,
) -> CameraDraw:
    """Draw ``count`` cameras independently; a reason is counted for each that is thrown away.

    Raises NoRoomForCameras when a camera is not found in ``MAX_TRIES_A_CAMERA`` draws on average.
    """
    focal = rng.uniform(*focal_mm)
    K = intrinsics_from_lens(focal, sensor_mm, width_px, height_px)
    probes = [_probe_points(actor) for actor in actors]
    kept: list[Camera] = []
    rejected: Counter = Counter()
    for _ in range(count * MAX_TRIES_A_CAMERA):
        if len(kept) == count:
            break
        camera = sample_hemisphere_cameras(
            rng,
            1,
            center_m=center_m,
            K=K,
            width_px=width_px,
            height_px=height_px,
            radius_m=radius_m,
            elevation_deg=elevation_deg,
            name=f"cam{len(kept) + 1:02d}",
        )[0]
        camera = moved(rng, camera, motion, frames, fps, center_m)
        reason = rejection(camera, probes, cast, tall)
        if reason is None and camera.is_moving:
            reason = next(
                filter(
                    None,
                    (
                        rejection(camera, [p[k : k + 1] for p in probes], cast, tall * 0.8, k)
                        for k in range(0, frames, max(frames // 6, 1))
                    ),
                ),
                None,
            )
        if reason:
            rejected[reason] += 1
        else:
            kept.append(camera)
    if len(kept) < count:
        raise NoRoomForCameras(f"{len(kept)} of {count} cameras found; rejected: {dict(rejected)}")
    return CameraDraw(kept, rejected)


def rejection(
    camera: Camera, probes: list[np.ndarray], cast: Cast, tall_share: float = 0.14, frame: int = 0
) -> str | None:
    """Why a camera is of no use at ``frame``, or None. ``probes``: each subject's [T,P,3]."""
    c2w = np.array(camera.c2w_cv_m_at(frame))
    eye = c2w[:3, 3]
    if eye[2] < 0.25:
        return "below the ground"
    for axis in range(3):
        for sign in (1.0, -1.0):
            direction = np.zeros(3)
            direction[axis] = sign
            reach = CLEARANCE_M if (axis < 2 or sign > 0) else 0.2
            if cast(eye, direction, reach) is not None:
                return "inside or against geometry"
    K = np.array(camera.K_at(0))
    best_seen = best_framed = 0.0
    tall = 0.0
    for points in probes:
        local = (points - eye) @ c2w[:3, :3]
        ahead = local[..., 2] > 0.2
        depth = np.where(ahead, local[..., 2], 1.0)
        u = K[0, 0] * local[..., 0] / depth + K[0, 2]
        v = K[1, 1] * local[..., 1] / depth + K[1, 2]
        inside = ahead & (u > 0) & (u < camera.width_px) & (v > 0) & (v < camera.height_px)
        best_framed = max(best_framed, float((inside.mean(1) >= 0.7).mean()))
        tall = max(tall, float(np.median(v.max(1) - v.min(1))) / camera.height_px)
        seen = []
        for moment in range(0, len(points), max(len(points) // 4, 1)):
            clear = 0
            for point in points[moment]:
                ray = point - eye
                far = float(np.linalg.norm(ray))
                clear += cast(eye, ray / far, far - 0.12) is None
            seen.append(clear / points.shape[1] >= 0.7)
        best_seen = max(best_seen, float(np.mean(seen)))
    if best_framed < 0.8:
        return "subject out of frame"
    if tall < tall_share:
        return "subject too small"
    return "subject occluded" if best_seen < 0.75 else None


def _probe_points(actor: Actor) -> np.ndarray:
    """A dozen points spread over the subject through the clip: [T,12,3]."""
    vertices = actor.vertices_m[1:-1]
    if actor.mesh is None:  # a file of the user's: its vertices are probe points already
        return vertices
    order = np.argsort(actor.mesh.verts_m[:, 2], kind="stable")
    return vertices[:, order[np.linspace(0, len(order) - 1, 12).astype(int)]]
