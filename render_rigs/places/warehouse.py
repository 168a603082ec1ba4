# SPDX-License-Identifier: GPL-3.0-or-later
"""A warehouse: concrete floor with painted lanes, racks of boxes, crates, barrels, roof lights."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import furniture, kit, lighting
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    half_x, half_y, height = rng.uniform(12, 14), rng.uniform(11, 13), rng.uniform(6.5, 8)
    lamps = furniture.room(
        b,
        rng,
        half_x,
        half_y,
        height,
        floor=(kit.pick(rng, ("#8f8d88", "#7d8286", "#a39d92")), "concrete"),
        wall=(kit.pick(rng, ("#9aa5ab", "#b0a898", "#8a9aa8")), "corrugated"),
        window_m=(3.0, 1.2),
        sill_m=4.4,
        ceiling="#b9bdc0",
        trim="#6a7076",
    )
    for lamp in lamps:
        lamp.power_w *= 1.6
    line = kit.pick(rng, ("#d8b02a", "#e4e1d8"))
    for y in (-3.6, 3.6):
        b.box((0, y, 0), (2 * half_x, 0.12, 0.006), line, "plain")
    obstacles = []
    for sign in (-1, 1):
        for x in (-half_x * 0.55, half_x * 0.55):
            for y in (sign * 7.2, sign * (half_y - 1.0)):
                if abs(y) > 7 and rng.random() < 0.85:
                    furniture.rack(b, rng, (x, y), 0.0, 7.2, rng.uniform(3.4, 4.8), fast)
                    obstacles.append(Obstacle(x, y, 3.6))
    for _ in range(rng.integers(5, 9)):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(5.2, 10)
        x, y = r * np.cos(a), r * np.sin(a)
        if abs(y) > 5.8:
            continue
        if rng.random() < 0.6:
            size = rng.uniform(0.7, 1.2)
            turn = rng.uniform(0, 1.5)
            furniture.crate(b, rng, (x, y), turn, size)
            if rng.random() < 0.5:
                furniture.crate(b, rng, (x, y), turn + 0.3, size * 0.8, size)
        else:
            for k in range(3):
                furniture.barrel(b, rng, (x + 0.7 * np.cos(2.1 * k), y + 0.7 * np.sin(2.1 * k)))
        obstacles.append(Obstacle(x, y, 1.1))
    return Place(
        "warehouse",
        "a warehouse",
        "through",
        b.build(),
        lighting.indoor(rng, "under bright lamps"),
        lamps=lamps,
        obstacles=obstacles,
        free_m=4.2,
        indoor=True,
    )
