# SPDX-License-Identifier: GPL-3.0-or-later
"""A street: a road with markings, pavements, house fronts, cars, trees, lamps."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    road, curb = rng.uniform(4.2, 5.2), 0.13
    side = rng.uniform(2.8, 3.8)
    b.plane((0, 0, 0), (160, 2 * road), kit.pick(rng, ("#4a4a4d", "#55534f", "#3d3e42")), "asphalt")
    tone = kit.pick(rng, ("#9d978c", "#a39a90", "#8b8a88"))
    for sign in (1, -1):
        b.box((0, sign * (road + side / 2), 0), (160, side, curb), tone, "paving")
        b.box((0, sign * (road + 0.08), 0), (160, 0.18, curb + 0.005), "#b5b1a8", "concrete")
    dash = kit.pick(rng, ("#e4e1d8", "#d9b23a"))
    for x in np.arange(-60, 60, 5.0):
        b.box((x, 0, 0), (2.2, 0.14, 0.006), dash, "plain")
    if rng.random() < 0.6:
        at = rng.uniform(-6, 6)
        for k in range(int(2 * road / 0.9)):
            b.box((at, -road + 0.55 + 0.9 * k, 0), (2.4, 0.45, 0.007), "#e4e1d8", "plain")
    at = -34.0
    for turn in (0.0, np.pi):
        along = at
        while along < 34:
            width = rng.uniform(6, 11)
            kit.house(b, rng, along + width / 2, road + side, width, turn, fast=fast)
            along += width
    obstacles = []
    for sign in (1, -1):
        for x in np.arange(-27, 28, 9.0):
            x = x + rng.uniform(-1, 1)
            y = sign * (road + 0.7)
            what = rng.choice(["lamp", "tree", "none", "none"])
            if what == "lamp":
                kit.street_lamp(b, (x, y), 4.2)
            elif what == "tree":
                nature.tree(b, rng, (x, y), rng.uniform(4.5, 6), fast=fast)
            obstacles.append(Obstacle(x, y, 0.5))
            if rng.random() < 0.45 and abs(x) > 4.5:
                kit.car(b, rng, (x + 3, sign * (road - 1.05)), 0.0 if sign > 0 else np.pi)
                obstacles.append(Obstacle(x + 3, sign * (road - 1.05), 2.4))
    return Place(
        "street",
        "a city street",
        "along",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        free_m=min(3.6, road - 0.6),
        at="on",
    )
