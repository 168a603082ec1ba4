# SPDX-License-Identifier: GPL-3.0-or-later
"""A courtyard: arcades on its sides, a well or fountain off the middle, orange trees in pots."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import furniture, kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    b.plane(
        (0, 0, 0),
        (60, 60),
        kit.pick(rng, ("#b09a7c", "#a8917a", "#9c9488")),
        kit.pick(rng, ("slabs", "paving", "cobble")),
    )
    half = rng.uniform(10.5, 12.5)
    wall = kit.pick(
        rng,
        (
            ("#d8b98a", "plaster"),
            ("#c98f6a", "plaster"),
            ("#e0d6c2", "plaster"),
            ("#a5624a", "brick"),
        ),
    )
    stone = kit.pick(rng, ("#d9cfb8", "#c2b59c", "#e2ddd0"))
    for side in range(4):
        arcade(b, rng, half, side * np.pi / 2, wall, stone, tall=side != 0)
    obstacles, seats = [], []
    if rng.random() < 0.35:
        kit.seat(b, rng, seats)
    a = rng.uniform(0, 2 * np.pi)
    x, y = 7.6 * np.cos(a), 7.6 * np.sin(a)
    kit.fountain(b, (x, y), 1.5)
    obstacles.append(Obstacle(x, y, 1.9))
    for k in range(6):
        angle = a + 0.8 + k * 0.85
        r = rng.uniform(7, 8.6)
        x, y = r * np.cos(angle), r * np.sin(angle)
        if rng.random() < 0.7:
            b.cylinder((x, y, 0), 0.42, 0.6, "#b5653a", "plain", top_m=0.52)
            nature.tree(b, rng, (x, y), rng.uniform(2.4, 3.2), "#3f6f2f", fast=fast)
            for _ in range(14):
                p = rng.standard_normal(3) * 0.45 + (x, y, 2.0)
                b.ball(p, 0.07, "#e0862a", "plain", segments=6, rings=5)
        else:
            furniture.pot_plant(b, rng, (x, y), 1.5, fast=fast)
        obstacles.append(Obstacle(x, y, 0.8))
    return Place(
        "courtyard",
        "a courtyard",
        "across",
        b.build(),
        lighting.outdoor(rng, fast=fast),
        obstacles=obstacles,
        seats=seats,
        free_m=4.2,
    )


def arcade(b: MeshBuilder, rng, half, turn, wall, stone, tall=True) -> None:
    """Columns and round arches before a wall, windows above."""
    s = furniture.Spot(b, 0, 0, turn)
    bays, pitch = int(2 * half / 3.0), 3.0
    top, height = 3.4, 7.4 if tall else 4.2
    for k in range(bays + 1):
        x = (k - bays / 2) * pitch
        s.box((x, half, 0), (0.6, 0.6, 0.35), stone, "concrete")
        s.pole((x, half, 0.35), 0.2, 1.95, stone, "concrete", top=0.17, segments=14)
        s.box((x, half, 2.3), (0.55, 0.55, 0.2), stone, "concrete")
    arc = np.linspace(0, np.pi, 13)
    radius = pitch / 2 - 0.14
    for k in range(bays):
        x = (k + 0.5 - bays / 2) * pitch
        rise = 2.5 + radius * 0.58 * np.sin(arc)
        rim = np.stack([x + radius * np.cos(arc), 0 * arc + half, rise], -1)
        upper = np.stack([x + np.cos(arc) * pitch / 2, 0 * arc + half, 0 * arc + top], -1)
        for out in (-0.25, 0.25):
            shift = np.array([0, out, 0])
            verts = [s.point(p) for p in np.concatenate([rim + shift, upper + shift])]
            i = np.arange(12)
            quads = np.stack([i, i + 1, i + 14, i + 13], -1)
            b.add(verts, quads if out > 0 else quads[:, ::-1], *wall)
        verts = [s.point(p) for p in np.concatenate([rim + (0, -0.25, 0), rim + (0, 0.25, 0)])]
        b.add(verts, np.stack([i, i + 13, i + 14, i + 1], -1), stone, "concrete")
    s.box((0, half, top), (2 * half + 1, 0.55, 0.25), stone, "concrete")
    s.box((0, half + 2.6, 0), (2 * half + 6, 0.4, top + 0.2), *wall)
    s.box((0, half + 1.4, top), (2 * half + 6, 2.9, 0.2), stone, "planks")
    if tall:
        s.box((0, half + 0.4, top + 0.2), (2 * half + 1, 0.5, height - top - 0.2), *wall)
        shutter = kit.pick(rng, ("#3f6b4a", "#2f5a7a", "#7a5a3a"))
        for k in range(bays):
            x = (k + 0.5 - bays / 2) * pitch
            kit._window(
                b,
                lambda px, py, pz=0.0: s.point((px, py, pz)),
                turn,
                x,
                half + 0.15,
                top + 1.1,
                0.95,
                1.5,
                "#e8e4da",
                shutter,
            )
        roof = [
            (-half - 1, half - 0.6, height),
            (half + 1, half - 0.6, height),
            (half + 1, half + 4, height + 1.6),
            (-half - 1, half + 4, height + 1.6),
        ]
        b.quad([s.point(p) for p in roof], "#a5553a", "roof")
