# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a person from a ``HumanShape``: body and clothes as shaped, weighted tubes.

Lengths are shares of the body's height unless a name says metres.
"""

import numpy as np

from render_rigs.subjects.human_bags import add_bag
from render_rigs.subjects.human_head import add_head
from render_rigs.subjects.human_limbs import add_arm, add_leg
from render_rigs.subjects.human_shape import HumanShape, shoulders
from render_rigs.subjects.human_trunk import add_trunk
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
    heads[arms, 1] *= shoulders(shape)
    return Skeleton(names, parents, heads * shape.height_m)


def build_human(shape: HumanShape) -> Figure:
    """Return the dressed, weighted figure at rest."""
    skeleton = human_skeleton(shape)
    b = FigureBuilder(skeleton)
    add_trunk(b, shape)
    for side in ("l", "r"):
        add_leg(b, shape, side)
        add_arm(b, shape, side)
    add_head(b, shape)
    add_bag(b, shape)
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
