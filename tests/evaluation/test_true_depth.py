# SPDX-License-Identifier: Apache-2.0
"""The true-depth warp against a scene whose colours are known at every point: two walls."""

from __future__ import annotations

import numpy as np
import pytest

from syncam_engine.evaluation.true_depth import agreement, warp
from syncam_engine.link.poses import look_at_c2w_cv_m

WIDTH, HEIGHT = 90, 54
FAR_Y, NEAR_Y, NEAR_X = 3.0, 1.0, 0.7
"""A wall at y = 3, and before it one at y = 1 that reaches from x = 0.7 to the right."""


def colour_at(points: np.ndarray) -> np.ndarray:
    """Smooth colours of the world's points, another tone on the near wall."""
    x, y, z = np.moveaxis(points, -1, 0)
    tone = np.where(y < 2, 60.0, 0.0)
    rgb = [
        90 + 50 * np.sin(1.3 * x) + tone,
        120 + 40 * np.cos(0.9 * z + 0.4 * x),
        150 + 30 * np.sin(x - z) - tone,
    ]
    return np.stack(rgb, -1)


def look(eye, target, focal_px: float):
    """(picture uint8 HW3, plane depth HW, K, c2w) of the two walls."""
    K = np.array([[focal_px, 0, 47.0], [0, 1.1 * focal_px, 25.0], [0, 0, 1]])
    c2w = np.array(look_at_c2w_cv_m(eye, target))
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T @ c2w[:3, :3].T
    near = (NEAR_Y - c2w[1, 3]) / rays[..., 1]
    hits_near = c2w[0, 3] + near * rays[..., 0] > NEAR_X
    depth = np.where(hits_near, near, (FAR_Y - c2w[1, 3]) / rays[..., 1])
    points = c2w[:3, 3] + depth[..., None] * rays
    return np.rint(colour_at(points)).astype(np.uint8), depth.astype(np.float32), K, c2w


@pytest.fixture(scope="module")
def views():
    seen = [
        look((-0.6, -3.1, 0.4), (0.1, 2.0, 0.0), 71.0),
        look((0.9, -2.7, 0.1), (0.2, 2.0, 0.2), 83.0),
        look((0.2, -3.4, 1.1), (0.4, 2.0, 0.1), 77.0),
    ]
    pictures, depths, K, c2w = (np.stack(part) for part in zip(*seen, strict=True))
    return pictures[:, None], depths[:, None], K[:, None], c2w[:, None]


def test_true_pictures_agree_to_the_rounding_of_their_colours(views):
    found = agreement(*views)
    assert found.colour_error < 1.0
    assert 0.4 < found.coverage < 0.95
    assert len(found.pairs) == 6


def test_what_is_hidden_from_the_other_camera_is_not_compared(views):
    pictures, depths, K, c2w = (part[:, 0] for part in views)
    right_to_left = (pictures[1], depths[1], depths[0], K[1], K[0], c2w[1], c2w[0])
    got = warp(*right_to_left)
    apart = np.abs(got.picture_HW3 - pictures[0]).mean(-1)
    assert apart[got.seen_HW].max() < 4
    lenient = warp(*right_to_left, tolerance=9.0)
    hidden = lenient.seen_HW & ~got.seen_HW
    assert hidden.sum() > 60
    assert apart[hidden].max() > 30, "the near wall's tone, seen through it"


@pytest.mark.parametrize("fault", ["rotated", "copied", "moved", "deeper"])
def test_every_fault_is_noticed(views, fault):
    pictures, depths, K, c2w = (part.copy() for part in views)
    true = agreement(pictures, depths, K, c2w).colour_error
    if fault == "rotated":
        pictures = np.roll(pictures, 1, axis=0)
    elif fault == "copied":
        pictures[:] = pictures[:1]
    elif fault == "moved":
        c2w[1, :, 0, 3] += 0.25
    else:
        depths *= 1.15
    assert agreement(pictures, depths, K, c2w).colour_error > 4 * true


def test_views_that_share_nothing_are_said_so(views):
    pictures, depths, K, c2w = views
    away = c2w.copy()
    away[1, :, :3, 3] += 500.0
    found = agreement(pictures[:2], depths[:2], K[:2], away[:2])
    assert np.isnan(found.colour_error)
    assert found.coverage == 0.0
    nothing = agreement(pictures, np.full_like(depths, np.inf), K, c2w)
    assert nothing.coverage == 0.0


def test_depth_of_other_pixels_is_refused(views):
    pictures, depths, K, c2w = views
    with pytest.raises(ValueError, match=r"depth_m_VTHW has shape \(3, 1, 54, 80\)"):
        agreement(pictures, depths[..., :80], K, c2w)
