# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's legs, shoes, arms and hands; lengths are shares of the body's height."""

import numpy as np

from render_rigs.mesh import rgb
from render_rigs.subjects.human_shape import HumanShape, colors_of
from render_rigs.subjects.rig import FigureBuilder


def add_leg(b: FigureBuilder, shape: HumanShape, side: str) -> None:
    """Add a leg with its shoe; ``side`` is "l" or "r"."""
    h, w = shape.height_m, shape.weight
    skin, _, bottom = colors_of(shape)
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
    color = rgb(shape.shoe_color)
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
        rgb("#d9d7d2") if color.mean() < 0.6 else color * 0.5,
        "leather",
        segments=10,
        u=(0, 1, 0),
        v=(0, 0, 1),
        power=4,
    )


def add_arm(b: FigureBuilder, shape: HumanShape, side: str) -> None:
    """Add an arm in its sleeve, with the hand; ``side`` is "l" or "r"."""
    h, w = shape.height_m, shape.weight
    skin, top, _ = colors_of(shape)
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
