# SPDX-License-Identifier: GPL-3.0-or-later
"""A desert: red or yellow sand, cacti, boulders, mesas on the horizon."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    sand = kit.pick(rng, ("#c4844f", "#d1a063", "#b5714a"))
    k, p = rng.uniform(0.06, 0.14, 2), rng.uniform(0, 6.28, 2)

    def dunes(x, y):
        far = np.clip((np.hypot(x, y) - 10) / 18, 0, 1)
        return far * (1.2 + 1.1 * np.sin(k[0] * x + p[0]) * np.sin(k[1] * y + p[1]))

    b.plane((0, 0, 0), (160, 160), sand, "sand", cells=(28, 28), height=dunes)
    rockc = kit.pick(rng, ("#a0583a", "#9a6844", "#8a5a48"))
    for _ in range(7):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(38, 62)
        nature.mesa(
            b, rng, (r * np.cos(a), r * np.sin(a)), rng.uniform(5, 11), rng.uniform(6, 14), rockc
        )
    obstacles = []
    for _ in range(rng.integers(8, 14)):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(7.5, 20)
        x, y = r * np.cos(a), r * np.sin(a)
        what = rng.choice(["cactus", "cactus", "rock", "bush"])
        if what == "cactus":
            nature.cactus(b, rng, (x, y), rng.uniform(1.6, 3.4))
        elif what == "rock":
            nature.rock(b, rng, (x, y), rng.uniform(0.4, 1.4), rockc)
        else:
            nature.bush(b, rng, (x, y), rng.uniform(0.4, 0.7), "#8a8a55", fast=fast)
        obstacles.append(Obstacle(x, y, 1.0))
    return Place(
        "desert",
        "a desert",
        "across",
        b.build(),
        lighting.outdoor(rng, ("at noon", "in the morning", "at sunset"), fast=fast),
        obstacles=obstacles,
        free_m=5.0,
    )
