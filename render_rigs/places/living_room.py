# SPDX-License-Identifier: GPL-3.0-or-later
"""A large living room: rug, sofas, table with chairs, shelves, pictures, plants, lamps."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import furniture, kit, lighting
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    half_x, half_y, height = rng.uniform(6.5, 8), rng.uniform(6.2, 7.5), rng.uniform(4.2, 5.0)
    floor = (kit.pick(rng, ("#a87b4f", "#8a6240", "#c2a274", "#6b4a32")), "parquet")
    wall = (kit.pick(rng, ("#e6dcc8", "#c9d2cb", "#d8c2ae", "#b9c4cf", "#dfd9e0")), "plaster")
    lamps = furniture.room(b, rng, half_x, half_y, height, floor=floor, wall=wall, sill_m=0.8)
    rug = rng.uniform(3.2, 4.4)
    b.box(
        (0, 0, 0),
        (rug, rug * 0.75, 0.012),
        kit.pick(rng, ("#94524a", "#4a5f7a", "#8a7a5c", "#647d70")),
        "rug",
        turn_rad=rng.uniform(-0.3, 0.3),
    )
    obstacles = []
    slots = [
        (half_x - 0.7, 0.0, np.pi),
        (-half_x + 0.7, 0.0, 0.0),
        (0.0, half_y - 0.7, -np.pi / 2),
        (0.0, -half_y + 0.7, np.pi / 2),
    ]
    order = rng.permutation(4)
    for slot, what in zip(order, ("sofa", "shelf", "table", "sofa"), strict=True):
        x, y, turn = slots[slot]
        inward = np.array([np.cos(turn), np.sin(turn)])
        if what == "sofa":
            near = rng.uniform(0.0, 2.0)  # some stand in the room, facing the rug
            x, y = x + near * inward[0], y + near * inward[1]
            furniture.sofa(b, rng, (x, y), turn, seats=int(rng.integers(2, 4)))
            furniture.floor_lamp(b, rng, (x + 1.6 * inward[1], y + 1.6 * inward[0]), lamps)
            obstacles.append(Obstacle(x, y, 1.4))
        elif what == "shelf":
            for k in (-1, 0, 1):
                furniture.bookshelf(
                    b,
                    rng,
                    (
                        x - 0.5 * inward[0] + 1.65 * k * inward[1],
                        y - 0.5 * inward[1] + 1.65 * k * inward[0],
                    ),
                    turn + np.pi / 2,
                )
            obstacles.append(Obstacle(x, y, 2.2))
        else:
            at = (x + inward[0] * 0.9, y + inward[1] * 0.9)
            furniture.table(b, rng, at, turn + np.pi / 2)
            obstacles.append(Obstacle(*at, 1.5))
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (half_x - 0.6), sy * (half_y - 0.6)
            if rng.random() < 0.6:
                furniture.pot_plant(b, rng, (x, y), rng.uniform(1.2, 1.9), fast=fast)
            obstacles.append(Obstacle(x, y, 0.6))
    for side in range(4):
        spot = furniture.Spot(b, 0, 0, side * np.pi / 2)
        near = (half_y, half_x)[side % 2]
        for x in (-3.2, 3.2):
            furniture.picture(b, rng, spot, x, near, rng.uniform(2.9, 3.1) if height > 4.4 else 1.6)
    return Place(
        "living_room",
        "a living room",
        "through",
        b.build(),
        lighting.indoor(rng),
        lamps=lamps,
        obstacles=obstacles,
        free_m=2.8,
        indoor=True,
    )
