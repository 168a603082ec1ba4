# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras that move: orbit, dolly, crane, pan, handheld, each from a pose on the hemisphere."""

import math
import random
from dataclasses import replace

import numpy as np

from syncam_engine.link.camera import Camera
from syncam_engine.link.poses import look_at_c2w_cv_m

KINDS = ("orbit", "dolly", "crane", "pan", "handheld")
MODES = ("static", *KINDS, "mixed")


def moved(rng: random.Random, camera: Camera, mode: str, frames: int, fps: int, center_m) -> Camera:
    """Return ``camera`` with a pose for each of ``frames``; frame 0 of all but handheld is its own.

    Raises ValueError for an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"unknown camera motion {mode!r}: one of {', '.join(MODES)}")
    if mode == "static" or frames < 2:
        return camera
    kind = rng.choice(KINDS) if mode == "mixed" else mode
    center = np.asarray(center_m, float)
    eye = np.array(camera.c2w_cv_m_at(0))[:3, 3] - center
    radius = float(np.linalg.norm(eye))
    azimuth, elevation = math.atan2(eye[1], eye[0]), math.asin(eye[2] / radius)
    seconds = (frames - 1) / fps
    s = np.linspace(0, 1, frames)
    ease = s * s * (3 - 2 * s)
    amount = rng.choice((-1, 1)) * rng.uniform(0.5, 1.0) * min(seconds / 3, 1.5)
    az, el, r = azimuth + 0 * s, elevation + 0 * s, radius + 0 * s
    target = np.repeat(center[None], frames, 0)
    shake = np.zeros((frames, 3))
    if kind == "orbit":
        az = azimuth + math.radians(35) * amount * ease
    elif kind == "dolly":
        r = radius * (1 + 0.3 * amount * ease)
    elif kind == "crane":
        el = np.clip(
            elevation + math.radians(18) * amount * ease, math.radians(-5), math.radians(60)
        )
    elif kind == "pan":
        side = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        target = target + side * (0.14 * radius * amount * ease)[:, None]
    else:
        time_s = s * seconds
        for axis in range(3):
            for hz, size in ((0.7, 0.02), (1.6, 0.01), (3.1, 0.004)):
                phase, turn = rng.uniform(0, 6.28), rng.uniform(0, 6.28)
                shake[:, axis] += size * np.sin(2 * np.pi * hz * time_s + phase)
                target[:, axis] += 1.2 * size * np.sin(2 * np.pi * hz * time_s + turn)
    eyes = (
        center
        + np.stack([r * np.cos(el) * np.cos(az), r * np.cos(el) * np.sin(az), r * np.sin(el)], -1)
        + shake
    )
    poses = tuple(
        look_at_c2w_cv_m(e.tolist(), t.tolist()) for e, t in zip(eyes, target, strict=True)
    )
    return replace(camera, c2w_cv_m=poses)
