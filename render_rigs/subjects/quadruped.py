# SPDX-License-Identifier: GPL-3.0-or-later
"""Four-legged animals from one set of proportions: dog, cat, horse, cow, goat, bear and others."""

import numpy as np

from render_rigs.subjects.quadruped_body import add_body, add_legs, add_tail
from render_rigs.subjects.quadruped_coat import coat_of
from render_rigs.subjects.quadruped_head import add_head
from render_rigs.subjects.quadruped_shape import AnimalShape
from render_rigs.subjects.rig import Figure, FigureBuilder, Leg, Skeleton


def _layout(s: AnimalShape) -> tuple[Skeleton, dict]:
    h = s.withers_m
    back = h * (1 - s.depth * 0.42)
    half = s.length * h / 2
    a = np.radians(s.neck_angle_deg)
    shoulder = np.array([half * 0.86, 0, back])
    hip = np.array([-half * 0.86, 0, back + 0.01 * h])
    neck = np.array([half * 1.0, 0, back + s.depth * h * 0.18])
    neck_end = neck + np.array([np.cos(a), 0, np.sin(a)]) * s.neck * h
    tail = np.array([-half - 0.02 * h, 0, back + s.depth * h * 0.26])
    t = np.radians(s.tail_angle_deg)
    tail_step = np.array([-np.cos(t), 0, np.sin(t)]) * s.tail * h / 3
    wide = s.width * h * 0.36
    ankle = 0.045 * h
    names, parents, heads = ["root"], [-1], [(hip + shoulder) / 2]

    def bone(name, parent, at):
        names.append(name)
        parents.append(names.index(parent))
        heads.append(np.asarray(at, float))

    bone("rear", "root", hip * 0.6)
    heads[-1][2] = back
    bone("front", "root", np.array([half * 0.3, 0, back]))
    bone("neck", "front", neck)
    bone("neck2", "neck", (neck + neck_end) / 2)
    bone("head", "neck2", neck_end)
    for k in range(3):
        bone(f"tail{k}", "rear" if k == 0 else f"tail{k - 1}", tail + tail_step * k)
    legs = {}
    for where, base, parent in (("f", shoulder, "front"), ("h", hip, "rear")):
        for side, sign in (("l", 1), ("r", -1)):
            top = np.array([base[0], sign * wide * 0.85, back - s.depth * h * 0.12])
            foot = np.array([base[0] + (0.02 if where == "f" else -0.03) * h, sign * wide, ankle])
            forward = -0.015 if where == "f" else 0.05
            knee = (top + foot) / 2 + np.array([forward * h, 0, 0.015 * h])
            if where == "h":
                knee[2] += 0.02 * h
            bone(f"up_{where}{side}", parent, top)
            bone(f"low_{where}{side}", f"up_{where}{side}", knee)
            bone(f"foot_{where}{side}", f"low_{where}{side}", foot)
            legs[where + side] = (top, knee, foot)
    info = dict(
        back=back,
        half=half,
        neck=neck,
        neck_end=neck_end,
        neck_dir=a,
        tail=tail,
        tail_step=tail_step,
        legs=legs,
    )
    return Skeleton(names, parents, np.array(heads)), info


def build_quadruped(shape: AnimalShape) -> Figure:
    """Return the weighted animal at rest."""
    skeleton, at = _layout(shape)
    b = FigureBuilder(skeleton)
    coat = coat_of(shape)
    add_body(b, shape, at, coat)
    add_legs(b, shape, at, coat)
    add_head(b, shape, at, coat)
    add_tail(b, shape, at, coat)
    legs = [
        Leg(
            skeleton.index(f"up_{k}"),
            skeleton.index(f"low_{k}"),
            skeleton.index(f"foot_{k}"),
            phase,
            knee,
        )
        for k, phase, knee in (
            ("hl", 0.0, 1.0),
            ("fl", 0.25, -1.0),
            ("hr", 0.5, 1.0),
            ("fr", 0.75, -1.0),
        )
    ]
    top = float(max(at["neck_end"][2] + shape.head * shape.withers_m, shape.withers_m))
    return b.build(
        legs,
        top,
        shape.length * shape.withers_m * 0.75,
        kind="animal",
        caption=shape.caption(),
        details=f"a {shape.species}",
        noun=shape.species,
        withers_m=shape.withers_m,
    )
