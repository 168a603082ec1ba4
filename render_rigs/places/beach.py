# SPDX-License-Identifier: GPL-3.0-or-later
"""Sand, the sea on one side with foam, dunes, palms, rocks, parasols and towels."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    sand = kit.pick(rng, ("#d9c08f", "#e2d0a8", "#c9ad7a"))
    shore = rng.uniform(5.0, 8.0)
    b.plane((-30 + shore, 0, 0), (60, 120), sand, "sand", cells=(16, 24), height=_dunes(rng, shore))
    b.plane((shore + 1.0, 0, -0.03), (2.4, 120), "#a8895c", "sand")
    b.plane(
        (shore + 62, 0, -0.06),
        (120, 240),
        kit.pick(rng, ("#1f6f86", "#2a7f92", "#2b5f7a")),
        "water",
    )
    for k in range(3):
        y = np.linspace(-60, 60, 60)
        x = shore + 1.4 + 2.2 * k + 0.3 * np.sin(y * rng.uniform(0.3, 0.6) + k)
        wide = 0.18 + 0.12 * np.sin(y * 0.9 + 2 * k)
        verts = np.concatenate(
            [
                np.stack([x - wide, y, 0 * y - 0.02 + 0.01 * k], -1),
                np.stack([x + wide, y, 0 * y - 0.02 + 0.01 * k], -1),
            ]
        )
        i = np.arange(59)
        b.add(verts, np.stack([i, i + 60, i + 61, i + 1], -1), "#eef2f0", "plain")
    obstacles = []
    for _ in range(rng.integers(5, 9)):
        x, y = rng.uniform(-20, -6), rng.uniform(-22, 22)
        what = rng.choice(["palm", "palm", "rock", "parasol", "bush"])
        if what == "parasol" or rng.random() < 0.15:
            x, y = rng.uniform(-9, -5.5), rng.choice([-1, 1]) * rng.uniform(5.5, 10)
            what = "parasol"
        if what == "palm":
            nature.palm(b, rng, (x, y), rng.uniform(4.5, 7.5), fast=fast)
        elif what == "rock":
            nature.rock(b, rng, (x, y), rng.uniform(0.5, 1.3), "#8a7f70")
        elif what == "bush":
            nature.bush(b, rng, (x, y), rng.uniform(0.5, 0.9), "#7a8a45", fast=fast)
        else:
            kit.parasol(b, rng, (x, y))
        obstacles.append(Obstacle(x, y, 1.2))
    return Place(
        "beach",
        "a sandy beach",
        "along",
        b.build(),
        lighting.outdoor(rng, ("at noon", "in the morning", "at sunset"), fast=fast),
        obstacles=obstacles,
        free_m=min(5.0, shore - 0.5),
        at="on",
    )


def _dunes(rng, shore):
    k, p = rng.uniform(0.12, 0.25, 2), rng.uniform(0, 6.28, 2)

    def height(x, y):
        far = np.clip((-x - 10) / 14, 0, 1)
        return far * (1.5 + 0.9 * np.sin(k[0] * x + p[0]) * np.sin(k[1] * y + p[1]))

    return height
