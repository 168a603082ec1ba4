# SPDX-License-Identifier: GPL-3.0-or-later
"""What the motion tests measure on skinned vertices."""

import numpy as np


def slides_m(figure, vertices_m, feet) -> list[float]:
    """For each stance of each foot: how far its sole moved over the ground while it stood."""
    out = []
    for index, leg in enumerate(figure.legs):
        own = figure.weights[:, leg.foot] > 0.99
        sole = vertices_m[:, own].mean(1)[:, :2]
        standing = feet.swing[:, index] == 0
        start = None
        for frame in range(len(sole) + 1):
            here = frame < len(sole) and standing[frame]
            if (
                here
                and start is not None
                and np.hypot(*(feet.place_m[frame, index, :2] - feet.place_m[start, index, :2]))
                > 1e-6
            ):
                out.append(float(np.linalg.norm(sole[start:frame] - sole[start], axis=1).max()))
                start = frame
            elif here and start is None:
                start = frame
            elif not here and start is not None:
                out.append(float(np.linalg.norm(sole[start:frame] - sole[start], axis=1).max()))
                start = None
    return out
