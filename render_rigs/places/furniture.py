# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms and what stands in them: walls with windows, desks, sofas, shelves, crates, stalls."""

import numpy as np

from render_rigs.mesh import MeshBuilder, rotation_z
from render_rigs.places import kit, nature
from render_rigs.scene import Lamp

WOODS = ("#8a5f3a", "#a87b4f", "#6b4a2f", "#c2a274", "#5a4030")
CLOTHS = ("#4a5a6e", "#8a3f3a", "#5d7a5a", "#b9a27c", "#6a5a7a", "#c98a4a", "#3f6a7a", "#d0cabc")


class Spot:
    """A turned and shifted corner of a builder, so that a thing is written about its own origin."""

    def __init__(self, b: MeshBuilder, x, y, turn_rad=0.0) -> None:
        self.b, self.at, self.turn = b, np.array([x, y, 0.0]), turn_rad
        self.spin = rotation_z(turn_rad)

    def point(self, p):
        return tuple(self.spin @ np.asarray(p, float) + self.at)

    def box(self, p, size, color, surface="plain", taper=1.0):
        self.b.box(self.point(p), size, color, surface, turn_rad=self.turn, taper=taper)

    def cushion(self, p, size, color, surface="fabric"):
        """A rounded box: a loft of soft rectangles; ``p`` is the middle of its bottom."""
        x, y, z = size
        level = np.array([0, 0.12, 0.5, 0.88, 1.0]) * z
        grow = np.array([0.9, 0.98, 1.0, 0.98, 0.9]) / 2
        centers = np.array([self.point((p[0], p[1], p[2] + k)) for k in level])
        self.b.loft(
            centers,
            np.stack([grow * x, grow * y], -1),
            color,
            surface,
            segments=16,
            power=7,
            u=self.spin @ (1.0, 0, 0),
            v=self.spin @ (0, 1.0, 0),
        )

    def pole(self, p, radius, height, color, surface="metal", top=None, segments=8):
        self.b.cylinder(self.point(p), radius, height, color, surface, segments=segments, top_m=top)


def room(
    b: MeshBuilder,
    rng,
    half_x,
    half_y,
    height,
    *,
    floor,
    wall,
    windows=True,
    window_m=(2.2, 1.9),
    sill_m=0.9,
    ceiling="#e6e3da",
    columns=False,
    trim="#d9d5ca",
) -> list[Lamp]:
    """Floor, four walls (some with windows that let light in), ceiling, and its lamps."""
    b.plane((0, 0, 0), (2 * half_x, 2 * half_y), *floor)
    b.quad(
        [
            (-half_x, -half_y, height),
            (-half_x, half_y, height),
            (half_x, half_y, height),
            (half_x, -half_y, height),
        ],
        ceiling,
        "plaster",
    )
    for side, (near, along) in enumerate(((half_y, half_x), (half_x, half_y)) * 2):
        spot = Spot(b, 0, 0, side * np.pi / 2)
        open_here = windows and rng.random() < 0.65
        _wall(spot, rng, near, along, height, wall, open_here, window_m, sill_m, trim)
    lamps = []
    nx, ny = max(round(half_x / 3.5), 1), max(round(half_y / 3.5), 1)
    for i in range(nx):
        for j in range(ny):
            x, y = (i + 0.5 - nx / 2) * 2 * half_x / nx, (j + 0.5 - ny / 2) * 2 * half_y / ny
            b.box((x, y, height - 0.06), (1.5, 0.5, 0.05), "#fff6e2", "lamp")
            lamps.append(Lamp((x, y, height - 0.1), 900.0 / (nx * ny) * (height / 4), 1.4))
    return lamps


