# SPDX-License-Identifier: GPL-3.0-or-later
"""A market: two ranks of stalls with fruit and striped awnings between old houses."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import furniture, kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    b.plane(
        (0, 0, 0),
        (90, 90),
        kit.pick(rng, ("#948878", "#8a857c", "#a3937d")),
        kit.pick(rng, ("cobble", "paving", "slabs")),
    )
    half = rng.uniform(12, 14)
    for side in (0, 2):
        kit.facade_row(b, rng, half, side * np.pi / 2, fast=fast)
    obstacles, seats = [], []
    if rng.random() < 0.35:
        kit.seat(b, rng, seats)
    for sign in (-1, 1):
        for x in np.arange(-9.5, 10, 3.8):
            y = sign * rng.uniform(6.4, 7.4)
            furniture.stall(b, rng, (x, y), 0.0 if sign > 0 else np.pi)
            obstacles.append(Obstacle(x, y, 1.9))
    for _ in range(6):
        x, y = rng.choice([-1, 1]) * rng.uniform(6, 12), rng.uniform(-4, 4)
        what = rng.choice(["crate", "barrel", "lamp", "planter"])
        if what == "crate":
            furniture.crate(b, rng, (x, y), rng.uniform(0, 1.5), 0.7)
        elif what == "barrel":
            furniture.barrel(b, rng, (x, y), "#7a5232")
        elif what == "lamp":
            kit.street_lamp(b, (x, y), 3.6)
        else:
            kit.planter(b, rng, (x, y), fast=fast)
        obstacles.append(Obstacle(x, y, 0.9))
    for sign in (-1, 1):
        for _ in range(4):
            nature.tree(
                b,
                rng,
                (sign * rng.uniform(15, 24), rng.uniform(-9, 9)),
                rng.uniform(5, 8),
                fast=fast,
            )
    return Place(
        "market",
        "a street market",
        "through",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        seats=seats,
        free_m=4.2,
    )
