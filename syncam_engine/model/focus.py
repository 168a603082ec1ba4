# SPDX-License-Identifier: Apache-2.0
"""What a rig's cameras look at: a point for any rig, where `link.poses` has none for some.

Shape legend: V views.
"""

from __future__ import annotations

import numpy as np

NO_FOCUS_M = 4.0
"""Cameras that look in parallel are taken to look at what is this far ahead."""
PULL = 1e-3
"""Weight of that guess beside the cameras' own axes."""


def focus_point(c2w_V44: np.ndarray) -> np.ndarray:
    """Return the point [3] nearest to all cameras' optical axes, in metres."""
    origins, forward = c2w_V44[:, :3, 3], c2w_V44[:, :3, 2]
    ahead = (origins + NO_FOCUS_M * forward).mean(0)
    across_V33 = np.eye(3) - forward[:, :, None] * forward[:, None]
    lhs = across_V33.sum(0) + PULL * np.eye(3)
    return np.linalg.solve(lhs, np.einsum("vij,vj->i", across_V33, origins) + PULL * ahead)
