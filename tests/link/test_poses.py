# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import numpy as np
import pytest

from syncam_engine.link import poses
from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m, sample_hemisphere_cameras


def random_pose(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    return poses.rigid(q.tolist(), rng.normal(size=3).tolist())


def test_products_inverses_and_determinants_agree_with_numpy():
    rng = np.random.default_rng(11)
    for _ in range(20):
        a, b = random_pose(rng), random_pose(rng)
        np.testing.assert_allclose(poses.matmul4(a, b), np.array(a) @ np.array(b), atol=1e-12)
        np.testing.assert_allclose(poses.invert_rigid(a), np.linalg.inv(np.array(a)), atol=1e-12)
        assert poses.determinant3(a) == pytest.approx(np.linalg.det(np.array(a)[:3, :3]))
        point = rng.normal(size=3)
        np.testing.assert_allclose(
            poses.transform_point(a, point), (np.array(a) @ [*point, 1])[:3], atol=1e-12
        )


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (37.5, 12), (181, 44), (359, 3)])
def test_a_hemisphere_pose_gives_its_angles_back(azimuth, elevation):
    pose = hemisphere_pose_c2w_cv_m((1.5, -2.0, 0.8), 6.1, azimuth, elevation)
    assert poses.azimuth_deg(pose) == pytest.approx(azimuth, abs=1e-6)
    assert poses.elevation_deg(pose) == pytest.approx(elevation)
    assert poses.roll_deg(pose) == pytest.approx(0, abs=1e-9)


def test_roll_is_signed_and_azimuths_wrap():
    pose = hemisphere_pose_c2w_cv_m((0, 0, 0), 4, 20, 10)
    quarter = poses.rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0, 0, 0))
    assert poses.roll_deg(poses.matmul4(pose, quarter)) == pytest.approx(-90)
    assert poses.wrapped_difference_deg(359, 1) == pytest.approx(2)
    assert poses.wrapped_difference_deg(10, 200) == pytest.approx(170)


def test_looking_straight_down_has_a_pose():
    pose = poses.look_at_c2w_cv_m((1, 2, 5), (1, 2, 0))
    assert poses.determinant3(pose) == pytest.approx(1)
    assert poses.forward_of(pose) == pytest.approx((0, 0, -1))
    with pytest.raises(ValueError, match="no direction"):
        poses.look_at_c2w_cv_m((1, 2, 5), (1, 2, 5))


def test_the_common_centre_is_found_or_said_to_be_missing():
    eyes = [(5, 0, 2), (0.5, 4, 1), (-3, -3, 3)]
    rig = [poses.look_at_c2w_cv_m(eye, (0.4, -0.2, 1.1)) for eye in eyes]
    assert poses.nearest_point_to_axes_m(rig) == pytest.approx((0.4, -0.2, 1.1))
    assert poses.nearest_point_to_axes_m(rig[:1]) is None
    parallel = [poses.rigid(poses.rotation_of(rig[0]), eye) for eye in eyes]
    assert poses.nearest_point_to_axes_m(parallel) is None
    apart = [
        poses.look_at_c2w_cv_m((1, 0, 0), (2, 0.1, 0)),
        poses.look_at_c2w_cv_m((-1, 0, 0), (-2, 1, 0)),
    ]
    assert poses.nearest_point_to_axes_m(apart) is None


def test_hemisphere_cameras_keep_their_bounds_and_their_seed():
    def draw(seed):
        return sample_hemisphere_cameras(
            random.Random(seed),
            36,
            center_m=(2, 1, 0.9),
            width_px=160,
            height_px=96,
            K=intrinsics_from_lens(24, 23.76, 160, 96),
            azimuth_deg=(30, 300),
        )

    cameras = draw(7)
    assert cameras == draw(7)
    assert cameras != draw(8)
    assert cameras[35].name == "cam36"
    for camera in cameras:
        pose = camera.c2w_cv_m
        distance = np.linalg.norm(np.subtract(poses.centre_of(pose), (2, 1, 0.9)))
        assert 3.5 <= distance <= 9.0
        assert -1e-9 <= poses.elevation_deg(pose) <= 45 + 1e-9
        assert 30 - 1e-9 <= poses.azimuth_deg(pose) <= 300 + 1e-9
    with pytest.raises(ValueError, match="radius_m"):
        sample_hemisphere_cameras(
            random.Random(0),
            1,
            center_m=(0, 0, 0),
            width_px=2,
            height_px=2,
            K=intrinsics_from_lens(24, 23.76, 2, 2),
            radius_m=(5.0, 4.0),
        )
