# SPDX-License-Identifier: GPL-3.0-or-later
"""What grows and lies about: trees, bushes, grass, flowers, rocks, hills, cacti."""

import numpy as np

from render_rigs.mesh import MeshBuilder, sphere

GREENS = ("#4c7a2b", "#3d6b2a", "#5c8a34", "#6b8f3a", "#7a8a2c")


def pick(rng: np.random.Generator, values):
    return values[rng.integers(len(values))]


def leaf_cloud(b: MeshBuilder, rng, center, radii, count, size_m, color) -> None:
    """Leaves: many small quads on and in an ellipsoid, lighter above, each a little different."""
    unit = rng.standard_normal((count, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    depth = rng.uniform(0.72, 1.05, (count, 1))
    middle = unit * depth * np.asarray(radii) + np.asarray(center)
    normal = unit + rng.standard_normal((count, 3)) * 0.5
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(normal, rng.standard_normal((count, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(normal, side)
    scale = size_m * rng.uniform(0.6, 1.3, (count, 1))
    corners = np.stack(
        [
            middle - side * scale,
            middle - other * scale * 0.6,
            middle + side * scale,
            middle + other * scale * 0.6,
        ],
        1,
    )
    faces = np.arange(count * 4).reshape(count, 4)
    tint = (
        hex_rgb(color)
        * (0.72 + 0.35 * (unit[:, 2:] * 0.5 + 0.5))
        * rng.uniform(0.8, 1.2, (count, 1))
        * rng.uniform(0.93, 1.07, (count, 3))
    )
    b.add(corners.reshape(-1, 3), faces, np.clip(tint, 0, 1), "foliage")


def hex_rgb(color):
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def tree(b: MeshBuilder, rng, at, height_m, color=None, fast=False, bark="#5d4a3a") -> None:
    """A broad-leaved tree: a bent trunk, some branches, several clouds of leaves."""
    color = color or pick(rng, GREENS)
    x, y = at
    trunk = height_m * rng.uniform(0.32, 0.45)
    bend = rng.uniform(-0.25, 0.25, 2)
    t = np.linspace(0, 1, 6)
    points = np.stack([x + bend[0] * t**2, y + bend[1] * t**2, t * (trunk + height_m * 0.2)], -1)
    r = 0.035 * height_m * (1.0 - 0.55 * t)
    r[0] *= 1.5
    b.loft(points, r, bark, "bark", segments=8)
    top = points[-2]
    crown = height_m - trunk
    count = 5 if fast else 9
    clouds = [(top + (0, 0, crown * 0.42), 0.62)]
    for k in range(count):
        a = 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / count
        reach = crown * rng.uniform(0.28, 0.42)
        clouds.append(
            (
                top + (np.cos(a) * reach, np.sin(a) * reach, crown * rng.uniform(0.12, 0.6)),
                rng.uniform(0.36, 0.5),
            )
        )
    for center, share in clouds:
        b.loft(
            np.array([top - (0, 0, 0.2), (top + center) / 2 + (0, 0, -0.1), center]),
            np.array([0.5, 0.35, 0.12]) * r[-2] * 1.4,
            bark,
            "bark",
            segments=5,
        )
        radii = np.array([1, 1, 0.8]) * crown * share * 0.52
        unit, faces = sphere(8, 6)
        b.add(unit * radii * 0.86 + center, faces, hex_rgb(color) * 0.55, "foliage", smooth=True)
        leaf_cloud(
            b, rng, center, radii, 90 if fast else 420, crown * (0.075 if fast else 0.042), color
        )


def conifer(b: MeshBuilder, rng, at, height_m, color="#2f5232", fast=False) -> None:
    """A fir: layered skirts of drooping needles around a straight trunk."""
    x, y = at
    b.loft(
        [(x, y, 0), (x, y, height_m * 0.95)],
        [0.03 * height_m, 0.006 * height_m],
        "#4d3a2b",
        "bark",
        segments=7,
    )
    layers = 7 if fast else 11
    for k in range(layers):
        share = k / (layers - 1)
        z = height_m * (0.12 + 0.84 * share)
        reach = height_m * 0.24 * (1 - share) ** 0.85 + 0.08
        n = 9 if fast else 16
        a = rng.uniform(0, 6.28) + np.arange(n) / n * 2 * np.pi
        out = np.stack([np.cos(a), np.sin(a), 0 * a], -1) * reach * rng.uniform(0.8, 1.1, (n, 1))
        tip = np.array([x, y, z]) + out + (0, 0, -reach * 0.4)
        root = np.array([x, y, z + reach * 0.35])
        side = np.stack([-np.sin(a), np.cos(a), 0 * a], -1) * reach * 0.26
        middle = root + out * 0.55 + (0, 0, -reach * 0.12)
        verts = np.stack([np.broadcast_to(root, (n, 3)), middle - side, tip, middle + side], 1)
        tint = hex_rgb(color) * rng.uniform(0.75, 1.25, (n, 1)) * (0.8 + 0.4 * share)
        b.add(verts.reshape(-1, 3), np.arange(n * 4).reshape(n, 4), np.clip(tint, 0, 1), "foliage")


def bush(b: MeshBuilder, rng, at, radius_m, color=None, fast=False) -> None:
    color = color or pick(rng, GREENS)
    x, y = at
    center = np.array([x, y, radius_m * 0.55])
    unit, faces = sphere(8, 6)
    b.add(
        unit * radius_m * 0.8 * np.array([1, 1, 0.75]) + center,
        faces,
        hex_rgb(color) * 0.55,
        "foliage",
        smooth=True,
    )
    leaf_cloud(
        b,
        rng,
        center,
        np.array([1, 1, 0.8]) * radius_m,
        110 if fast else 500,
        radius_m * (0.17 if fast else 0.1),
        color,
    )


def grass_tufts(
    b: MeshBuilder, rng, count, radius_m, color="#5f8a35", height_m=0.12, inner_m=0.0
) -> None:
    """Blades of grass as triangles, scattered on the ground."""
    r = np.sqrt(rng.uniform((inner_m / radius_m) ** 2, 1, count)) * radius_m
    a = rng.uniform(0, 2 * np.pi, count)
    root = np.stack([r * np.cos(a), r * np.sin(a), 0 * r], -1)
    turn = rng.uniform(0, 2 * np.pi, count)
    h = height_m * rng.uniform(0.5, 1.5, count)
    side = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1) * (h * 0.14)[:, None]
    lean = rng.standard_normal((count, 3)) * (h * 0.35)[:, None]
    lean[:, 2] = h
    verts = np.stack([root - side, root + side, root + lean], 1).reshape(-1, 3)
    tint = hex_rgb(color) * rng.uniform(0.7, 1.3, (count, 1)) * rng.uniform(0.9, 1.1, (count, 3))
    b.add(verts, np.arange(count * 3).reshape(count, 3), np.clip(tint, 0, 1), "foliage")


def rock(b: MeshBuilder, rng, at, size_m, color="#7f7a72", surface="rock") -> None:
    unit, faces = sphere(10, 8)
    bumps = 1 + 0.16 * np.sin(unit @ rng.uniform(2, 4, (3, 3)) + rng.uniform(0, 6, 3)).sum(1)
    verts = unit * bumps[:, None] * np.asarray(size_m) * np.array([1, 1, 0.7])
    b.add(
        verts,
        faces,
        color,
        surface,
        smooth=True,
        turn_rad=rng.uniform(0, 6.28),
        at=(*at, 0.15 * np.max(size_m)),
    )


def hills(b: MeshBuilder, rng, distance_m: float, color) -> None:
    """A ring of hills that closes the horizon."""
    n = 48
    a = np.arange(n + 1) / n * 2 * np.pi
    top = 7 + 4 * np.sin(3 * a + rng.uniform(0, 6)) + 3 * np.sin(5 * a + rng.uniform(0, 6))
    ring = np.stack([np.cos(a), np.sin(a), 0 * a], -1) * distance_m
    verts = np.concatenate(
        [
            ring - (0, 0, 2),
            ring * 1.15 + np.stack([0 * a, 0 * a, top * 0.6], -1),
            ring * 1.5 + np.stack([0 * a, 0 * a, top], -1),
        ]
    )
    m = n + 1
    i = np.arange(n)
    faces = np.concatenate(
        [
            np.stack([i + 1 + m * r, i + m * r, i + m * (r + 1), i + 1 + m * (r + 1)], -1)
            for r in (0, 1)
        ]
    )
    tint = np.concatenate([np.broadcast_to(hex_rgb(color), (m, 3)) * s for s in (0.8, 1.0, 1.05)])
    b.add(verts, faces, np.clip(tint, 0, 1), "plain", smooth=True)


def flowers(b: MeshBuilder, rng, count: int, radius_m: float) -> None:
    """Small four-petalled heads above the grass."""
    r, a = np.sqrt(rng.uniform(0, 1, count)) * radius_m, rng.uniform(0, 2 * np.pi, count)
    at = np.stack([r * np.cos(a), r * np.sin(a), rng.uniform(0.1, 0.28, count)], -1)
    turn = rng.uniform(0, 6.28, count)
    side = np.stack([np.cos(turn), np.sin(turn), 0.3 + 0 * turn], -1) * 0.05
    other = np.stack([-np.sin(turn), np.cos(turn), 0.1 + 0 * turn], -1) * 0.05
    verts = np.stack([at - side, at - other, at + side, at + other], 1).reshape(-1, 3)
    petals = ("#e8d23a", "#f0f0ea", "#d8485a", "#8a5ac0", "#e88a3a")
    palette = np.array([hex_rgb(c) for c in petals])
    b.add(
        verts, np.arange(count * 4).reshape(count, 4), palette[rng.integers(5, size=count)], "plain"
    )


def palm(b: MeshBuilder, rng, at, height_m, fast=False) -> None:
    x, y = at
    lean = rng.uniform(-0.9, 0.9, 2)
    t = np.linspace(0, 1, 8)
    points = np.stack([x + lean[0] * t**2, y + lean[1] * t**2, t * height_m], -1)
    b.loft(points, 0.17 - 0.07 * t + 0.08 * (t == 0), "#8a7355", "bark", segments=8)
    top = points[-1]
    fronds = 9 if fast else 13
    for k in range(fronds):
        a = 2 * np.pi * k / fronds + rng.uniform(-0.15, 0.15)
        s = np.linspace(0, 1, 6)
        length = rng.uniform(1.7, 2.3)
        out = np.array([np.cos(a), np.sin(a), 0])
        rise = rng.uniform(0.1, 0.6)
        spine = (
            top
            + out * (s * length)[:, None]
            + np.array([0, 0, 1.0]) * (rise * s - 1.25 * s**2)[:, None] * length * 0.7
        )
        side = np.cross(out, (0, 0, 1.0)) * (0.34 * np.sin(np.pi * (s * 0.9 + 0.1)))[:, None]
        dip = np.array([0, 0, 0.12])
        verts = np.concatenate([spine - side - dip, spine, spine + side - dip])
        i = np.arange(5)
        faces = np.concatenate(
            [np.stack([i, i + 6, i + 7, i + 1], -1), np.stack([i + 6, i + 12, i + 13, i + 7], -1)]
        )
        tint = hex_rgb(pick(rng, ("#4d7a2f", "#5f8a36", "#6f8f3c"))) * rng.uniform(0.85, 1.1)
        b.add(verts, faces, np.clip(tint, 0, 1), "foliage")
    for k in range(4):
        b.ball(
            top + (0.16 * np.cos(k * 1.6), 0.16 * np.sin(k * 1.6), -0.14),
            0.12,
            "#5e4226",
            "bark",
            segments=6,
            rings=5,
        )


def cactus(b: MeshBuilder, rng, at, height_m) -> None:
    x, y = at
    color = pick(rng, ("#4a6b3c", "#56784a", "#3f6044"))
    z = np.linspace(0, height_m, 6)
    r = height_m * 0.075
    b.loft(
        np.stack([0 * z + x, 0 * z + y, z], -1),
        r * np.array([0.9, 1, 1, 1, 0.85, 0.3]),
        color,
        "foliage",
        segments=10,
    )
    for _ in range(rng.integers(1, 4)):
        a, low = rng.uniform(0, 6.28), height_m * rng.uniform(0.3, 0.55)
        out = np.array([np.cos(a), np.sin(a), 0]) * r
        up = height_m * rng.uniform(0.2, 0.38)
        points = np.array([x, y, low]) + np.array(
            [
                out * 0,
                out * 2.2,
                out * 3.2 + (0, 0, r),
                out * 3.4 + (0, 0, up * 0.6),
                out * 3.4 + (0, 0, up),
            ]
        )
        b.loft(points, r * np.array([0.6, 0.65, 0.68, 0.65, 0.25]), color, "foliage", segments=8)


def mesa(b: MeshBuilder, rng, at, radius_m, height_m, color) -> None:
    """A flat-topped rock of layered stone."""
    z = np.array([0, 0.3, 0.34, 0.62, 0.66, 0.95, 1.0]) * height_m
    r = np.array([1.5, 1.12, 1.0, 0.94, 0.84, 0.8, 0.72]) * radius_m
    bend = rng.uniform(0.85, 1.15, 7)
    shade = np.array([0.95, 1.0, 0.85, 1.08, 0.9, 1.12, 1.05])
    b.loft(
        np.stack([0 * z + at[0], 0 * z + at[1], z], -1),
        np.stack([r * bend, r], -1),
        np.clip(hex_rgb(color) * shade[:, None], 0, 1),
        "rock",
        segments=13,
        u=(1, 0, 0),
        v=(0, 1, 0),
        smooth=False,
        power=2.6,
    )
