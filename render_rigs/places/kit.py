# SPDX-License-Identifier: GPL-3.0-or-later
"""What people build: house fronts, lamps, benches, planters, fountains, fences, cars, cabins."""

import numpy as np

from render_rigs.mesh import MeshBuilder, rotation_z
from render_rigs.places.nature import bush, hex_rgb, pick

WALLS = (
    ("#b98d6a", "plaster"),
    ("#c9b48f", "plaster"),
    ("#8f4e3c", "brick"),
    ("#a5624a", "brick"),
    ("#d3cfc4", "plaster"),
    ("#9aa3a0", "concrete"),
    ("#c08a7a", "plaster"),
    ("#7d8ea3", "plaster"),
    ("#d8c48a", "plaster"),
    ("#6f6a66", "brick"),
)


def facade_row(b: MeshBuilder, rng, distance_m: float, angle_rad: float, fast=False) -> None:
    """Houses side by side on the line ``distance_m`` from the origin, facing it."""
    at = -distance_m - 4
    while at < distance_m + 4:
        width = rng.uniform(6, 11)
        house(b, rng, at + width / 2, distance_m, width, angle_rad, fast=fast)
        at += width


def house(b: MeshBuilder, rng, along_m, distance_m, width_m, angle_rad, fast=False) -> None:
    """One facade with windows, a door or shop front, a cornice and a roof."""
    color, surface = pick(rng, WALLS)
    floors = int(rng.integers(2, 5))
    story = rng.uniform(2.8, 3.4)
    height = floors * story + 0.8
    depth = 6.0
    turn = angle_rad
    spin = rotation_z(turn)

    def place(x, y, z=0.0):
        return tuple(spin @ np.array([x, y, z]))

    d = distance_m + rng.uniform(-0.3, 0.3)
    b.box(place(along_m, d + depth / 2), (width_m, depth, height), color, surface, turn_rad=turn)
    b.box(place(along_m, d - 0.08, 0), (width_m, 0.25, 0.7), "#7f7a72", "concrete", turn_rad=turn)
    b.box(
        place(along_m, d - 0.1, height - 0.3),
        (width_m + 0.1, 0.5, 0.3),
        "#d9d4c6",
        "plaster",
        turn_rad=turn,
    )
    roof = np.array(
        [
            (-width_m / 2, -0.4, 0),
            (width_m / 2, -0.4, 0),
            (width_m / 2, depth / 2, 2.2),
            (-width_m / 2, depth / 2, 2.2),
        ]
    ) @ spin.T + place(along_m, d, height)
    b.quad(roof, pick(rng, ("#8a4632", "#6b4a3c", "#54565c", "#9a5a3a")), "roof")
    columns = max(int(width_m / rng.uniform(1.8, 2.6)), 2)
    frame = pick(rng, ("#e8e4da", "#5a3d2b", "#3c4a44", "#d0d0d0"))
    shutters = rng.random() < 0.4
    shutter = pick(rng, ("#3f6b4a", "#2f5a7a", "#8a3a32", "#7a5a3a"))
    shop = rng.random() < 0.45
    for floor in range(floors):
        for c in range(columns):
            x = along_m + (c + 0.5 - columns / 2) * width_m / columns
            z = 0.95 + floor * story
            if floor == 0 and (shop or c == columns // 2):
                continue
            _window(b, place, turn, x, d, z, 0.95, 1.45, frame, shutter if shutters else None)
    if shop:
        sign = pick(rng, ("#b8352e", "#2d6a8a", "#3c7a4a", "#c98a2a", "#5a3a6a"))
        b.box(
            place(along_m, d - 0.02, 0.45),
            (width_m * 0.86, 0.1, 2.1),
            "#1d2a33",
            "glass",
            turn_rad=turn,
        )
        b.box(
            place(along_m, d - 0.12, 2.6), (width_m * 0.9, 0.15, 0.5), sign, "paint", turn_rad=turn
        )
        slope = np.array(
            [
                (-width_m * 0.43, 0, 0.35),
                (-width_m * 0.43, -1.2, 0),
                (width_m * 0.43, -1.2, 0),
                (width_m * 0.43, 0, 0.35),
            ]
        )
        b.quad(slope @ spin.T + place(along_m, d - 0.06, 2.25), sign, "stripes")
    else:
        x = along_m + (columns // 2 + 0.5 - columns / 2) * width_m / columns
        b.box(place(x, d - 0.03, 0.1), (1.25, 0.12, 2.35), frame, "wood", turn_rad=turn)
        b.box(place(x, d - 0.07, 0.1), (1.0, 0.12, 2.2), shutter, "wood", turn_rad=turn)


def _window(b, place, turn, x, d, z, width, height, frame, shutter) -> None:
    b.box(
        place(x, d - 0.02, z - 0.08),
        (width + 0.24, 0.14, height + 0.2),
        frame,
        "paint",
        turn_rad=turn,
    )
    b.box(place(x, d - 0.06, z), (width, 0.1, height), "#23323f", "glass", turn_rad=turn)
    b.box(place(x, d - 0.09, z), (0.06, 0.1, height), frame, "paint", turn_rad=turn)
    b.box(place(x, d - 0.09, z + height * 0.6), (width, 0.1, 0.06), frame, "paint", turn_rad=turn)
    b.box(
        place(x, d - 0.12, z - 0.14),
        (width + 0.34, 0.3, 0.07),
        "#bdb6a8",
        "concrete",
        turn_rad=turn,
    )
    if shutter:
        for side in (-1, 1):
            b.box(
                place(x + side * (width * 0.75 + 0.13), d - 0.04, z - 0.04),
                (width * 0.5, 0.08, height + 0.1),
                shutter,
                "wood",
                turn_rad=turn,
            )


def street_lamp(b: MeshBuilder, at, height_m, color="#25292c") -> None:
    x, y = at
    b.cylinder((x, y, 0), 0.16, 0.35, color, "paint", top_m=0.1)
    b.cylinder((x, y, 0.35), 0.055, height_m - 0.35, color, "paint", segments=8)
    b.cylinder((x, y, height_m), 0.14, 0.42, "#fff1c8", "lamp", top_m=0.2, segments=6)
    b.cylinder((x, y, height_m + 0.42), 0.24, 0.16, color, "paint", top_m=0.02, segments=6)


def bench(b: MeshBuilder, rng, at, heading_rad, wood=None) -> float:
    """A slatted bench that faces ``heading_rad``; returns its seat height."""
    wood = wood or pick(rng, ("#8a5a34", "#6f4a2c", "#9a7550", "#4f6a4a"))
    x, y = at
    spin = rotation_z(heading_rad)

    def box(p, size, color, surface):
        b.box(tuple(spin @ np.array(p) + (x, y, 0)), size, color, surface, turn_rad=heading_rad)

    for k in range(4):
        box((-0.18 + 0.12 * k, 0, 0.42), (0.1, 1.7, 0.035), wood, "wood")
    for k in range(3):
        box((-0.27 - 0.02 * k, 0, 0.53 + 0.13 * k), (0.035, 1.7, 0.1), wood, "wood")
    for side in (-0.7, 0.7):
        box((0, side, 0), (0.5, 0.06, 0.42), "#2a2d30", "paint")
        box((-0.26, side, 0.42), (0.05, 0.06, 0.5), "#2a2d30", "paint")
    return 0.455


def seat(b: MeshBuilder, rng, place_seats: list) -> None:
    """A low block to sit on near the middle; written down in ``place_seats``."""
    a, r = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.6)
    x, y, heading = r * np.cos(a), r * np.sin(a), rng.uniform(-np.pi, np.pi)
    color, surface = pick(rng, (("#a39a90", "concrete"), ("#8a5f3a", "wood"), ("#7f7a72", "rock")))
    b.box((x, y, 0), (0.5, 0.75, 0.44), color, surface, turn_rad=heading, taper=0.94)
    place_seats.append((x, y, 0.44, heading))


def planter(b: MeshBuilder, rng, at, fast=False) -> None:
    x, y = at
    color = pick(rng, ("#8a8780", "#a5623f", "#5a4a3c", "#c9c2b2"))
    b.box((x, y, 0), (1.5, 1.5, 0.6), color, "concrete", taper=1.08)
    bush(b, rng, (x, y), 0.75, fast=fast)
    count = 60
    a, r = rng.uniform(0, 6.28, count), rng.uniform(0.2, 0.75, count)
    unit = np.stack([r * np.cos(a) + x, r * np.sin(a) + y, rng.uniform(0.7, 1.1, count)], -1)
    flower = hex_rgb(pick(rng, ("#d8352e", "#e8c33a", "#d873a8", "#f0ece2", "#7a4ab0")))
    for p in unit[: 20 if fast else 60]:
        b.ball(p, 0.06, flower, "plain", segments=5, rings=4)


def fountain(b: MeshBuilder, at, radius_m) -> None:
    x, y = at
    stone = "#b5aea0"
    b.loft(
        np.array(
            [
                (x, y, 0),
                (x, y, 0.1),
                (x, y, 0.12),
                (x, y, 0.5),
                (x, y, 0.55),
                (x, y, 0.55),
                (x, y, 0.3),
            ]
        ),
        np.array([1.08, 1.08, 1.0, 1.0, 1.06, 0.9, 0.88]) * radius_m,
        stone,
        "concrete",
        segments=28,
        smooth=False,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )
    b.cylinder((x, y, 0.3), radius_m * 0.9, 0.1, "#4f7a86", "water", segments=28)
    z = np.array([0.3, 0.5, 0.6, 1.1, 1.2, 1.3, 1.34, 1.36, 1.7, 1.85])
    r = np.array([0.32, 0.3, 0.14, 0.12, 0.2, 0.75, 0.78, 0.2, 0.1, 0.16])
    b.loft(
        np.stack([0 * z + x, 0 * z + y, z], -1),
        r,
        stone,
        "concrete",
        segments=18,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )
    b.ball((x, y, 1.98), 0.2, stone, "concrete")


def fence(b: MeshBuilder, rng, distance_m: float, angle_rad: float, length_m=26.0) -> None:
    """A post-and-rail fence."""
    spin = rotation_z(angle_rad)
    wood = pick(rng, ("#8a6a48", "#a89a86", "#e0dcd2", "#6b5138"))
    for x in np.arange(-length_m / 2, length_m / 2 + 0.1, 2.0):
        b.box(
            tuple(spin @ (x, distance_m, 0)), (0.13, 0.13, 1.15), wood, "wood", turn_rad=angle_rad
        )
    for z in (0.45, 0.9):
        b.box(
            tuple(spin @ (0, distance_m, z)),
            (length_m, 0.05, 0.13),
            wood,
            "wood",
            turn_rad=angle_rad,
        )


def parasol(b: MeshBuilder, rng, at) -> None:
    """A beach parasol, a towel and a deck chair under it."""
    x, y = at
    color = pick(rng, ("#d8402f", "#2f7fb8", "#e8b83a", "#3a9a6a", "#d873a0"))
    b.cylinder((x, y, 0), 0.03, 2.2, "#e8e4da", "paint", segments=6)
    n = 12
    a = np.arange(n) / n * 2 * np.pi
    rim = np.stack([np.cos(a) * 1.35 + x, np.sin(a) * 1.35 + y, 0 * a + 1.85], -1)
    verts = np.concatenate([rim, [(x, y, 2.35)]])
    tint = np.array([hex_rgb(color) if k % 2 else hex_rgb("#f0ece2") for k in range(n)])
    k = np.arange(n)
    b.add(verts, np.stack([k, (k + 1) % n, np.full(n, n)], -1), tint, "fabric")
    b.box(
        (x + 0.5, y + 0.3, 0),
        (0.9, 1.8, 0.02),
        pick(rng, ("#3a6aa8", "#c84a6a", "#e0d0a0")),
        "stripes",
    )


def car(b: MeshBuilder, rng, at, heading_rad: float) -> None:
    """A parked car: body, cabin with windows, wheels, lights."""
    color = pick(rng, ("#b02a2a", "#2a4f8a", "#d8d8d6", "#2a2c30", "#7a7f86", "#d8a02a", "#2f6a4a"))
    spin = rotation_z(heading_rad)
    at = np.array([*at, 0.0])

    def world(points):
        return np.asarray(points) @ spin.T + at

    x = np.array([-2.15, -2.1, -1.9, -1.2, 0.0, 1.2, 1.85, 2.1, 2.15])
    half = np.array([0.7, 0.82, 0.88, 0.9, 0.9, 0.9, 0.87, 0.8, 0.66])
    top = np.array([0.72, 0.86, 0.92, 0.94, 0.94, 0.9, 0.82, 0.74, 0.6])
    low = 0.3
    centers = world(np.stack([x, 0 * x, (top + low) / 2], -1))
    u, v = spin @ (0, 1.0, 0), np.array([0, 0, 1.0])
    b.loft(
        centers,
        np.stack([half, (top - low) / 2], -1),
        color,
        "paint",
        segments=20,
        power=5,
        u=u,
        v=v,
    )
    x = np.array([-1.75, -1.45, -0.9, 0.1, 0.75, 1.25])
    top = np.array([0.93, 1.32, 1.43, 1.43, 1.3, 0.93])
    half = np.array([0.74, 0.7, 0.68, 0.68, 0.7, 0.76])
    centers = world(np.stack([x, 0 * x, (top + 0.85) / 2], -1))
    b.loft(
        centers,
        np.stack([half, (top - 0.85) / 2 + 0.01], -1),
        "#18222a",
        "glass",
        segments=20,
        power=5,
        u=u,
        v=v,
    )
    roof = world(np.stack([x[1:5], 0 * x[1:5], top[1:5] - 0.03], -1))
    b.loft(
        roof,
        np.stack([half[1:5] * 1.01, np.full(4, 0.05)], -1),
        color,
        "paint",
        segments=16,
        power=5,
        u=u,
        v=v,
    )
    angle = np.arange(14) / 14 * 2 * np.pi
    for wx in (-1.35, 1.3):
        for side in (-1, 1):
            for r, out, tint in ((0.32, 0.12, "#17181a"), (0.19, 0.135, "#a8abb0")):
                ring = np.stack([np.cos(angle) * r + wx, 0 * angle, np.sin(angle) * r + 0.32], -1)
                inner, outer = ring + (0, side * 0.72, 0), ring + (0, side * (0.78 + out), 0)
                k = np.arange(14)
                quads = np.stack([k, (k + 1) % 14, (k + 1) % 14 + 14, k + 14], -1)
                b.add(world(np.concatenate([inner, outer])), quads, tint, "plastic", smooth=True)
                cap = np.concatenate([outer, [(wx, side * (0.78 + out), 0.32)]])
                b.add(world(cap), np.stack([k, (k + 1) % 14, np.full(14, 14)], -1), tint, "plastic")
    for side in (-0.62, 0.62):
        b.box(
            tuple(world([(2.08, side, 0.58)])[0]),
            (0.1, 0.3, 0.14),
            "#f2efe2",
            "plain",
            turn_rad=heading_rad,
        )
        b.box(
            tuple(world([(-2.1, side, 0.66)])[0]),
            (0.1, 0.26, 0.14),
            "#a81c1c",
            "plain",
            turn_rad=heading_rad,
        )


def cabin(b: MeshBuilder, rng, distance_m: float, angle_rad: float) -> None:
    """A log cabin with a snow roof, facing the origin."""
    spin = rotation_z(angle_rad)

    def box(p, size, color, surface):
        b.box(tuple(spin @ np.array(p, float)), size, color, surface, turn_rad=angle_rad)

    for k in range(9):
        z = 0.15 + k * 0.28
        points = np.array([(-3.2, distance_m, z), (3.2, distance_m, z)]) @ spin.T
        b.loft(points, np.full(2, 0.16), "#6f4e32", "bark", segments=8)
    box((0, distance_m + 2.2, 0), (6.0, 4.2, 2.7), "#5e422b", "planks")
    box((0, distance_m - 0.15, 0), (1.0, 0.12, 2.0), "#3f2c1d", "wood")
    for x in (-1.9, 1.9):
        box((x, distance_m - 0.12, 1.0), (1.1, 0.12, 0.9), "#d8c8a0", "wood")
        box((x, distance_m - 0.16, 1.07), (0.95, 0.12, 0.76), "#e8b860", "screen")
    for slope in (1, -1):
        corners = (
            np.array(
                [
                    (-3.6, distance_m + 2.1 - slope * 2.9, 2.5),
                    (3.6, distance_m + 2.1 - slope * 2.9, 2.5),
                    (3.6, distance_m + 2.1, 4.6),
                    (-3.6, distance_m + 2.1, 4.6),
                ]
            )
            @ spin.T
        )
        b.quad(corners if slope > 0 else corners[::-1], "#e9eef4", "snow")
        b.quad(corners + (0, 0, 0.18), "#eef3f8", "snow")
    box((1.6, distance_m + 2.6, 3.2), (0.7, 0.7, 1.7), "#7a6a60", "brick")
