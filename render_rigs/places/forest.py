# SPDX-License-Identifier: GPL-3.0-or-later
"""A forest path: trunks on both sides, needles and leaves on the ground, ferns, moss, stones."""

import numpy as np

from render_rigs.mesh import MeshBuilder
from render_rigs.places import kit, lighting, nature
from render_rigs.scene import Obstacle, Place


def build(rng: np.random.Generator, fast: bool = False) -> Place:
    b = MeshBuilder()
    autumn = rng.random() < 0.3
    ground = "#8a5f34" if autumn else kit.pick(rng, ("#5d6a36", "#6b5a3a", "#4f6232"))
    b.plane((0, 0, 0), (120, 120), ground, "leaves")
    x = np.linspace(-50, 50, 60)
    bend = 1.5 * np.sin(x * 0.1) * np.clip(np.abs(x) / 10, 0, 2)
    verts = np.concatenate(
        [np.stack([x, bend - 1.6, 0 * x + 0.006], -1), np.stack([x, bend + 1.6, 0 * x + 0.006], -1)]
    )
    i = np.arange(59)
    b.add(verts, np.stack([i, i + 1, i + 61, i + 60], -1), "#8f7350", "dirt")
    nature.hills(b, rng, 48, "#5a4a2a" if autumn else "#3f5a34")
    blades = "#a0703a" if autumn else "#5f7a35"
    nature.grass_tufts(b, rng, 800 if fast else 7000, 18, blades, 0.16, 2.2)
    fir = rng.random() < 0.5
    obstacles = []
    count = 20 if fast else 34
    for k in range(count):
        a = 2 * np.pi * (k + rng.uniform(-0.4, 0.4)) / count
        r = rng.uniform(6.8, 9.5) if k % 3 == 0 else rng.uniform(9.5, 24)
        px, py = r * np.cos(a), r * np.sin(a)
        if abs(py) < 2.6:
            continue
        height = rng.uniform(7, 13)
        if fir:
            needles = kit.pick(rng, ("#2f5232", "#3a5f38", "#2a4a35"))
            nature.conifer(b, rng, (px, py), height, needles, fast=fast)
        else:
            leaf = kit.pick(rng, ("#c27a2a", "#a8522a", "#d0a03a")) if autumn else None
            nature.tree(
                b,
                rng,
                (px, py),
                height,
                leaf,
                fast=fast,
                bark=kit.pick(rng, ("#5d4a3a", "#4a3f36", "#cfcac0")),
            )
        obstacles.append(Obstacle(px, py, 1.0))
    for _ in range(10 if fast else 22):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(3.8, 12)
        px, py = r * np.cos(a), r * np.sin(a)
        if abs(py) < 2.4 or r < 5:
            continue
        if rng.random() < 0.35:
            nature.rock(b, rng, (px, py), rng.uniform(0.25, 0.7), "#6f756a")
        else:
            fern(b, rng, (px, py), rng.uniform(0.4, 0.8))
    return Place(
        "forest",
        "an autumn forest" if autumn else "a forest path",
        "through" if autumn else "along",
        b.build(),
        lighting.outdoor(
            rng, ("at noon", "in the morning", "under an overcast sky", "at sunset"), fast=fast
        ),
        obstacles=obstacles,
        free_m=4.2,
        at="in" if autumn else "on",
    )


def fern(b: MeshBuilder, rng, at, size_m) -> None:
    for k in range(9):
        a = 2 * np.pi * k / 9 + rng.uniform(-0.2, 0.2)
        s = np.linspace(0, 1, 6)
        out = np.array([np.cos(a), np.sin(a), 0])
        spine = (
            np.array([*at, 0])
            + out * (s * size_m)[:, None]
            + np.array([0, 0, 1.0]) * (size_m * (1.1 * s - 1.0 * s**2))[:, None]
        )
        wide = 0.16 * size_m * np.sin(np.pi * (0.1 + 0.9 * s))
        side = np.cross(out, (0, 0, 1.0)) * wide[:, None]
        i = np.arange(5)
        b.add(
            np.concatenate([spine - side, spine + side]),
            np.stack([i, i + 6, i + 7, i + 1], -1),
            np.clip(nature.hex_rgb("#4f7a30") * rng.uniform(0.7, 1.2), 0, 1),
            "foliage",
        )
