# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from syncam_engine.link import poses
from syncam_engine.link.camera import Camera, intrinsics, intrinsics_from_lens
from syncam_engine.link.errors import SynCamError

from .conftest import make_camera


def test_projection_agrees_with_plain_matrix_algebra():
    camera = make_camera()
    rng = np.random.default_rng(3)
    points = rng.normal(size=(50, 3))
    w2c = np.linalg.inv(np.array(camera.c2w_cv_m))
    for point in points:
        x = w2c @ [*point, 1.0]
        uvw = np.array(camera.K) @ x[:3]
        assert camera.project(point) == pytest.approx([uvw[0] / uvw[2], uvw[1] / uvw[2], x[2]])


def test_a_look_at_camera_sees_its_target_at_the_principal_point_and_up_is_up():
    camera = make_camera()
    u, v, depth = camera.project((0.3, 0.2, 0.9))
    assert (u, v) == pytest.approx((77.5, 51.25))
    assert depth == pytest.approx(math.dist((4.1, -2.3, 1.7), (0.3, 0.2, 0.9)))
    assert camera.project((0.3, 0.2, 1.4))[1] < v
    # From +X looking to -X, world +Y lies to the right.
    side = make_camera(eye=(5.0, 0.0, 1.0), target=(0.0, 0.0, 1.0))
    assert side.project((0.0, 1.0, 1.0))[0] > side.project((0.0, -1.0, 1.0))[0]


def test_a_point_behind_has_no_pixel():
    u, v, depth = make_camera().project((9.0, -6.0, 2.4))
    assert math.isnan(u)
    assert math.isnan(v)
    assert depth < 0


def test_field_of_view_of_the_training_lens_is_the_published_one():
    K = intrinsics_from_lens(24.0, 23.76, 1280, 1280)
    camera = make_camera(K=K, width_px=1280, height_px=1280)
    assert camera.fov_x_deg() == pytest.approx(52.67, abs=0.005)


def test_moving_is_told_from_a_still_pose_repeated():
    still = poses.look_at_c2w_cv_m((3, 1, 2), (0, 0, 1))
    moved = poses.look_at_c2w_cv_m((3, 1.1, 2), (0, 0, 1))
    assert not make_camera(c2w_cv_m=(still,) * 5).is_moving
    camera = make_camera(c2w_cv_m=(still, still, moved))
    assert camera.is_moving
    assert camera.frame_count == 3
    assert camera.c2w_cv_m_at(2) == moved


def test_numpy_matrices_are_taken_and_become_plain():
    camera = make_camera(c2w_cv_m=np.array(make_camera().c2w_cv_m))
    assert type(camera.c2w_cv_m[0][0]) is float
    assert camera == make_camera()


BAD_POSE = [list(row) for row in make_camera().c2w_cv_m]


def _pose(change):
    matrix = [list(row) for row in BAD_POSE]
    change(matrix)
    return matrix


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"c2w_cv_m": _pose(lambda m: m[0].__setitem__(3, math.nan))}, "camera.matrix", "finite"),
        ({"c2w_cv_m": _pose(lambda m: m[0].__setitem__(0, 2.0))}, "camera.pose", "scale"),
        ({"c2w_cv_m": [[0.0] * 4] * 3 + [[0, 0, 0, 1]]}, "camera.pose", "off by 1"),
        (
            {"c2w_cv_m": [[-x for x in row[:3]] + row[3:] for row in BAD_POSE]},
            "camera.pose",
            "mirrored",
        ),
        ({"c2w_cv_m": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "camera.matrix", "4x4"),
        ({"c2w_cv_m": "pose"}, "camera.matrix", "4x4"),
        ({"K": intrinsics(-3.0, 5.0, 1.0, 1.0)}, "camera.intrinsics", "-3"),
        ({"width_px": 0}, "camera.size", "width_px 0"),
        ({"height_px": 9.5}, "camera.size", "9.5"),
        ({"near_m": 5.0, "far_m": 2.0}, "camera.clip", "near 5.0 m"),
        (
            {"K": (intrinsics(1, 1, 1, 1),) * 3, "c2w_cv_m": (BAD_POSE,) * 2},
            "camera.frames",
            "3 intrinsics",
        ),
    ],
)
def test_an_impossible_camera_is_named_with_its_value(changes, code, said):
    with pytest.raises(SynCamError) as caught:
        make_camera(**changes)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert "'north'" in str(caught.value)


def test_a_camera_without_a_name_is_refused():
    with pytest.raises(SynCamError, match="name"):
        Camera(
            name=" ", width_px=3, height_px=2, K=intrinsics(1, 1, 1, 1), c2w_cv_m=poses.IDENTITY4
        )