def _wall(spot: Spot, rng, near, along, height, wall, windows, window_m, sill_m, trim) -> None:
    color, surface = wall
    width, tall = window_m
    count = int(2 * along / (width + 1.3)) if windows else 0
    edges = [-along]
    for k in range(count):
        x = (k + 0.5 - count / 2) * 2 * along / count
        edges += [x - width / 2, x + width / 2]
    edges.append(along)

    def panel(x0, x1, z0, z1):
        corners = [(x0, near, z0), (x0, near, z1), (x1, near, z1), (x1, near, z0)]
        spot.b.quad([spot.point(c) for c in corners], color, surface)

    for k in range(0, len(edges), 2):
        panel(edges[k], edges[k + 1], 0, height)
    for k in range(1, len(edges) - 1, 2):
        x0, x1 = edges[k], edges[k + 1]
        panel(x0, x1, 0, sill_m)
        panel(x0, x1, sill_m + tall, height)
        middle = (x0 + x1) / 2
        for z in (sill_m, sill_m + tall * 0.66, sill_m + tall - 0.05):
            spot.box((middle, near, z), (width, 0.09, 0.06), trim, "paint")
        for x in (x0, middle, x1):
            spot.box((x, near, sill_m), (0.06, 0.09, tall), trim, "paint")
        spot.box((middle, near - 0.1, sill_m - 0.05), (width + 0.2, 0.3, 0.05), trim, "paint")
    spot.box((0, near - 0.02, 0), (2 * along, 0.05, 0.14), trim, "paint")


def desk(b: MeshBuilder, rng, at, turn) -> None:
    """A desk with a screen, keyboard, papers, a lamp, and an office chair."""
    s = Spot(b, *at, turn)
    wood = kit.pick(rng, WOODS)
    s.box((0, 0, 0.71), (1.6, 0.8, 0.035), wood, "wood")
    for x in (-0.72, 0.72):
        s.box((x, 0, 0), (0.05, 0.7, 0.71), "#2f3236", "metal")
    s.box((0.5, 0.05, 0.12), (0.42, 0.6, 0.56), "#b9bcc0", "metal")
    s.box((-0.05, 0.2, 0.745), (0.24, 0.18, 0.02), "#1f2124", "plastic")
    s.box((-0.05, 0.23, 0.76), (0.05, 0.03, 0.16), "#1f2124", "plastic")
    s.box((-0.05, 0.2, 0.86), (0.62, 0.035, 0.38), "#17181b", "plastic")
    s.box(
        (-0.05, 0.178, 0.885),
        (0.57, 0.01, 0.33),
        kit.pick(rng, ("#7fb2d9", "#d9e2ea", "#6fa88a")),
        "screen",
    )
    s.box((-0.05, -0.12, 0.745), (0.42, 0.14, 0.02), "#2a2c30", "plastic")
    s.box((0.42, -0.1, 0.745), (0.21, 0.3, 0.01 + 0.08 * rng.random()), "#ece8dc", "plain")
    s.pole((-0.6, 0.15, 0.745), 0.05, 0.1, kit.pick(rng, CLOTHS), "plastic")
    office_chair(
        b,
        rng,
        s.point((rng.uniform(-0.2, 0.2), -0.75, 0))[:2],
        turn + np.pi / 2 + rng.uniform(-0.5, 0.5),
    )


def office_chair(b, rng, at, turn) -> None:
    s = Spot(b, *at, turn)
    color = kit.pick(rng, ("#26292d", "#3f5a7a", "#7a3a36", "#4a6a52"))
    for k in range(5):
        a = 2 * np.pi * k / 5
        toe = s.point((0.3 * np.cos(a), 0.3 * np.sin(a), 0.05))
        s.b.loft(
            np.array([s.point((0, 0, 0.1)), toe]),
            np.array([0.03, 0.025]),
            "#1d1f22",
            "plastic",
            segments=6,
        )
    s.pole((0, 0, 0.08), 0.03, 0.36, "#8a8d92")
    s.cushion((0, 0, 0.42), (0.5, 0.5, 0.09), color)
    s.cushion((-0.24, 0, 0.56), (0.08, 0.46, 0.52), color)


