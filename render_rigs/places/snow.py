# SPDX-License-Identifier: GPL-3.0-or-later
"""A snowy clearing: firs with snow on them, drifts, a log cabin, a fence."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    k, p = rng.uniform(0.12, 0.3, 2), rng.uniform(0, 6.28, 2)

    def drifts(x, y):
        far = np.clip((np.hypot(x, y) - 8) / 10, 0, 1)
        return far * (0.8 + 0.6 * np.sin(k[0] * x + p[0]) * np.sin(k[1] * y + p[1]))

    b.plane((0, 0, 0), (120, 120), "#dfe6ee", "snow", cells=(36, 36), height=drifts)
    nature.hills(b, rng, 58, "#cfd9e4")
    obstacles = []
    for _ in range(rng.integers(9, 16)):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(9, 24)
        x, y = r * np.cos(a), r * np.sin(a)
        nature.conifer(
            b,
            rng,
            (x, y),
            rng.uniform(4, 9),
            kit.pick(rng, ("#2f4f3a", "#3d5f48", "#8fa79a")),
            fast=fast,
        )
        obstacles.append(Obstacle(x, y, 1.2))
    if rng.random() < 0.6:
        a = rng.uniform(0, 2 * np.pi)
        kit.cabin(b, rng, 13.0, a)
    for _ in range(4):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(7, 14)
        at = (r * np.cos(a), r * np.sin(a))
        nature.rock(b, rng, at, rng.uniform(0.4, 0.8), "#b9c2cc", "snow")
    light = lighting.outdoor(
        rng, ("at noon", "in the morning", "under an overcast sky", "at sunset"), fast=fast
    )
    light.key *= 1.9
    return Place(
        "snow", "a snowy clearing", "across", b.build(), light, obstacles=obstacles, free_m=5.0
    )
