# SPDX-License-Identifier: GPL-3.0-or-later
"""A town square: paving, facades around it, a fountain or statue, trees, benches, lamps."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    words, surface, color = [
        ("a stone plaza", "slabs", "#a49a8a"),
        ("a brick square", "brick", "#9a5a44"),
        ("a cobbled square", "cobble", "#8a857c"),
        ("a paved plaza", "paving", "#8f9296"),
    ][rng.integers(4)]
    b.plane((0, 0, 0), (90, 90), color, surface, cells=(1, 1))
    if rng.random() < 0.4:
        ring = kit.pick(rng, (("#7d6a58", "cobble"), ("#b5a58c", "paving"), ("#8a5a48", "brick")))
        b.cylinder((0, 0, 0.004), rng.uniform(3.2, 5.0), 0.003, *ring, segments=40)
    obstacles, seats = [], []
    if rng.random() < 0.35:
        kit.seat(b, rng, seats)
    half = rng.uniform(13, 17)
    for side in range(1, 4):  # open to one side, where low sun comes in
        kit.facade_row(b, rng, half, side * np.pi / 2, fast=fast)
    for _ in range(7):
        nature.tree(
            b, rng, (rng.uniform(-20, 20), -half - rng.uniform(3, 14)), rng.uniform(5, 8), fast=fast
        )
    ring = rng.permutation(8)
    for k, slot in enumerate(ring[: rng.integers(5, 8)]):
        a = slot * np.pi / 4 + rng.uniform(-0.2, 0.2)
        r = rng.uniform(8.2, 11.0)
        x, y = r * np.cos(a), r * np.sin(a)
        what = ("tree", "tree", "lamp", "planter", "bench", "fountain")[k % 6]
        if what == "tree":
            nature.tree(b, rng, (x, y), rng.uniform(4.5, 7), fast=fast)
        elif what == "lamp":
            kit.street_lamp(b, (x, y), rng.uniform(3.2, 4.2))
        elif what == "planter":
            kit.planter(b, rng, (x, y), fast=fast)
        elif what == "bench":
            kit.bench(b, rng, (x, y), a + np.pi)
        else:
            kit.fountain(b, (x, y), rng.uniform(1.4, 2.0))
        obstacles.append(Obstacle(x, y, 1.2))
    return Place(
        "plaza",
        words,
        "across",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        seats=seats,
        free_m=4.0,
    )
