# SPDX-License-Identifier: GPL-3.0-or-later
"""The released format: exact strings, the public parsing rule, relative poses."""

import random
import re

import numpy as np

from render_rigs import syncamvideo
from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.hemisphere import sample_hemisphere_cameras

K = intrinsics_from_lens(24, 23.76, 672, 384)


def cameras(count=5):
    return sample_hemisphere_cameras(
        random.Random(9), count, center_m=(0.3, -0.7, 1.1), K=K, width_px=672, height_px=384
    )


def test_the_string_has_the_released_form():
    text = syncamvideo.extrinsics(cameras(), 3)["frame2"]["cam04"]
    number = r"-?\d+(\.\d+)?"
    row = rf"\[{number} {number} {number} 0\] "
    assert re.fullmatch(rf"({row}){{3}}\[{number} {number} {number} 1\] ", text)


def test_the_public_rule_gives_our_poses_back():
    rig = cameras()
    table = syncamvideo.extrinsics(rig, 1)["frame0"]
    absolute = [syncamvideo.parse_matrix(table[f"cam{i:02d}"]) for i in range(1, 6)]
    read = [syncamvideo.c2w_cv_from_rows(rows) for rows in absolute]
    for pose in read:  # OpenCV axes in Unreal's left-handed world
        assert np.isclose(np.linalg.det(pose[:3, :3]), -1, atol=1e-6)
    for pose, camera in zip(read[1:], rig[1:], strict=True):
        relative = np.linalg.inv(read[0]) @ pose
        ours = np.linalg.inv(np.array(rig[0].c2w_cv_m)) @ np.array(camera.c2w_cv_m)
        ours[:3, 3] /= 2.0  # their unit is 2 m
        assert np.isclose(np.linalg.det(relative[:3, :3]), 1, atol=1e-6)
        assert np.allclose(relative, ours, atol=1e-6)


def test_rotations_are_yaw_and_pitch_as_their_pair_list_wants():
    rig = cameras()
    for i, camera in enumerate(rig, 1):
        turn = syncamvideo.rotations(rig)[f"traj{i}"]
        c2w = np.array(camera.c2w_cv_m)
        assert np.isclose(turn["ry"], np.degrees(np.arcsin(c2w[2, 2])), atol=1e-4)
        assert np.isclose(turn["rz"], np.degrees(np.arctan2(-c2w[1, 2], c2w[0, 2])), atol=1e-4)
        assert turn["ry"] <= 0.001  # all look down or level


def test_small_numbers_are_never_in_exponents():
    rows = np.diag([1e-12, -1e-12, 1.0, 1.0])
    assert syncamvideo.matrix_string(rows) == "[0 0 0 0] [0 0 0 0] [0 0 1 0] [0 0 0 1] "
