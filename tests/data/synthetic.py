# SPDX-License-Identifier: Apache-2.0
"""Small made-up scenes for tests: a coloured box that moves over a two-tone ground."""

from __future__ import annotations

import math
import random

import numpy as np

from syncam_engine.data.scene import BrokenFile, BrokenFiles, Scene
from syncam_engine.link.camera import intrinsics
from syncam_engine.link.hemisphere import sample_hemisphere_cameras

COLOURS = {"red": (200, 30, 40), "green": (30, 180, 60), "blue": (40, 60, 210)}


def make_scene(number: int, *, cameras: int = 5, frames: int = 17, size=(64, 32)) -> Scene:
    """A scene on the hemisphere; even numbers say red, odd ones blue, every third green."""
    width, height = size
    K = intrinsics(0.9 * width, 0.9 * width, width / 2 + 0.5, height / 2 - 0.25)
    placed = sample_hemisphere_cameras(
        random.Random(number), cameras, center_m=(0, 0, 1), K=K, width_px=width, height_px=height
    )
    colour = list(COLOURS)[number % 3]
    return Scene(
        key=f"scene-{number:05d}",
        kind="multiview",
        captions=(f"a {colour} box on the ground", f"one {colour} box"),
        K_CT33=np.array([[c.K] for c in placed], np.float32),
        c2w_cv_m_CT44=np.array([[c.c2w_cv_m] for c in placed], np.float32),
        width_px=width,
        height_px=height,
        frames=frames,
    )


class BoxSource:
    """A `SceneSource` that paints its pictures when they are read."""

    def __init__(self, scenes: int = 6, *, broken: tuple[int, ...] = (), **options) -> None:
        self.name = "boxes"
        self.scenes = [make_scene(i, **options) for i in range(scenes)]
        self.broken = BrokenFiles()
        self.bad = broken

    def read_pictures(self, scene, cameras, frames):
        if scene in self.bad:
            raise BrokenFile(f"{self.scenes[scene].key}.tar", "cut short")
        return np.stack([[self._paint(scene, c, t) for t in frames] for c in cameras])

    def _paint(self, index: int, camera: int, frame: int) -> np.ndarray:
        scene = self.scenes[index]
        width, height = scene.width_px, scene.height_px
        c2w = scene.c2w_cv_m_CT44[camera, 0]
        picture = np.empty((height, width, 3), np.uint8)
        # The horizon follows the camera's pitch, the box its place in the world.
        pitch = -math.asin(float(c2w[2, 2]))
        horizon = int(np.clip(height / 2 - math.tan(pitch) * 0.9 * width, 0, height))
        picture[:horizon] = (150, 190, 230)
        picture[horizon:] = (110, 100, 90)
        world = np.array([0.1 * frame - 0.8, 0.0, 0.5, 1.0])
        x, y, z, _ = np.linalg.inv(c2w) @ world
        u, v = scene.K_at(camera, 0)[:2] @ np.array([x / z, y / z, 1.0])
        half = max(2, int(0.5 * 0.9 * width / z))
        top, left = max(0, int(v) - half), max(0, int(u) - half)
        colour = list(COLOURS.values())[index % 3]
        picture[top : max(0, int(v) + half), left : max(0, int(u) + half)] = colour
        return picture
