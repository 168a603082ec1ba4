# SPDX-License-Identifier: Apache-2.0
"""Camera errors on pictures whose cameras are known: near zero for the truth, large for a lie."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from syncam_engine.evaluation.cameras import pose_errors, relative_cv, score_cameras
from syncam_engine.evaluation.matches import SiftSettings, match_sift
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m

WIDTH, HEIGHT = 416, 240
K = np.array([[300.0, 0, 209.5], [0, 305.0, 118.0], [0, 0, 1]])


def texture(seed: int) -> np.ndarray:
    """Blobs of many sizes, so that SIFT finds the same ones from near and far."""
    rng = np.random.default_rng(seed)
    picture = np.full((600, 600, 3), 128, np.uint8)
    for radius in (40, 24, 14, 8, 5):
        for _ in range(5000 // radius):
            x, y = rng.integers(0, 600, 2)
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            cv2.circle(picture, (int(x), int(y)), radius, colour, -1)
    return picture


def render(c2w: np.ndarray) -> np.ndarray:
    """A ground and two walls with textures, seen through `K`."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T @ c2w[:3, :3].T
    origin = c2w[:3, 3]
    picture = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    # (axis the plane stands on, its place, the two axes of its texture)
    planes = [(2, 0.0, 0, 1), (0, -2.5, 1, 2), (1, -2.0, 0, 2)]
    for number, (axis, place, first, second) in enumerate(planes):
        distance = (place - origin[axis]) / rays[..., axis]
        spot = origin + distance[..., None] * rays
        inside = (np.abs(spot[..., first]) < 3) & (np.abs(spot[..., second]) < 3)
        hit = (distance > 0) & (distance < nearest) & inside
        at = (spot[..., [first, second]].astype(np.float32) + 3) * 100
        seen = cv2.remap(texture(number), at[..., 0], at[..., 1], cv2.INTER_AREA)
        picture[hit] = seen[hit]
        nearest[hit] = distance[hit]
    return picture


@pytest.fixture(scope="module")
def views():
    """Three views 12 and 20 degrees apart, and their poses."""
    poses = [
        np.array(hemisphere_pose_c2w_cv_m((0, 0, 0.8), 5.0, azimuth, elevation))
        for azimuth, elevation in ((40, 20), (52, 24), (60, 15))
    ]
    return np.stack([render(p) for p in poses])[:, None], np.stack(poses)[:, None]


def test_true_pictures_have_errors_near_zero(views):
    pictures, poses = views
    score = score_cameras(pictures, np.tile(K, (3, 1, 1, 1)), poses)
    assert score.found == 1.0
    assert score.rot_err_rad < 0.01
    assert score.trans_err < 0.03
    assert score.matches > 50
    assert score.provenance["method"] == "essential"


def test_pictures_of_other_cameras_are_found_out(views):
    pictures, poses = views
    swapped = pictures[[0, 2, 1]]
    score = score_cameras(swapped, np.tile(K, (3, 1, 1, 1)), poses)
    assert score.rot_err_rad > 0.1


def test_flat_pictures_have_no_pose(views):
    _, poses = views
    flat = np.full((3, 1, HEIGHT, WIDTH, 3), 77, np.uint8)
    score = score_cameras(flat, np.tile(K, (3, 1, 1, 1)), poses)
    assert (score.found, score.rot_err_rad, score.matches) == (0.0, None, 0.0)


def test_homography_way_runs_and_says_so(views):
    pictures, poses = views
    score = score_cameras(pictures, np.tile(K, (3, 1, 1, 1)), poses, method="homography")
    assert score.provenance["method"] == "homography"
    assert score.rot_err_rad is not None


def test_errors_are_radians_and_unit_translations():
    true = np.hstack([np.eye(3), [[1.0], [0.0], [0.0]]])
    angle = 0.3
    turned = np.array(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    estimated = np.hstack([turned, [[0.0], [5.0], [0.0]]])
    rot, trans = pose_errors(estimated, true)
    assert rot == pytest.approx(0.3)
    assert trans == pytest.approx(math.sqrt(2))


def test_relative_pose_takes_points_of_the_first_camera_to_the_second():
    first = np.array(hemisphere_pose_c2w_cv_m((0, 0, 1), 4.0, 10, 5))
    second = np.array(hemisphere_pose_c2w_cv_m((0, 0, 1), 6.0, 75, 30))
    point = np.array([0.3, -0.2, 0.7, 1.0])
    seen = relative_cv(first, second) @ np.linalg.inv(first) @ point
    assert seen == pytest.approx(np.linalg.inv(second) @ point)


def test_matches_of_a_shifted_picture_have_that_shift():
    picture = texture(5)[:240, :320]
    shifted = texture(5)[7:247, 11:331]
    found = match_sift(picture, shifted, SiftSettings(keypoints=500))
    assert len(found) > 40
    assert np.median(found.a_N2 - found.b_N2, axis=0) == pytest.approx([11, 7], abs=0.2)
