# SPDX-License-Identifier: GPL-3.0-or-later
"""Open grass: a lawn or a flowered meadow with trees, bushes, rocks, a fence, hills far away."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    words, color = [
        ("a green meadow", "#5f8a34"),
        ("a dry field", "#a89352"),
        ("a lawn", "#4f8036"),
    ][rng.integers(3)]
    b.plane((0, 0, 0), (160, 160), color, "grass", cells=(20, 20), height=_roll(rng))
    nature.hills(b, rng, 70, "#5d7a48" if color != "#a89352" else "#94864f")
    tall = 0.1 if words == "a lawn" else 0.2
    nature.grass_tufts(b, rng, 900 if fast else 9000, 14, color, tall, inner_m=0.0)
    if words != "a lawn":
        nature.flowers(b, rng, 60 if fast else 500, 12)
    obstacles, seats = [], []
    if rng.random() < 0.35:
        kit.seat(b, rng, seats)
    for _ in range(rng.integers(7, 12)):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(9, 26)
        x, y = r * np.cos(a), r * np.sin(a)
        what = rng.choice(["tree", "tree", "bush", "rock", "conifer"])
        if what == "tree":
            nature.tree(b, rng, (x, y), rng.uniform(4.5, 8), fast=fast)
        elif what == "conifer":
            nature.conifer(b, rng, (x, y), rng.uniform(5, 9), fast=fast)
        elif what == "bush":
            nature.bush(b, rng, (x, y), rng.uniform(0.6, 1.2), fast=fast)
        else:
            nature.rock(b, rng, (x, y), rng.uniform(0.5, 1.1))
        obstacles.append(Obstacle(x, y, 1.3))
    if rng.random() < 0.5:
        kit.fence(b, rng, rng.uniform(8, 12), rng.uniform(0, 2 * np.pi))
    return Place(
        "meadow",
        words,
        "across",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        seats=seats,
        free_m=5.0,
        at="on" if words == "a lawn" else "in",
    )


def _roll(rng):
    """Flat near the middle, gently rolling beyond 12 m."""
    k, p = rng.uniform(0.05, 0.11, 2), rng.uniform(0, 6.28, 2)

    def height(x, y):
        far = np.clip((np.hypot(x, y) - 12) / 20, 0, 1)
        return far * (1.2 * np.sin(k[0] * x + p[0]) * np.sin(k[1] * y + p[1]) + 0.2)

    return height
