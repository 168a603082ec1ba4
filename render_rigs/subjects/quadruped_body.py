# SPDX-License-Identifier: GPL-3.0-or-later
"""An animal's trunk, neck, legs and tail, from its proportions."""

import numpy as np

from render_rigs.mesh import rgb, sphere
from render_rigs.subjects.quadruped_coat import add_shell


def add_body(b, s, at, coat) -> None:
    """Add trunk, neck and mane; ``at`` has the layout's points, ``coat`` their colours."""
    h, half, back = s.withers_m, at["half"], at["back"]
    x = np.array([-1.1, -1.04, -0.9, -0.65, -0.3, 0.05, 0.4, 0.7, 0.95, 1.08, 1.15]) * half
    tall = np.array([0.1, 0.26, 0.38, 0.43, 0.42, 0.44, 0.48, 0.5, 0.42, 0.28, 0.12]) * s.depth * h
    wide = np.array([0.1, 0.3, 0.45, 0.5, 0.47, 0.49, 0.5, 0.47, 0.37, 0.24, 0.1]) * s.width * h
    lift = (
        np.array([0.08, 0.06, 0.03, 0, -0.01, -0.02, -0.03, -0.03, 0.0, 0.04, 0.06]) * s.depth * h
    )
    sag = s.belly_sag * h * np.exp(-(((x / half) / 0.6) ** 2))
    centers = np.stack([x, 0 * x, back + lift - sag / 2], -1)
    if s.pattern == "wool":
        tall, wide = tall * 1.12, wide * 1.15
    weights = []
    for xi in x / half:
        k = np.clip((xi + 0.6) / 1.2, 0, 1)
        r = max(1 - abs(k - 0.5) * 2, 0) * 0.7
        weights.append(b.weight(rear=(1 - k) * (1 - r) + 1e-9, front=k * (1 - r), root=r))
    add_shell(
        b,
        centers,
        np.stack([wide, tall + sag / 2], -1),
        np.array(weights),
        coat,
        16,
        (0, 1, 0),
        (0, 0, 1),
        2.2,
    )
    if s.pattern == "wool":
        rng = np.random.default_rng(s.seed + 1)
        unit, faces = sphere(6, 5)
        for _ in range(150):
            i = rng.integers(1, len(x) - 1)
            a = rng.uniform(-0.4, np.pi + 0.4)
            p = centers[i] + np.array(
                [rng.uniform(-0.05, 0.05) * h, np.cos(a) * wide[i], np.sin(a) * tall[i]]
            )
            b.add(
                unit * 0.075 * h + p,
                faces,
                weights[i],
                coat(unit * 0 + p, unit[:, 2] * 0 + 1) * rng.uniform(0.88, 1.05),
                "fur",
            )
    neck, end = at["neck"], at["neck_end"]
    t = np.array([-0.6, -0.5, -0.2, 0.2, 0.55, 0.9, 1.12])
    thick = np.interp(t, [-0.5, -0.2, 0.2, 0.6, 1.1], [1.3, 1.45, 1.22, 1.0, 0.85])
    thick *= s.neck_thick * h * np.array([0.4, 0.85, 1, 1, 1, 1, 0.75])
    # Its root stays inside the shoulders, and it narrows into the back of the head: a thick neck
    # would else stand up as a hump and end as a collar.
    root = 0.26 + 0.2 * np.sin(at["neck_dir"])
    thick[:4] = np.minimum(thick[:4], np.array([0.2, 0.3, root, root]) * s.depth * h)
    slim = np.interp(t, [0.2, 0.9, 1.12], [thick[3], 0.6 * s.head * h, 0.45 * s.head * h])
    thick[3:] = np.minimum(thick[3:], slim[3:])
    centers = neck + (end - neck) * t[:, None]
    centers[:3, 2] -= np.array([0.05, 0.04, 0.015]) * h
    side = np.array([-np.sin(at["neck_dir"]), 0, np.cos(at["neck_dir"])])
    weights = [
        b.weight(front=1),
        b.weight(front=1),
        b.weight(front=0.7, neck=0.3),
        b.weight(neck=1),
        b.weight(neck=0.4, neck2=0.6),
        b.weight(neck2=0.7, head=0.3),
        b.weight(head=1),
    ]
    add_shell(
        b,
        centers,
        np.stack([thick * 0.72, thick * 1.1], -1),
        np.array(weights),
        coat,
        12,
        (0, 1, 0),
        side,
    )
    if s.mane:
        dark = rgb("#1d1715" if s.color_name != "white" else "#b9b4aa")
        on_top = np.linspace(-0.1, 1.15, 7)
        rise = np.interp(on_top, t, thick * 1.05)[:, None]
        centers = neck + (end - neck) * on_top[:, None] + side * rise
        b.tube(
            centers,
            np.array([(0.022, 0.05)] * 7) * h * 1.1,
            np.array(
                [b.weight(front=0.4, neck=0.6)]
                + [b.weight(neck=1)] * 2
                + [b.weight(neck2=1)] * 2
                + [b.weight(head=0.5, neck2=0.5), b.weight(head=1)]
            ),
            dark,
            "hair",
            segments=8,
            u=(0, 1, 0),
            v=side,
        )


