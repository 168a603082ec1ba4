# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a person from a ``HumanShape``: body and clothes as shaped, weighted tubes.

Lengths are shares of the body's height unless a name says metres.
"""

import numpy as np

from render_rigs.mesh import linear_passthrough
from render_rigs.subjects.human_head import add_head
from render_rigs.subjects.human_shape import COLORS, LEG_COLORS, SKINS, HumanShape
from render_rigs.subjects.rig import Figure, FigureBuilder, Leg, Skeleton

_BONES = [  # name, parent, joint (x, y, z)
    ("root", None, (0, 0, 0.53)),
    ("spine", "root", (0, 0, 0.60)),
    ("chest", "spine", (-0.005, 0, 0.69)),
    ("neck", "chest", (-0.012, 0, 0.845)),
    ("head", "neck", (0.0, 0, 0.885)),
    ("arm_l", "chest", (-0.008, 0.108, 0.815)),
    ("fore_l", "arm_l", (-0.012, 0.135, 0.645)),
    ("hand_l", "fore_l", (0.006, 0.145, 0.495)),
    ("arm_r", "chest", (-0.008, -0.108, 0.815)),
    ("fore_r", "arm_r", (-0.012, -0.135, 0.645)),
    ("hand_r", "fore_r", (0.006, -0.145, 0.495)),
    ("thigh_l", "root", (0, 0.052, 0.52)),
    ("shin_l", "thigh_l", (0.008, 0.054, 0.283)),
    ("foot_l", "shin_l", (-0.01, 0.056, 0.045)),
    ("thigh_r", "root", (0, -0.052, 0.52)),
    ("shin_r", "thigh_r", (0.008, -0.054, 0.283)),
    ("foot_r", "shin_r", (-0.01, -0.056, 0.045)),
]


def human_skeleton(shape: HumanShape) -> Skeleton:
    names = [name for name, _, _ in _BONES]
    parents = [-1 if parent is None else names.index(parent) for _, parent, _ in _BONES]
    heads = np.array([joint for _, _, joint in _BONES], float)
    if shape.age == "child":  # bigger head, shorter legs
        heads[:, 2] -= 0.035 * np.clip(heads[:, 2] / 0.8, 0, 1)
    arms = [i for i, n in enumerate(names) if n[:4] in ("arm_", "fore", "hand")]
    heads[arms, 1] *= _shoulders(shape)
    return Skeleton(names, parents, heads * shape.height_m)


def _shoulders(shape: HumanShape) -> float:
    wide = {"male": 1.06, "female": 0.93}[shape.gender]
    return wide * (0.92 if shape.age == "child" else 1.0) * (0.85 + 0.15 * shape.weight)


def build_human(shape: HumanShape) -> Figure:
    """Return the dressed, weighted figure at rest."""
    skeleton = human_skeleton(shape)
    b = FigureBuilder(skeleton)
    _torso(b, shape)
    for side in ("l", "r"):
        _leg(b, shape, side)
        _arm(b, shape, side)
    add_head(b, shape)
    _extras(b, shape)
    legs = [
        Leg(
            skeleton.index(f"thigh_{s}"),
            skeleton.index(f"shin_{s}"),
            skeleton.index(f"foot_{s}"),
            phase,
        )
        for s, phase in (("l", 0.0), ("r", 0.5))
    ]
    return b.build(
        legs,
        shape.height_m,
        0.28 * shape.height_m / 1.7,
        kind="human",
        caption=shape.caption(),
        details=shape.details(),
        noun=shape.noun,
    )


def _rgb(value) -> np.ndarray:
    return np.array(linear_passthrough(value), float)


def _colors(shape: HumanShape):
    top = _rgb(COLORS[shape.top_color])
    bottom = top if shape.bottom == "dress" else _rgb(LEG_COLORS[shape.bottom_color])
    return _rgb(SKINS[shape.skin]), top, bottom


def _torso(b: FigureBuilder, shape: HumanShape) -> None:
    h, w = shape.height_m, shape.weight
    male = shape.gender == "male"
    grown = shape.age != "child"
    belly = max(w - 1.0, 0) * 0.09 + (0.008 if shape.age == "old" else 0)
    drop = 0.035 if shape.age == "child" else 0.0
    skin, top, bottom = _colors(shape)
    hip = 1.0 if male or not grown else 1.06
    waist = 1.0 if male or not grown else 0.9
    shoulder = _shoulders(shape)
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
        inner = _rgb("#e4e2da" if shape.top_color != "white" else "#33363c")
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


def _leg(b: FigureBuilder, shape: HumanShape, side: str) -> None:
    h, w = shape.height_m, shape.weight
    skin, _, bottom = _colors(shape)
    hip, knee, ankle = (
        b.skeleton.heads_m[b.skeleton.index(f"{n}_{side}")] for n in ("thigh", "shin", "foot")
    )
    covered = shape.bottom == "trousers"
    loose = 1.08 if covered else 1.0
    t = np.array([-0.06, 0.12, 0.35, 0.6, 0.82, 0.93, 1.0, 1.07, 1.25, 1.45, 1.7, 1.9, 1.98])
    radius = np.array(
        [
            0.050,
            0.053,
            0.048,
            0.041,
            0.034,
            0.032,
            0.0315,
            0.031,
            0.033,
            0.032,
            0.025,
            0.0195,
            0.0185,
        ]
    )
    bare_from = {"trousers": 9, "shorts": 0.8, "skirt": 0.2, "dress": 0.2}[shape.bottom]
    if bare_from < 2:  # a hard edge where the cloth ends
        at = np.searchsorted(t, bare_from)
        radius = np.insert(radius, at, [np.interp(bare_from, t, radius)] * 2)
        t = np.insert(t, at, [bare_from, bare_from + 1e-4])
    if covered:
        radius = np.maximum(radius, np.interp(t, [0, 1, 2], [0.05, 0.036, 0.033]))
    upper = np.clip(t, -0.1, 1)[:, None]
    lower = np.clip(t - 1, 0, 1)[:, None]
    centers = hip + (knee - hip) * upper + (ankle - knee) * lower
    calf = np.exp(-(((t - 1.35) / 0.2) ** 2)) * 0.006 * h
    centers[:, 0] -= calf
    up, bend = f"thigh_{side}", f"shin_{side}"
    weights = []
    for ti in t:
        k = np.clip((ti - 0.85) / 0.3, 0, 1)
        r = np.clip(0.5 - ti / 0.24, 0, 1) * 0.6
        weights.append(b.weight(root=r + 1e-9, **{up: (1 - k) * (1 - r), bend: k}))
    colors = np.array([skin if ti > bare_from else bottom for ti in t])
    if shape.bottom in ("shorts",):
        radius = np.where(t <= bare_from, np.maximum(radius, 0.05), radius)
    b.tube(
        centers,
        radius[:, None] * h * (0.45 + 0.55 * w) * loose * np.array([1.03, 0.95]),
        np.array(weights),
        colors,
        "fabric" if covered else "skin",
        segments=10,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )
    _shoe(b, shape, side, ankle)


def _shoe(b: FigureBuilder, shape: HumanShape, side: str, ankle) -> None:
    h = shape.height_m
    color = _rgb(shape.shoe_color)
    x = np.array([-0.052, -0.045, -0.02, 0.01, 0.04, 0.07, 0.09, 0.1])
    top = np.array([0.026, 0.046, 0.052, 0.048, 0.034, 0.026, 0.02, 0.013])
    half = np.array([0.014, 0.021, 0.0235, 0.025, 0.028, 0.0285, 0.023, 0.012])
    centers = np.stack([ankle[0] / h + x, np.full(8, ankle[1] / h), top / 2 + 0.001], -1) * h
    radii = np.stack([half, top / 2], -1) * h
    b.tube(
        centers,
        radii,
        b.weight(**{f"foot_{side}": 1}),
        color,
        "leather",
        segments=10,
        u=(0, 1, 0),
        v=(0, 0, 1),
        power=2.8,
    )
    sole = (
        np.stack(
            [
                np.interp([0, 0.5, 1], [0, 1], [x[0] - 0.004, x[-1] + 0.004]) + ankle[0] / h,
                np.full(3, ankle[1] / h),
                np.full(3, 0.006),
            ],
            -1,
        )
        * h
    )
    b.tube(
        sole,
        np.array([(0.018, 0.006), (0.031, 0.006), (0.02, 0.006)]) * h,
        b.weight(**{f"foot_{side}": 1}),
        _rgb("#d9d7d2") if color.mean() < 0.6 else color * 0.5,
        "leather",
        segments=10,
        u=(0, 1, 0),
        v=(0, 0, 1),
        power=4,
    )


def _arm(b: FigureBuilder, shape: HumanShape, side: str) -> None:
    h, w = shape.height_m, shape.weight
    skin, top, _ = _colors(shape)
    sign = 1 if side == "l" else -1
    shoulder, elbow, wrist = (
        b.skeleton.heads_m[b.skeleton.index(f"{n}_{side}")] for n in ("arm", "fore", "hand")
    )
    sleeve = {"t-shirt": 0.5, "vest": 0.0}.get(shape.top, 1.9)
    if shape.bottom == "dress":
        sleeve = 0.35
    thick = 1.2 if sleeve > 1 else 1.14
    t = np.array([-0.12, 0.02, 0.18, 0.4, 0.52, 0.8, 0.95, 1.0, 1.08, 1.3, 1.6, 1.88, 1.95])
    radius = np.array(
        [
            0.026,
            0.0335,
            0.032,
            0.028,
            0.0272,
            0.024,
            0.0225,
            0.022,
            0.022,
            0.023,
            0.019,
            0.0165,
            0.0145,
        ]
    )
    if shape.gender == "female":
        radius = radius * 0.9
    if 0 < sleeve < 1.9:  # a hard edge where the sleeve ends
        radius = np.insert(radius, np.searchsorted(t, sleeve), [np.interp(sleeve, t, radius)] * 2)
        t = np.insert(t, np.searchsorted(t, sleeve), [sleeve, sleeve + 1e-4])
    centers = (
        shoulder
        + (elbow - shoulder) * np.clip(t, -0.2, 1)[:, None]
        + (wrist - elbow) * np.clip(t - 1, 0, 1)[:, None]
    )
    # Rings turn from across the chest to down the arm: a round shoulder, sunk into the torso.
    centers[0] = shoulder + np.array([0, -sign * 0.046, -0.012]) * h
    around = shoulder + np.array([[0, -sign * 0.022, -0.003], [0, sign * 0.002, -0.01]]) * h
    centers = np.concatenate([centers[:1], around, centers[2:]])
    t = np.concatenate([t[:1], [-0.05, 0.04], t[2:]])
    radius = np.concatenate([radius[:1] * 0.9, radius[1:2] * [0.92, 0.96], radius[2:]])
    up, bend = f"arm_{side}", f"fore_{side}"
    weights = []
    for ti in t:
        k = np.clip((ti - 0.88) / 0.24, 0, 1)
        c = np.clip(0.4 - ti / 0.3, 0, 1)
        weights.append(b.weight(chest=c + 1e-9, **{up: (1 - k) * (1 - c), bend: k}))
    covered = t <= sleeve
    radius = radius * np.where(covered, thick, 1.0)
    colors = np.where(covered[:, None], top, skin)
    b.tube(
        centers,
        radius * h * (0.5 + 0.5 * w),
        np.array(weights),
        colors,
        "fabric" if sleeve > 1 else "skin",
        segments=10,
    )
    _hand(b, shape, side, wrist, elbow, skin)


def _hand(b: FigureBuilder, shape: HumanShape, side: str, wrist, elbow, skin) -> None:
    h = shape.height_m
    sign = 1 if side == "l" else -1
    down = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    weight = b.weight(**{f"hand_{side}": 1})
    d = np.array([-0.006, 0.012, 0.03, 0.048, 0.058])
    centers = wrist + down * d[:, None] * h
    b.tube(
        centers,
        np.array([(0.014, 0.0115), (0.02, 0.0125), (0.024, 0.012), (0.023, 0.0105), (0.019, 0.008)])
        * h,
        weight,
        skin,
        "skin",
        segments=8,
        u=(1, 0, 0),
        v=(0, 1, 0),
    )
    for finger, (x, length) in enumerate(
        ((0.017, 0.036), (0.006, 0.042), (-0.005, 0.039), (-0.015, 0.031))
    ):
        start = wrist + (down * 0.053 + np.array([x, 0, 0])) * h
        curl = np.array([[0, 0, 0], [0, 0, 0], [0.0, -0.006 * sign, 0]]) * h * (1 + finger * 0.1)
        points = start + down * np.array([0, length * 0.55, length])[:, None] * h + curl
        b.tube(points, np.array([0.0062, 0.0058, 0.004]) * h, weight, skin, "skin", segments=5)
    thumb = wrist + (down * 0.018 + np.array([0.02, 0, 0])) * h
    points = (
        thumb
        + np.array([[0, 0, 0], [0.014, -0.004 * sign, -0.018], [0.018, -0.008 * sign, -0.036]]) * h
    )
    b.tube(points, np.array([0.0085, 0.0075, 0.0045]) * h, weight, skin, "skin", segments=5)


def _extras(b: FigureBuilder, shape: HumanShape) -> None:
    h = shape.height_m
    weight = b.weight(chest=0.8, spine=0.2)
    drop = 0.03 if shape.age == "child" else 0.0
    if shape.bag == "backpack":
        z = np.array([0.6, 0.615, 0.68, 0.76, 0.8, 0.812]) - drop
        radii = np.array(
            [
                (0.03, 0.055),
                (0.045, 0.075),
                (0.05, 0.08),
                (0.045, 0.075),
                (0.035, 0.065),
                (0.02, 0.045),
            ]
        )
        color = _rgb(COLORS[shape.hat_color]) * 0.8
        b.tube(
            np.stack([np.full(6, -0.105), 0 * z, z], -1) * h,
            radii * h,
            weight,
            color,
            "fabric",
            segments=12,
            u=(1, 0, 0),
            v=(0, 1, 0),
            power=4,
        )
        for sign in (1, -1):
            a = np.array(
                [
                    [-0.07, 0.05, 0.8],
                    [-0.02, 0.062, 0.842],
                    [0.045, 0.06, 0.81],
                    [0.068, 0.06, 0.74],
                    [0.05, 0.07, 0.67],
                    [-0.03, 0.085, 0.63],
                ]
            ) * (1, sign, 1) - (0, 0, drop)
            b.tube(
                a * h,
                np.array([0.009] * 6)[:, None] * np.array([1, 0.5]) * h,
                weight,
                color * 0.6,
                "fabric",
                segments=6,
            )
    elif shape.bag == "shoulder bag":
        z = np.array([0.47, 0.475, 0.53, 0.575, 0.58]) - drop
        radii = np.array(
            [(0.05, 0.012), (0.06, 0.018), (0.058, 0.018), (0.055, 0.014), (0.05, 0.01)]
        )
        b.tube(
            np.stack([np.full(5, 0.01), np.full(5, -0.125), z], -1) * h,
            radii * h,
            b.weight(root=0.6, spine=0.4),
            _rgb("#5e3b22"),
            "leather",
            segments=12,
            u=(1, 0, 0),
            v=(0, 1, 0),
            power=5,
        )
        a = np.array(
            [
                [0, -0.118, 0.575],
                [0.06, -0.06, 0.68],
                [0.075, 0.03, 0.76],
                [0.0, 0.075, 0.85],
                [-0.068, 0.03, 0.78],
                [-0.07, -0.06, 0.68],
                [0, -0.118, 0.575],
            ]
        ) - (0, 0, drop)
        a[:, :2] *= 1.04 + 0.3 * max(shape.weight - 0.9, 0)
        b.tube(a * h, 0.007 * h * np.ones(7), weight, _rgb("#4a2f1c"), "leather", segments=5)
