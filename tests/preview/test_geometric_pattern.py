# SPDX-License-Identifier: Apache-2.0
"""The geometric pattern once more, token by token from its words, where each part of it counts:
rays that meet the floor or the dome, spots behind a camera, cameras in parallel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from syncam_engine.link.poses import look_at_c2w_cv_m
from syncam_engine.preview.geometric_pattern import HEAD_GUESSES, focus_point, geometric_pattern

WIDTH_PX, HEIGHT_PX, TOKEN_PX, COLUMNS, TOKENS = 64, 48, 16, 4, 12


def seen_at(K, c2w, point):
    """Pixels (u, v) of a point of the world, or None for one that is not before the camera."""
    local = (np.linalg.inv(c2w) @ [*point, 1.0])[:3]
    return None if local[2] <= 1e-9 else (K @ local)[:2] / local[2]


def line_of(K, c2w, eye, ray):
    """The ray's picture as a line (a, b, c) of unit normal."""
    w2c = np.linalg.inv(c2w)
    a, b = (K @ (w2c @ [*point, 1.0])[:3] for point in (eye, eye + ray))
    line = np.cross(a, b)
    return line / np.linalg.norm(line[:2])


def by_hand(c2w_V44, K_V33, focus, i, s, j, k):
    """The pattern's six heads for token s of view i and token k of view j."""
    uv, target = (((n % COLUMNS + 0.5) * TOKEN_PX, (n // COLUMNS + 0.5) * TOKEN_PX) for n in (s, k))
    eye, ray = c2w_V44[i, :3, 3], c2w_V44[i, :3, :3] @ np.linalg.inv(K_V33[i]) @ [*uv, 1.0]
    ray = ray / np.linalg.norm(ray)
    radius = 4.0 * np.median([math.dist(c2w[:3, 3], focus) for c2w in c2w_V44])
    middle = (focus - eye) @ ray
    to_dome = middle + math.sqrt(radius**2 - math.dist(focus, eye + middle * ray) ** 2)
    to_floor = eye[2] / -ray[2] if ray[2] < 0 else math.inf
    spots = {
        "behind": eye + min(to_floor, to_dome) * ray,
        "focus": eye + max(middle, 1e-9) * ray,
    }
    heads = []
    for guess in HEAD_GUESSES:
        if guess is None:
            heads.append(0.0)
            continue
        name, spread = guess
        if name == "line":
            line = None if i == j else line_of(K_V33[j], c2w_V44[j], eye, ray)
            away_px = 0.0 if line is None else abs(line @ [*target, 1.0])
        else:
            place = seen_at(K_V33[j], c2w_V44[j], spots[name])
            away_px = math.inf if place is None else math.dist(place, target)
        heads.append(max(-6.0, -0.5 * (away_px / TOKEN_PX / spread) ** 2))
    return heads


def lenses(count: int) -> np.ndarray:
    return np.array(
        [[[60.0 + 5 * n, 0, 30 + n], [0, 62.0 + n, 25], [0, 0, 1]] for n in range(count)]
    )


AROUND = [look_at_c2w_cv_m(eye, (0.1, -0.2, 1)) for eye in ((4, 0, 1.5), (0, 5, 3), (-3, -3, 0.7))]
# The third stands between the others and what they see, and looks the same way: their spots on the
# dome are before it, the nearer ones behind it.
IN_LINE = [
    look_at_c2w_cv_m(eye, (eye[0] + 10, eye[1], eye[2] - 0.5))
    for eye in ((0, 0, 1.2), (0, 0.8, 1.5), (6.0, 0.5, 1.4))
]


@pytest.mark.parametrize("cameras", [AROUND, IN_LINE])
def test_every_head_is_its_guess_by_hand(cameras):
    c2w_V44, K_V33 = np.array(cameras), lenses(3)
    found = geometric_pattern(c2w_V44[:, None], K_V33[:, None], WIDTH_PX, HEIGHT_PX)[0]
    assert found.shape == (6, 3 * TOKENS, 3 * TOKENS)
    focus = focus_point(c2w_V44)
    for i, s, j, k in np.ndindex(3, TOKENS, 3, TOKENS):
        expected = by_hand(c2w_V44, K_V33, focus, i, s, j, k)
        assert found[:, i * TOKENS + s, j * TOKENS + k] == pytest.approx(expected, abs=1e-4)


def test_cameras_look_at_their_focus_and_parallel_ones_four_metres_ahead():
    assert focus_point(np.array(AROUND)) == pytest.approx([0.1, -0.2, 1.0], abs=2e-3)
    alike = np.array([look_at_c2w_cv_m((1, 2, 1.5), (1, 9, 1.5))] * 2)
    assert focus_point(alike) == pytest.approx([1, 6, 1.5], abs=1e-6)


def test_a_lens_that_zooms_has_a_pattern_for_each_frame():
    c2w_VF44 = np.repeat(np.array(AROUND)[:, None], 2, axis=1)
    wide = lenses(3)
    long = wide * [[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]]
    found = geometric_pattern(c2w_VF44, np.stack([wide, long], axis=1), WIDTH_PX, HEIGHT_PX)
    for frame, K_V33 in enumerate((wide, long)):
        alone = geometric_pattern(c2w_VF44, np.stack([K_V33] * 2, axis=1), WIDTH_PX, HEIGHT_PX)
        assert len(alone) == 1
        assert np.array_equal(found[frame], alone[0])