def add_legs(b, s, at, coat) -> None:
    """Add the four legs with their feet."""
    h = s.withers_m
    for key, (top, knee, foot) in at["legs"].items():
        hind = key[0] == "h"
        t = np.array(
            [-0.42, -0.36, -0.24, -0.05, 0.2, 0.4, 0.62, 0.85, 1.0, 1.15, 1.4, 1.7, 1.92, 2.0]
        )
        big = 1.85 if hind else 1.5
        thick = (
            np.interp(
                t,
                [-0.42, -0.36, -0.24, -0.05, 0.3, 0.7, 1.0, 1.4, 1.8, 2.0],
                [0.25 * big, 0.6 * big, 0.9 * big, big, big * 0.85, 1.1, 0.92, 0.7, 0.6, 0.66],
            )
            * s.leg_thick
            * h
        )
        centers = (
            top
            + (knee - top) * np.clip(t, -0.5, 1)[:, None]
            + (foot - knee) * np.clip(t - 1, 0, 1)[:, None]
        )
        rows = []
        base = "rear" if hind else "front"
        for ti in t:
            k = np.clip((ti - 0.85) / 0.3, 0, 1)
            r = np.clip(0.35 - ti / 0.5, 0, 1) * 0.7
            rows.append(
                b.weight(**{base: r + 1e-9, f"up_{key}": (1 - k) * (1 - r), f"low_{key}": k})
            )
        # The top leans into the body, so that haunch and shoulder swell out of it.
        centers[:, 1] -= np.sign(top[1]) * np.clip(0.25 - t, 0, 1) * 0.5 * s.leg_thick * h
        radii = np.stack(
            [thick * 0.82, thick * np.interp(t, [-0.4, 0.6, 1.2], [1.3, 1.1, 1.0])], -1
        )
        add_shell(
            b,
            centers,
            radii,
            np.array(rows),
            lambda p, up: coat(p, np.zeros(len(p))),
            10,
            (0, 1, 0),
            (1, 0, 0),
        )
        unit, faces = sphere(10, 8)
        size = np.array([1.35, 1.0, 0.7]) * s.leg_thick * h * 0.85
        paw = unit * size
        paw[:, 2] = np.maximum(paw[:, 2], -size[2] * 0.8)
        center = np.array([foot[0] + 0.35 * size[0], foot[1], size[2] * 0.8])
        tint = (
            rgb(s.paw)
            if s.ears == "long" or s.species in ("horse", "fox")
            else coat(center[None], [0.0])[0] * 0.85
        )
        b.add(paw + center, faces, b.weight(**{f"foot_{key}": 1}), tint, "fur")


def add_tail(b, s, at, coat) -> None:
    """Add the tail along its three bones."""
    h = s.withers_m
    start, step = at["tail"], at["tail_step"]
    t = np.linspace(-0.2, 3.0, 8)
    droop = np.array([0, 0, -1.0]) * (0.02 * h * t**2)[:, None] * (s.tail_angle_deg > -60)
    centers = start + step * t[:, None] + droop
    bushy = {"fox": [0.4, 0.7, 1.2, 0.25], "horse": [0.6, 1.0, 1.2, 0.5]}.get(
        s.species, [1.1, 0.95, 0.8, 0.45]
    )
    thick = np.interp(t, [-0.2, 0.8, 2.2, 3.0], bushy) * s.tail_thick * h
    if s.species in ("cow",):
        thick[-2:] *= 2.2
    rows = [b.weight(**{f"tail{int(np.clip(k, 0, 2))}": 1.0}) for k in t]
    rows[0] = b.weight(rear=1)
    hair = rgb("#1d1715" if s.color_name != "white" else "#b9b4aa")

    def tint(points, up):
        if s.species == "horse":
            return np.broadcast_to(hair, (len(points), 3))
        out = coat(points, np.zeros(len(points)))
        if s.species == "fox":  # the white tip
            far = np.linalg.norm(points - start, axis=1) > s.tail * h * 0.72
            out = np.where(far[:, None], rgb("#e8e2d6"), out)
        return out

    add_shell(b, centers, np.stack([thick, thick], -1), np.array(rows), tint, 8, None, None)
