# SPDX-License-Identifier: GPL-3.0-or-later
"""An animal's head: snout, eyes, ears and horns."""

import numpy as np

from render_rigs.mesh import rgb, sphere
from render_rigs.subjects.quadruped_coat import add_shell


def add_head(b, s, at, coat) -> None:
    """Add the head at the neck's end; ``at`` has the layout's points, ``coat`` their colours."""
    h = s.withers_m
    weight = b.weight(head=1)
    end = at["neck_end"]
    tilt = np.radians(-22)
    axis = np.array([np.cos(tilt), 0, np.sin(tilt)])
    up = np.array([-np.sin(tilt), 0, np.cos(tilt)])
    head, snout, thick = s.head * h, s.snout * h, s.snout_thick * h
    d = np.array([-0.55, -0.42, -0.1, 0.25, 0.55]) * head
    d = np.concatenate([d, 0.6 * head + np.array([0.25, 0.6, 0.9, 1.0]) * snout])
    tall = np.concatenate(
        [np.array([0.2, 0.42, 0.56, 0.52, 0.4]) * head, np.array([1.05, 0.92, 0.82, 0.45]) * thick]
    )
    wide = np.concatenate(
        [np.array([0.2, 0.4, 0.5, 0.46, 0.36]) * head, np.array([0.85, 0.75, 0.75, 0.4]) * thick]
    )
    drop = np.concatenate([np.zeros(5), np.array([0.1, 0.14, 0.15, 0.17]) * head])
    centers = end + axis * d[:, None] - up * drop[:, None]
    paler = 0.2 if s.species in ("fox", "cat") else 1.0

    def face(points, up):
        return coat(points, np.minimum(up, paler))

    add_shell(b, centers, np.stack([wide, tall], -1), weight, face, 14, (0, 1, 0), up)
    nose = centers[-2] + axis * 0.12 * snout + up * tall[-2] * 0.45
    unit, faces = sphere(8, 6)
    dark = rgb("#151212" if s.species != "pig" else "#b87c70")
    hoofed = s.species in ("horse", "cow", "goat", "deer", "sheep")
    muzzle = coat(nose[None], [0.0])[0] * 0.6 if hoofed else dark
    wide_nose = thick * np.array([0.3, 0.62, 0.34] if hoofed else [0.35, 0.5, 0.38])
    b.add(nose + unit * wide_nose, faces, weight, muzzle, "leather")
    mouth = np.array([centers[-1] + axis * 0.02 * snout, centers[-2], centers[-3]])
    for sign in (1, -1):
        b.tube(
            mouth
            + np.array([0, sign, 0]) * np.array([0.3, 0.72, 0.78])[:, None] * thick
            - up * np.array([0.15, 0.3, 0.35])[:, None] * thick,
            np.full(3, 0.06 * thick),
            weight,
            dark * 0.8,
            "leather",
            segments=5,
        )
        eye = end + axis * 0.38 * head + up * 0.2 * head + np.array([0, sign, 0]) * 0.375 * head
        b.add(eye + unit * 0.11 * head, faces, weight, rgb("#0f0d0d"), "leather")
        b.add(
            eye
            + (axis * 0.06 + up * 0.05 + np.array([0, sign * 0.06, 0])) * head
            + unit * 0.028 * head,
            faces,
            weight,
            rgb("#ffffff"),
            "plain",
        )
        _ear(b, s, end, axis, up, head, sign, weight, coat)
        _horn(b, s, end, axis, up, head, sign, weight)


def _ear(b, s, end, axis, up, head, sign, weight, coat) -> None:
    side = np.array([0, sign, 0.0])
    root = end - axis * 0.12 * head + up * 0.42 * head + side * 0.3 * head
    shapes = {
        "pointed": (
            [0, 0.25, 0.5, 0.72],
            [(0.16, 0.07), (0.17, 0.07), (0.1, 0.05), (0.01, 0.01)],
            up * 1.0 + side * 0.25,
        ),
        "round": (
            [0, 0.12, 0.26, 0.34],
            [(0.15, 0.08), (0.2, 0.1), (0.17, 0.08), (0.05, 0.04)],
            up * 1.0 + side * 0.4,
        ),
        "floppy": (
            [0, 0.2, 0.45, 0.65],
            [(0.1, 0.07), (0.2, 0.06), (0.21, 0.05), (0.08, 0.03)],
            -up * 0.9 + side * 0.45,
        ),
        "long": (
            [0, 0.25, 0.55, 0.8],
            [(0.07, 0.06), (0.14, 0.06), (0.12, 0.05), (0.02, 0.02)],
            side * 1.0 + up * 0.2 - axis * 0.25,
        ),
    }[s.ears]
    d, radii, way = shapes
    way = way / np.linalg.norm(way)
    across = axis - way * (axis @ way)
    across /= np.linalg.norm(across)
    if s.ears == "floppy":
        root = root + side * 0.1 * head
    centers = root + way * np.array(d)[:, None] * head
    color = coat(centers, np.ones(4)) * 0.85
    b.tube(
        centers,
        np.array(radii) * head,
        weight,
        color,
        "fur",
        segments=8,
        u=across,
        v=np.cross(way, across),
    )


def _horn(b, s, end, axis, up, head, sign, weight) -> None:
    if s.horns == "none":
        return
    side = np.array([0, sign, 0.0])
    root = end - axis * 0.05 * head + up * 0.5 * head + side * 0.16 * head
    bone = rgb("#c9bb9a")
    if s.horns == "short":
        points = (
            root
            + (side * np.array([0.1, 0.5, 0.75])[:, None] + up * np.array([0, 0.1, 0.45])[:, None])
            * head
        )
        b.tube(points, np.array([0.09, 0.075, 0.015]) * head, weight, bone, "leather", segments=7)
    elif s.horns == "curved":
        points = (
            root
            + (
                up * np.array([0, 0.5, 0.85, 0.95])[:, None]
                - axis * np.array([0, 0.1, 0.5, 0.95])[:, None]
                + side * np.array([0, 0.1, 0.2, 0.3])[:, None]
            )
            * head
        )
        b.tube(
            points,
            np.array([0.1, 0.085, 0.06, 0.015]) * head,
            weight,
            bone * 0.75,
            "leather",
            segments=7,
        )
    else:
        main = (
            root
            + (
                up * np.array([0, 0.7, 1.4, 2.1])[:, None]
                - axis * np.array([0, 0.35, 0.3, -0.1])[:, None]
                + side * np.array([0, 0.5, 0.95, 1.05])[:, None]
            )
            * head
        )
        b.tube(
            main,
            np.array([0.09, 0.075, 0.06, 0.02]) * head,
            weight,
            bone * 0.8,
            "leather",
            segments=6,
        )
        for k in (1, 2):
            tine = (
                main[k]
                + (up * np.array([0, 0.4])[:, None] + axis * np.array([0, 0.4])[:, None]) * head
            )
            b.tube(tine, np.array([0.055, 0.015]) * head, weight, bone * 0.8, "leather", segments=5)
