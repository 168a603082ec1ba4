# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person carries: a backpack or a shoulder bag; lengths are shares of the body's height."""

import numpy as np

from render_rigs.mesh import rgb
from render_rigs.subjects.human_shape import COLORS, HumanShape
from render_rigs.subjects.rig import FigureBuilder


def add_bag(b: FigureBuilder, shape: HumanShape) -> None:
    """Add the person's bag, where there is one."""
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
        color = rgb(COLORS[shape.hat_color]) * 0.8
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
            rgb("#5e3b22"),
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
        b.tube(a * h, 0.007 * h * np.ones(7), weight, rgb("#4a2f1c"), "leather", segments=5)