def chair(b, rng, at, turn, wood=None) -> None:
    s = Spot(b, *at, turn)
    wood = wood or kit.pick(rng, WOODS)
    for x in (-0.19, 0.19):
        for y in (-0.19, 0.19):
            s.box((x, y, 0), (0.045, 0.045, 0.45), wood, "wood")
    s.box((0, 0, 0.45), (0.46, 0.46, 0.035), wood, "wood")
    for y in (-0.2, 0, 0.2):
        s.box((-0.21, y, 0.48), (0.03, 0.05, 0.42), wood, "wood")
    s.box((-0.21, 0, 0.88), (0.035, 0.46, 0.09), wood, "wood")


def table(b, rng, at, turn, size=(1.7, 0.95), chairs=True) -> None:
    s = Spot(b, *at, turn)
    wood = kit.pick(rng, WOODS)
    s.box((0, 0, 0.72), (*size, 0.045), wood, "wood")
    for x in (-1, 1):
        for y in (-1, 1):
            s.box(
                (x * (size[0] / 2 - 0.08), y * (size[1] / 2 - 0.08), 0),
                (0.07, 0.07, 0.72),
                wood,
                "wood",
            )
    s.pole((0, 0, 0.765), 0.09, 0.2, kit.pick(rng, CLOTHS), "plain", top=0.06)
    for k in range(12):
        a = k * 0.55
        s.b.ball(
            s.point((0.1 * np.cos(a * 3), 0.1 * np.sin(a * 3), 1.05 + 0.02 * k)),
            0.05,
            ("#d8485a", "#4c7a2b", "#e8c33a")[k % 3],
            "foliage",
            segments=5,
            rings=4,
        )
    if chairs:
        for sign in (-1, 1):
            for x in (-0.4, 0.4):
                chair(
                    b,
                    rng,
                    s.point((x, sign * (size[1] / 2 + 0.25), 0))[:2],
                    turn - sign * np.pi / 2,
                    wood,
                )


def sofa(b, rng, at, turn, color=None, seats=3) -> None:
    s = Spot(b, *at, turn)
    color = color or kit.pick(rng, CLOTHS)
    wide = 0.68 * seats
    s.box((0, 0, 0), (0.8, wide + 0.1, 0.12), "#3f2f22", "wood")
    s.cushion((0, 0, 0.12), (0.9, wide + 0.3, 0.28), color)
    s.cushion((-0.36, 0, 0.32), (0.26, wide + 0.25, 0.56), color)
    for side in (-1, 1):
        s.cushion((0, side * (wide / 2 + 0.12), 0.12), (0.9, 0.24, 0.5), color)
    for k in range(seats):
        y = (k + 0.5 - seats / 2) * 0.68
        s.cushion((0.07, y, 0.38), (0.68, 0.66, 0.15), color)
    s.cushion((-0.1, wide * 0.3, 0.5), (0.16, 0.4, 0.38), kit.pick(rng, CLOTHS))


def bookshelf(b, rng, at, turn, width=1.6, height=2.1) -> None:
    s = Spot(b, *at, turn)
    wood = kit.pick(rng, WOODS)
    for x in (-width / 2, width / 2):
        s.box((x, 0, 0), (0.04, 0.32, height), wood, "wood")
    s.box((0, 0.15, 0), (width, 0.02, height), wood, "wood")
    shelves = int(height / 0.38)
    spines = (
        "#8a3a32",
        "#2f5a7a",
        "#c9a24a",
        "#3f6a4a",
        "#e0d8c4",
        "#5a3a6a",
        "#22262c",
        "#b5653a",
    )
    palette = np.array([nature.hex_rgb(c) for c in spines])
    for k in range(shelves + 1):
        z = k * (height - 0.04) / shelves
        s.box((0, 0, z), (width, 0.32, 0.035), wood, "wood")
        if k == shelves:
            break
        x = -width / 2 + 0.05
        while x < width / 2 - 0.12:
            thick, tall = rng.uniform(0.025, 0.07), rng.uniform(0.2, 0.3)
            if rng.random() < 0.85:
                s.box(
                    (x + thick / 2, 0.02, z + 0.035),
                    (thick, 0.2, tall),
                    palette[rng.integers(len(palette))],
                    "plain",
                )
            x += thick + 0.004 + (0.2 if rng.random() < 0.06 else 0)


