# SPDX-License-Identifier: Apache-2.0
"""Do the views agree with each other? Asked of the scene's own depth, not of a guess.

Where the scene is known, every pixel of one view has a known place in another. One view's picture
is carried into the other by true depth and pose, what the other camera cannot see is dropped, and
the colours that are left are compared. Nothing is learned and nothing estimated: whatever differs
is the clips' own disagreement (and, on true renders too, what is shiny or lies between pixels).

Shape legend: V views, T pictures, H, W pixels, P pairs of views.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from syncam_engine.model.guides import camera_points

TOLERANCE = 0.02
"""A point is seen from the other camera if its distance there is the other's depth to this share;
half a pixel of a floor seen at a low angle is about as much."""


@dataclass(frozen=True, kw_only=True)
class Warped:
    """One view's picture as another camera would show it."""

    picture_HW3: np.ndarray
    """float32, 0 to 255; meaningless where `seen_HW` is False."""
    seen_HW: np.ndarray
    """Where both cameras see the same spot of the scene."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike the views of a rig are where they see the same."""

    colour_error: float
    """Mean absolute difference of the colours, 0 to 255, over all spots that two views share."""
    coverage: float
    """Share of the pixels with something there that have a counterpart, over all pairs."""
    pairs: dict[tuple[int, int], float]
    """Colour error by (from view, to view); NaN where the two share nothing."""


def warp(
    picture_HW3: np.ndarray,
    depth_from_m_HW: np.ndarray,
    depth_to_m_HW: np.ndarray,
    K_from: np.ndarray,
    K_to: np.ndarray,
    c2w_from: np.ndarray,
    c2w_to: np.ndarray,
    tolerance: float = TOLERANCE,
) -> Warped:
    """Carry a picture from one camera into another; depths are plane depth, inf for nothing.

    For each pixel of the target its point in the scene is projected into the source, where the
    colour is read between the four nearest pixels. All four must lie on the same surface, or a
    colour from behind an edge would be counted as a disagreement.
    """
    points = camera_points(np.where(np.isfinite(depth_to_m_HW), depth_to_m_HW, 1.0), K_to)
    move = np.linalg.inv(np.asarray(c2w_from, np.float64)) @ np.asarray(c2w_to, np.float64)
    there = points @ move[:3, :3].T + move[:3, 3]
    z = there[..., 2]
    ahead = z > 1e-6
    z_safe = np.where(ahead, z, 1.0)
    pixel = there @ np.asarray(K_from, np.float64).T
    u, v = pixel[..., 0] / z_safe - 0.5, pixel[..., 1] / z_safe - 0.5
    height, width = depth_from_m_HW.shape
    inside = ahead & (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
    u, v = np.where(inside, u, 0.0), np.where(inside, v, 0.0)
    left = np.minimum(u.astype(int), width - 2)
    top = np.minimum(v.astype(int), height - 2)
    across, down = (u - left)[..., None], (v - top)[..., None]
    colour = np.zeros((*u.shape, 3))
    same = np.isfinite(depth_to_m_HW) & inside
    for row, weight_v in ((top, 1 - down), (top + 1, down)):
        for column, weight_u in ((left, 1 - across), (left + 1, across)):
            colour += weight_v * weight_u * picture_HW3[row, column]
            apart = np.abs(depth_from_m_HW[row, column] - z)
            same &= apart <= tolerance * z_safe
    return Warped(picture_HW3=colour.astype(np.float32), seen_HW=same)


def agreement(
    clips_VTHW3: np.ndarray,
    depth_m_VTHW: np.ndarray,
    K_VT33: np.ndarray,
    c2w_cv_m_VT44: np.ndarray,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Compare every view with every other, picture by picture, by the scene's true depth.

    clips uint8; depth float32 plane depth in metres of the very pixels; K and poses have a time
    axis of T or 1. Raises ValueError naming shapes that do not fit together.
    """
    views, pictures = clips_VTHW3.shape[:2]
    if depth_m_VTHW.shape != clips_VTHW3.shape[:4]:
        raise ValueError(
            f"depth_m_VTHW has shape {depth_m_VTHW.shape}; it must be {clips_VTHW3.shape[:4]}, "
            "one depth for each pixel of the clips"
        )
    K = np.broadcast_to(K_VT33, (views, pictures, 3, 3))
    c2w = np.broadcast_to(c2w_cv_m_VT44, (views, pictures, 4, 4))
    total = {pair: 0.0 for pair in permutations(range(views), 2)}
    counted = dict.fromkeys(total, 0)
    there = 0
    for a, b in total:
        for t in range(pictures):
            warped = warp(
                clips_VTHW3[a, t],
                depth_m_VTHW[a, t],
                depth_m_VTHW[b, t],
                *(K[a, t], K[b, t]),
                *(c2w[a, t], c2w[b, t]),
                tolerance,
            )
            apart = np.abs(warped.picture_HW3 - clips_VTHW3[b, t]).mean(-1)
            total[a, b] += float(apart[warped.seen_HW].sum())
            counted[a, b] += int(warped.seen_HW.sum())
            there += int(np.isfinite(depth_m_VTHW[b, t]).sum())
    seen = sum(counted.values())
    return Agreement(
        colour_error=sum(total.values()) / seen if seen else float("nan"),
        coverage=seen / there if there else 0.0,
        pairs={p: total[p] / counted[p] if counted[p] else float("nan") for p in total},
    )
