# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's torso and neck, and the tops, skirts and collars on them.

Lengths are shares of the body's height.
"""

import numpy as np

from render_rigs.mesh import rgb
from render_rigs.subjects.human_shape import HumanShape, colors_of, shoulders
from render_rigs.subjects.rig import FigureBuilder


def add_trunk(b: FigureBuilder, shape: HumanShape) -> None:
    """Add the torso in its clothes, and the neck."""
    h, w = shape.height_m, shape.weight
    male = shape.gender == "male"
    grown = shape.age != "child"
    belly = max(w - 1.0, 0) * 0.09 + (0.008 if shape.age == "old" else 0)
    drop = 0.035 if shape.age == "child" else 0.0
    skin, top, bottom = colors_of(shape)
    hip = 1.0 if male or not grown else 1.06
    waist = 1.0 if male or not grown else 0.9
    shoulder = shoulders(shape)
    bust = 0.0 if male or not grown else 0.014
    thick = 1.0 if shape.top in ("t-shirt", "shirt", "vest") else 1.07
    rows = [  # z, half width, half depth, forward, share of (root, spine, chest, neck)
        (0.478, 0.055 * hip, 0.045, 0.0, (1, 0, 0, 0)),
        (0.495, 0.083 * hip, 0.064, -0.003, (1, 0, 0, 0)),
        (0.530, 0.094 * hip, 0.071, -0.006, (1, 0, 0, 0)),
        (0.565, 0.088 * hip, 0.066 + belly * 0.5, belly * 0.4, (0.8, 0.2, 0, 0)),
        (0.600, 0.079 * waist, 0.059 + belly * 0.8, belly * 0.6, (0.4, 0.6, 0, 0)),
        (0.640, 0.078 * waist, 0.058 + belly * 0.7, belly * 0.6, (0, 0.8, 0.2, 0)),
        (0.690, 0.087, 0.064 + belly * 0.2 + bust * 0.4, 0.002 + bust * 0.3, (0, 0.4, 0.6, 0)),
        (0.735, 0.097 * shoulder, 0.068 + bust, 0.004 + bust * 0.6, (0, 0, 1, 0)),
        (0.780, 0.105 * shoulder, 0.065 + bust * 0.3, 0.0, (0, 0, 1, 0)),
        (0.812, 0.111 * shoulder, 0.054, -0.007, (0, 0, 1, 0)),
        (0.832, 0.097 * shoulder, 0.046, -0.010, (0, 0, 1, 0)),
        (0.846, 0.066, 0.041, -0.012, (0, 0, 1, 0)),
        (0.858, 0.043, 0.037, -0.012, (0, 0, 0.6, 0.4)),
    ]
    high = np.array([r[0] for r in rows])
    z = high - drop * np.clip(high / 0.8, 0, 1)
    wide = np.array([r[1] for r in rows]) * (0.5 + 0.5 * w) * thick
    deep = np.array([r[2] for r in rows]) * (0.4 + 0.6 * w) * thick
    ahead = np.array([r[3] for r in rows])
    weights = np.array([b.weight(root=s[0], spine=s[1], chest=s[2], neck=s[3]) for *_, s in rows])
    colors = np.array([bottom] * 3 + [top] * 10)
    body = (high, wide, deep, ahead)
    if shape.bottom == "dress":
        colors[:] = top
    centers = np.stack([ahead, 0 * z, z], -1) * h
    b.tube(
        centers,
        np.stack([deep, wide], -1) * h,
        weights,
        colors,
        "fabric",
        segments=16,
        u=(1, 0, 0),
        v=(0, 1, 0),
        power=2.4,
    )
    # The hem of the top, a little wider than the trousers, hides the waistband.
    hem = {"jacket": 0.50, "coat": 0.40, "hoodie": 0.515}.get(shape.top, 0.535)
    if shape.bottom == "dress":
        _skirt(b, shape, body, 0.62, 0.27, top, 1.55)
    else:
        _skirt(b, shape, body, 0.66, hem, top, 1.08 if shape.top != "coat" else 1.25)
        if shape.bottom == "skirt":
            _skirt(b, shape, body, 0.57, 0.31, bottom, 1.4)
    if shape.top in ("jacket", "coat") and shape.bottom != "dress":  # the shirt in its opening
        inner = rgb("#e4e2da" if shape.top_color != "white" else "#33363c")
        rows_front = [
            (0.60, 0.080 + belly * 1.6),
            (0.67, 0.079 + belly + bust * 0.8),
            (0.735, 0.079 + bust * 1.7),
            (0.785, 0.073 + bust * 0.4),
            (0.825, 0.051),
        ]
        zf = np.array([r[0] for r in rows_front]) - drop * 0.9
        xf = np.array([r[1] for r in rows_front]) * (0.4 + 0.6 * w) * thick + 0.004
        half = np.array([0.005, 0.012, 0.019, 0.026, 0.03])
        verts = np.concatenate([np.stack([xf, half, zf], -1), np.stack([xf, -half, zf], -1)]) * h
        n = len(zf)
        faces = [(i, i + 1, n + i + 1, n + i)[::-1] for i in range(n - 1)]
        rows_w = np.array([b.weight(spine=0.6, chest=0.4)] + [b.weight(chest=1)] * (n - 1))
        b.add(verts, faces, np.concatenate([rows_w, rows_w]), inner, "fabric")
    neck_z = np.array([0.835, 0.86, 0.885, 0.905]) - drop
    slim = 1.0 if male else 0.86
    b.tube(
        np.stack([np.array([-0.012, -0.01, -0.004, 0]), 0 * neck_z, neck_z], -1) * h,
        np.array([0.037, 0.032, 0.031, 0.032]) * h * slim * (0.6 + 0.4 * w),
        np.array(
            [
                b.weight(chest=0.7, neck=0.3),
                b.weight(neck=1),
                b.weight(neck=0.4, head=0.6),
                b.weight(head=1),
            ]
        ),
        skin,
        "skin",
        segments=10,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )
    collar = shape.top in ("jacket", "shirt", "coat", "hoodie") and shape.bottom != "dress"
    if collar:
        big = 0.058 if shape.top == "hoodie" else 0.047
        zc = np.array([0.832, 0.85, 0.866]) - drop
        b.tube(
            np.stack([np.full(3, -0.014), 0 * zc, zc], -1) * h,
            np.array([big * 1.05, big, big * 0.92])[:, None] * np.array([0.95, 1.1]) * h,
            b.weight(chest=0.8, neck=0.2),
            top * 0.9,
            "fabric",
            segments=12,
            u=(1, 0, 0),
            v=(0, 1, 0),
        )


def _skirt(b: FigureBuilder, shape: HumanShape, body, z_top, z_low, color, flare) -> None:
    """An open cone over ``body`` (height, width, depth, forward) from ``z_top`` down.

    It grows out of the body without a step; below the hip it follows both thighs.
    """
    h = shape.height_m
    drop = 0.035 if shape.age == "child" else 0.0
    z = np.linspace(z_top, z_low, 7)
    share = np.clip((0.53 - z) / max(0.53 - z_low, 0.05), 0, 1) if z_low < 0.5 else 0 * z
    solid = np.maximum(z, 0.53)
    below = np.clip((z_top - z) / 0.07, 0, 1)
    grow = 0.97 + 0.075 * below + (flare - 1) * share
    wide = np.interp(solid, body[0], body[1]) * grow
    deep = np.interp(solid, body[0], body[2]) * (grow + 0.03 * below)
    ahead = np.interp(solid, body[0], body[3])
    segments = 18
    angle = np.arange(segments) / segments * 2 * np.pi
    verts, weights = [], []
    for zi, wi, di, xi, si in zip(z, wide, deep, ahead, share, strict=True):
        c, y = np.cos(angle), np.sin(angle)
        round_off = (np.abs(c) ** 2.4 + np.abs(y) ** 2.4) ** (-1 / 2.4)
        low = drop * np.clip(zi / 0.8, 0, 1)
        verts.append(
            np.stack([c * round_off * di + xi, y * round_off * wi, np.full(segments, zi - low)], -1)
            * h
        )
        for k in range(segments):
            left = np.clip(0.5 + y[k] * 0.9, 0, 1)
            spine = np.clip((zi - 0.54) / 0.1, 0, 1)
            weights.append(
                b.weight(
                    root=(1 - si * 0.85) * (1 - spine) + 1e-6,
                    spine=spine,
                    thigh_l=si * 0.85 * left,
                    thigh_r=si * 0.85 * (1 - left),
                )
            )
    k = np.arange(segments)
    nxt = (k + 1) % segments
    faces = np.concatenate(
        [
            np.stack(
                [
                    r * segments + nxt,
                    r * segments + k,
                    (r + 1) * segments + k,
                    (r + 1) * segments + nxt,
                ],
                -1,
            )
            for r in range(len(z) - 1)
        ]
    )
    b.add(np.concatenate(verts), faces, np.array(weights), color, "fabric")
