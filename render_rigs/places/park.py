# SPDX-License-Identifier: GPL-3.0-or-later
"""A park: lawn, a gravel path through the middle, benches, lamps, a pond, flower beds, trees."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    lawn = kit.pick(rng, ("#557f36", "#5f8a3a", "#4a7533"))
    b.plane((0, 0, 0), (140, 140), lawn, "grass")
    path_color = kit.pick(rng, ("#c2ab82", "#b0a392", "#a89078"))
    x = np.linspace(-60, 60, 80)
    y = 1.2 * np.sin(x * 0.12 + rng.uniform(0, 6)) * np.clip(np.abs(x) / 12, 0, 2.5)
    wide = rng.uniform(1.7, 2.6)
    verts = np.concatenate(
        [np.stack([x, y - wide, 0 * x + 0.006], -1), np.stack([x, y + wide, 0 * x + 0.006], -1)]
    )
    i = np.arange(79)
    b.add(verts, np.stack([i, i + 1, i + 81, i + 80], -1), path_color, "dirt")
    nature.hills(b, rng, 65, "#4f7040")
    nature.grass_tufts(b, rng, 700 if fast else 9000, 14, lawn, 0.07, inner_m=3.0)
    obstacles, seats = [], []
    if rng.random() < 0.35:
        kit.seat(b, rng, seats)
    for k in range(10):
        a = 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / 10
        r = rng.uniform(8, 20)
        px, py = r * np.cos(a), r * np.sin(a)
        if abs(py) < wide + 1.5:
            continue
        nature.tree(b, rng, (px, py), rng.uniform(5, 8.5), fast=fast)
        obstacles.append(Obstacle(px, py, 1.3))
    for sign in (-1, 1):
        bx = rng.uniform(-8, 8)
        bx = bx if abs(bx) > 3 else bx + 6 * np.sign(bx + 1e-9)
        kit.bench(b, rng, (bx, sign * (wide + 1.6)), -sign * np.pi / 2)
        obstacles.append(Obstacle(bx, sign * (wide + 1.6), 1.0))
        kit.street_lamp(b, (bx + 2.2, sign * (wide + 1.1)), 3.4)
        obstacles.append(Obstacle(bx + 2.2, sign * (wide + 1.1), 0.5))
    if rng.random() < 0.6:
        px, py = rng.uniform(-12, 12), rng.choice([-1, 1]) * rng.uniform(10, 14)
        b.cylinder((px, py, -0.02), rng.uniform(3, 4.5), 0.05, "#4f7f8a", "water", segments=36)
        for k in range(16):
            a = 2 * np.pi * k / 16
            nature.rock(b, rng, (px + 4.4 * np.cos(a), py + 4.4 * np.sin(a)), 0.4)
    for _ in range(3):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(7, 12)
        nature.bush(b, rng, (r * np.cos(a), r * np.sin(a)), rng.uniform(0.6, 1.0), fast=fast)
        obstacles.append(Obstacle(r * np.cos(a), r * np.sin(a), 1.1))
    return Place(
        "park",
        "a park",
        "through",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        seats=seats,
        free_m=4.5,
    )