def pot_plant(b, rng, at, height=1.4, fast=False) -> None:
    x, y = at
    b.cylinder(
        (x, y, 0), 0.17, 0.36, kit.pick(rng, ("#b5653a", "#e0dcd0", "#3f4a52")), "plain", top_m=0.23
    )
    b.cylinder((x, y, 0.33), 0.2, 0.02, "#3a2a1f", "dirt")
    n = 10 if fast else 18
    for k in range(n):
        a = 2.4 * k
        s = np.linspace(0, 1, 5)
        length = height * rng.uniform(0.45, 0.75)
        out = np.array([np.cos(a), np.sin(a), 0])
        spine = (
            np.array([x, y, 0.35])
            + out * (s**1.4 * length * 0.6)[:, None]
            + np.array([0, 0, 1.0]) * (length * (1.25 * s - 0.55 * s**2))[:, None]
        )
        side = np.cross(out, (0, 0, 1.0)) * (0.1 * np.sin(np.pi * (0.12 + 0.88 * s)))[:, None]
        verts = np.concatenate([spine - side, spine + side])
        i = np.arange(4)
        b.add(
            verts,
            np.stack([i, i + 5, i + 6, i + 1], -1),
            np.clip(nature.hex_rgb(kit.pick(rng, nature.GREENS)) * rng.uniform(0.8, 1.2), 0, 1),
            "foliage",
            smooth=True,
        )


def picture(b, rng, spot: Spot, x, near, z, size=(1.2, 0.9)) -> None:
    """A framed painting on a wall: a few bands of colour."""
    spot.box(
        (x, near - 0.03, z), (size[0] + 0.1, 0.04, size[1] + 0.1), kit.pick(rng, WOODS), "wood"
    )
    low = z + 0.05
    for _ in range(4):
        tall = size[1] / 4
        spot.box((x, near - 0.055, low), (size[0], 0.02, tall), kit.pick(rng, CLOTHS), "plaster")
        low += tall


def floor_lamp(b, rng, at, lamps: list[Lamp] | None = None) -> None:
    x, y = at
    b.cylinder((x, y, 0), 0.16, 0.03, "#2a2b2e", "metal")
    b.cylinder((x, y, 0.03), 0.015, 1.5, "#2a2b2e", "metal", segments=6)
    b.cylinder((x, y, 1.45), 0.22, 0.3, "#f3dfb0", "lamp", top_m=0.15, segments=14)
    if lamps is not None:
        lamps.append(Lamp((x, y, 1.85), 45.0, 0.0, (1.0, 0.8, 0.55)))


def crate(b, rng, at, turn, size=1.0, z=0.0) -> None:
    s = Spot(b, *at, turn)
    wood = kit.pick(rng, ("#a8804f", "#8f6a42", "#b8915c"))
    s.box((0, 0, z), (size * 0.94, size * 0.94, size * 0.94), wood, "planks")
    for x in (-1, 1):
        for y in (-1, 1):
            s.box(
                (x * size * 0.45, y * size * 0.45, z), (size * 0.1, size * 0.1, size), wood, "wood"
            )
    for k in (0.0, 0.9):
        for turn_k in range(4):
            t = Spot(b, *s.point((0, 0, 0))[:2], turn + turn_k * np.pi / 2)
            t.box((0, size * 0.47, z + k * size), (size, size * 0.06, size * 0.1), wood, "wood")


