# SPDX-License-Identifier: GPL-3.0-or-later
"""An animal's coat: its colour at every point, and tubes that wear it."""

import numpy as np

from render_rigs.mesh import loft, rgb
from render_rigs.subjects.quadruped_shape import AnimalShape


def coat_of(s: AnimalShape):
    """colour(points [N,3], up [N]) of the coat: belly, patterns; ``up`` is -1 below .. 1 above."""
    rng = np.random.default_rng(s.seed)
    waves = rng.uniform(2.0, 4.2, (5, 3)) * rng.choice([-1, 1], (5, 3)) / s.withers_m * 2.2
    shifts = rng.uniform(0, 6.28, 5)
    base, belly, other = rgb(s.color), rgb(s.belly), rgb(s.pattern_color)

    def color(points, up):
        points, up = np.atleast_2d(points), np.atleast_1d(up)
        k = np.clip((-up - 0.25) / 0.5, 0, 1)[:, None]
        out = base * (1 - k) + belly * k
        wave = sum(np.sin(points @ w + p) for w, p in zip(waves, shifts, strict=True))
        if s.pattern == "spots":
            mask = wave > 0.75
        elif s.pattern == "stripes":
            mask = (np.sin(points[:, 0] / s.withers_m * 34 + wave) > 0.25) & (up > -0.5)
        elif s.pattern == "saddle":
            mask = (up > 0.3) & (np.abs(points[:, 0]) < s.length * s.withers_m * 0.42)
        else:
            mask = np.zeros(len(points), bool)
        out = np.where(mask[:, None], other, out)
        return np.clip(out * (1 + 0.06 * np.sin(wave * 3)[:, None]), 0, 1)

    return color


def add_shell(b, centers, radii, weights, coat, segments, u, v, power=2.0, surface="fur") -> None:
    """A tube whose every vertex is coloured by the coat."""
    verts, faces = loft(centers, radii, segments=segments, u=u, v=v, power=power)
    n = len(centers)
    middle = np.concatenate([np.repeat(centers, segments, 0), centers[:1], centers[-1:]])
    tall = np.concatenate(
        [np.repeat(np.maximum(np.asarray(radii)[:, 1], 1e-6), segments), np.ones(2)]
    )
    up = np.clip((verts[:, 2] - middle[:, 2]) / tall, -1, 1)
    rows = np.broadcast_to(weights, (n, len(b.skeleton.names)))
    w = np.concatenate([np.repeat(rows, segments, 0), rows[:1], rows[-1:]])
    b.add(verts, faces, w, coat(verts, up), surface)
