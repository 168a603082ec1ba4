# SPDX-License-Identifier: GPL-3.0-or-later
"""An open-plan office: rows of desks around an open middle, shelves, plants, tall windows."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import furniture, kit, lighting
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    half_x, half_y, height = rng.uniform(8.5, 10.5), rng.uniform(8, 9.5), rng.uniform(4.6, 5.6)
    floor = (
        (kit.pick(rng, ("#6b7480", "#8a7f72", "#5d6a5d")), "carpet")
        if rng.random() < 0.6
        else (kit.pick(rng, ("#a87b4f", "#8a6240")), "parquet")
    )
    wall = (kit.pick(rng, ("#e2dfd6", "#cfd8da", "#d9d0bf")), "plaster")
    lamps = furniture.room(
        b, rng, half_x, half_y, height, floor=floor, wall=wall, window_m=(2.3, 2.4), sill_m=0.6
    )
    obstacles = []
    for x in np.arange(-half_x + 1.8, half_x - 1.5, 2.4):
        for y in (-half_y + 1.4, half_y - 1.4):
            if rng.random() < 0.8:
                furniture.desk(b, rng, (x, y), 0.0 if y > 0 else np.pi)
                obstacles.append(Obstacle(x, y, 1.4))
    for y in (-4.6, 4.6):  # islands of desks between the walls and the middle
        for x in np.arange(-4.8, 5.0, 2.4):
            if rng.random() < 0.45:
                furniture.desk(b, rng, (x, y), 0.0 if y > 0 else np.pi)
                obstacles.append(Obstacle(x, y, 1.4))
    for sign in (-1, 1):
        for y in np.arange(-half_y + 4, half_y - 3.5, 2.6):
            x = sign * (half_x - 0.35)
            what = rng.choice(["shelf", "plant", "desk", "none"])
            if what == "shelf":
                furniture.bookshelf(b, rng, (x, y), -sign * np.pi / 2)
            elif what == "plant":
                furniture.pot_plant(b, rng, (x - sign * 0.2, y), fast=fast)
            elif what == "desk":
                furniture.desk(b, rng, (x - sign * 1.0, y), -sign * np.pi / 2)
            obstacles.append(Obstacle(x, y, 1.6))
    return Place(
        "office",
        "an open office",
        "through",
        b.build(),
        lighting.indoor(rng),
        lamps=lamps,
        obstacles=obstacles,
        free_m=3.2,
        indoor=True,
    )