def rack(b, rng, at, turn, length=5.0, height=4.2, fast=False) -> None:
    """Warehouse racking: blue posts, orange beams, boxes on pallets."""
    s = Spot(b, *at, turn)
    bays = int(length / 2.4)
    post, beam = kit.pick(rng, (("#2f5a9a", "#d8702a"), ("#3f7a4a", "#d8a02a")))
    for k in range(bays + 1):
        for y in (-0.5, 0.5):
            s.box(((k - bays / 2) * 2.4, y, 0), (0.1, 0.1, height), post, "paint")
    for level in np.arange(0.15, height - 0.6, 1.4):
        for y in (-0.5, 0.5):
            s.box((0, y, level), (bays * 2.4, 0.06, 0.12), beam, "paint")
        for k in range(bays):
            for half in (-0.55, 0.55):
                if rng.random() < 0.2:
                    continue
                x = (k + 0.5 - bays / 2) * 2.4 + half
                s.box((x, 0, level + 0.12), (1.0, 1.0, 0.12), "#a8804f", "planks")
                tall = rng.uniform(0.5, 1.05)
                tone = kit.pick(rng, ("#b08a58", "#a67c4a", "#c29b68", "#8f9aa5", "#d0cabc"))
                s.box((x, 0, level + 0.24), (0.9, 0.9, tall), tone, "plain")
                s.box((x, 0, level + 0.24), (0.08, 0.91, tall + 0.005), "#d9c9a0", "plain")


def barrel(b, rng, at, color=None) -> None:
    x, y = at
    color = color or kit.pick(rng, ("#2f5a9a", "#b8352e", "#3f7a4a", "#d8a02a"))
    z = np.array([0, 0.02, 0.28, 0.3, 0.32, 0.58, 0.6, 0.62, 0.88, 0.9])
    r = np.array([0.28, 0.29, 0.29, 0.31, 0.29, 0.29, 0.31, 0.29, 0.29, 0.28])
    b.loft(
        np.stack([0 * z + x, 0 * z + y, z], -1),
        r,
        color,
        "paint",
        segments=16,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )


def stall(b, rng, at, turn) -> None:
    """A market stall: posts, a striped awning, a counter with heaps of fruit."""
    s = Spot(b, *at, turn)
    wood, color = (
        kit.pick(rng, WOODS),
        kit.pick(rng, ("#c8352e", "#2f6a9a", "#3a8a4a", "#d8902a", "#7a4a9a")),
    )
    for x in (-1.3, 1.3):
        for y, z in ((-0.75, 2.15), (0.75, 2.6)):
            s.box((x, y, 0), (0.08, 0.08, z), wood, "wood")
    roof = [(-1.55, -1.2, 2.05), (1.55, -1.2, 2.05), (1.55, 0.95, 2.65), (-1.55, 0.95, 2.65)]
    s.b.quad([s.point(p) for p in roof], color, "stripes")
    for k in range(10):
        x0 = -1.55 + 0.31 * k
        verts = [(x0, -1.2, 2.05), (x0 + 0.31, -1.2, 2.05), (x0 + 0.155, -1.21, 1.8)]
        s.b.add([s.point(p) for p in verts], [(0, 1, 2)], color if k % 2 else "#efe9dc", "fabric")
    s.box((0, -0.35, 0), (2.5, 0.9, 0.78), wood, "planks")
    fruits = ("#d8402f", "#e8902a", "#e8c83a", "#6fa83a", "#7a3a6a", "#b8d070")
    for k in range(4):
        x = -0.95 + 0.63 * k
        s.box((x, -0.4, 0.78), (0.58, 0.75, 0.14), kit.pick(rng, WOODS), "planks")
        tone = nature.hex_rgb(kit.pick(rng, fruits))
        for i in range(4):
            for j in range(5):
                p = (x - 0.2 + 0.135 * i, -0.68 + 0.14 * j, 0.93 + 0.05 * rng.random())
                s.b.ball(
                    s.point(p),
                    0.075,
                    np.clip(tone * rng.uniform(0.85, 1.15), 0, 1),
                    "plain",
                    segments=7,
                    rings=5,
                )
    crate(b, rng, s.point((1.6, -0.9, 0))[:2], turn, 0.5)
