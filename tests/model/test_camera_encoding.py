# SPDX-License-Identifier: Apache-2.0
"""What the network reads of a rig, against values worked out by hand and against projection."""

from __future__ import annotations

import math

import numpy as np
import pytest

from syncam_engine.link.camera import Camera, intrinsics
from syncam_engine.link.poses import look_at_c2w_cv_m
from syncam_engine.link.rig import Rig
from syncam_engine.model.camera_encoding import (
    encode_cameras,
    encode_rig,
    rig_matrices,
)
from syncam_engine.model.epipolar import epipolar_pattern
from syncam_engine.model.interfaces import latent_frame_count
from syncam_engine.model.presets import CameraEncoding
from syncam_engine.model.token_grid import token_centres, token_rays
from syncam_engine.preview.config import PreviewCameraEncoding
from syncam_engine.preview.geometric_pattern import HEAD_GUESSES, LOWEST, geometric_pattern
from syncam_engine.preview.ground import ground_hits
from tests.model.networks import FRAMES, HEIGHT_PX, WIDTH_PX, make_rig


def camera(name, eye, target, focal=100.0, **changes):
    values = {
        "name": name,
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "K": intrinsics(focal, focal + 3.0, 54.0, 41.0),
        "c2w_cv_m": look_at_c2w_cv_m(eye, target),
    }
    return Camera(**{**values, **changes})


def test_extrinsics_are_the_released_twelve_numbers():
    # The second camera stands 3 m to the anchor's right, turned a quarter to its left.
    anchor = camera("a", (0, -4, 1), (0, 0, 1))
    side = camera("b", (3, -4, 1), (0, -4, 1))
    numbers = encode_rig(
        Rig(cameras=(anchor, side)), CameraEncoding(), 3, WIDTH_PX, HEIGHT_PX
    ).numbers_VFSR
    assert numbers.shape == (2, 3, 1, 12)
    assert numbers.dtype == np.float32
    assert np.allclose(numbers[0, 1, 0].reshape(3, 4), np.eye(4)[:3], atol=1e-6)
    expected = [[0, 0, -1, 1.5], [0, 1, 0, 0], [1, 0, 0, 0]]  # 3 m are 1.5 units of 2 m
    assert np.allclose(numbers[1, 2, 0].reshape(3, 4), expected, atol=1e-6)


def test_per_frame_anchoring_hides_the_anchors_motion_and_first_frame_shows_it():
    moving = make_rig(2, moving=True)
    frames = (3, WIDTH_PX, HEIGHT_PX)
    per_frame = encode_rig(moving, CameraEncoding(), *frames).numbers_VFSR
    assert np.allclose(per_frame[0, :, 0].reshape(3, 3, 4), np.eye(4)[:3], atol=1e-6)
    first = encode_rig(moving, CameraEncoding(anchoring="first_frame"), *frames).numbers_VFSR
    assert np.allclose(first[0, 0], per_frame[0, 0], atol=1e-6)
    assert not np.allclose(first[0, 2], per_frame[0, 2], atol=0.1)
    # Latent frame 2 is picture 8: another pose there changes it, one at picture 7 does not.
    c2w, _ = rig_matrices(moving, *frames)
    assert np.allclose(c2w[1, 2], moving.cameras[1].c2w_cv_m_at(8))


def test_plucker_rays_pass_through_the_scene_point():
    rig = make_rig(3)
    point = np.array([0.7, -0.4, 0.8])
    encoding = CameraEncoding(encoding="plucker", unit_m=1.7)
    numbers = encode_rig(rig, encoding, 2, WIDTH_PX, HEIGHT_PX).numbers_VFSR.astype(float)
    seen = np.linalg.inv(np.array(rig.cameras[0].c2w_cv_m)) @ [*point, 1.0]
    seen = seen[:3] / encoding.unit_m
    for v, one in enumerate(rig.cameras):
        u_px, v_px, depth = one.project(point)
        nearest = np.argmin(np.hypot(*(token_centres(WIDTH_PX, HEIGHT_PX)[:, :2] - [u_px, v_px]).T))
        moment, direction = np.split(numbers[v, 1, nearest], 2)
        assert math.isclose(np.linalg.norm(direction), 1.0, abs_tol=1e-6)
        # The ray's distance to the point is within the token's half diagonal at that depth.
        distance = np.linalg.norm(np.cross(seen, direction) - moment)
        assert distance <= 8 * math.sqrt(2) / one.K[0][0] * depth / encoding.unit_m * 1.05


def test_lens_counts_for_rays_and_not_for_extrinsics():
    near = Rig(cameras=(camera("a", (0, -4, 1), (0, 0, 1)),))
    long = Rig(cameras=(camera("a", (0, -4, 1), (0, 0, 1), focal=170.0),))
    size = (2, WIDTH_PX, HEIGHT_PX)
    for encoding, differs in (("plucker", True), ("extrinsics", False)):
        chosen = CameraEncoding(encoding=encoding)
        a, b = (encode_rig(rig, chosen, *size).numbers_VFSR for rig in (near, long))
        assert (not np.allclose(a, b)) == differs


def test_gravity_tells_two_tilted_rigs_apart():
    """The same relative poses over another ground: only the four extra numbers differ."""
    level = make_rig(2)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    tilt[2, 3] = 0.8
    c2w, K = rig_matrices(level, 2, WIDTH_PX, HEIGHT_PX)
    encoding = CameraEncoding(anchor_gravity=True, unit_m=2.0)
    a = encode_cameras(c2w, K, encoding, WIDTH_PX, HEIGHT_PX).numbers_VFSR
    b = encode_cameras(tilt @ c2w, K, encoding, WIDTH_PX, HEIGHT_PX).numbers_VFSR
    assert np.allclose(a[..., :12], b[..., :12], atol=1e-6)
    assert not np.allclose(a[..., 12:], b[..., 12:], atol=0.05)
    up, height = a[0, 0, 0, 12:15], a[0, 0, 0, 15]
    assert np.allclose(c2w[0, 0, :3, :3] @ up, [0, 0, 1], atol=1e-6)
    assert math.isclose(height, c2w[0, 0, 2, 3] / 2.0, rel_tol=1e-6)


def test_ground_hits_agree_between_views_that_see_one_spot():
    rig = make_rig(2)
    c2w, K = rig_matrices(rig, 1, WIDTH_PX, HEIGHT_PX)
    encoding = PreviewCameraEncoding(encoding="plucker", ground_frequencies=3)
    hits = ground_hits(c2w, K, encoding, 3, WIDTH_PX, HEIGHT_PX, anchor=0)
    assert hits.shape == (2, 1, 35, 15)
    rays = np.einsum("vfij,vfsj->vfsi", c2w[..., :3, :3], token_rays(K, WIDTH_PX, HEIGHT_PX))
    for v in range(2):
        s = 33  # low in the picture: a ground token
        eye, ray = c2w[v, 0, :3, 3], rays[v, 0, s]
        spot = eye - ray * eye[2] / ray[2]
        heading = c2w[0, 0, :2, 2] / np.linalg.norm(c2w[0, 0, :2, 2])
        along = (spot[:2] - c2w[0, 0, :2, 3]) @ heading / encoding.unit_m
        assert math.isclose(hits[v, 0, s, 1], along / (6.0 + abs(along)), rel_tol=1e-6)


def test_rays_that_go_up_meet_no_ground():
    level = Rig(cameras=(camera("a", (0, -4, 1), (0, 0, 1)),))
    c2w, K = rig_matrices(level, 1, WIDTH_PX, HEIGHT_PX)
    encoding = PreviewCameraEncoding(encoding="plucker", ground_frequencies=2)
    hits = ground_hits(c2w, K, encoding, 2, WIDTH_PX, HEIGHT_PX, anchor=0)
    rays = np.einsum("vfij,vfsj->vfsi", c2w[..., :3, :3], token_rays(K, WIDTH_PX, HEIGHT_PX))
    up = rays[..., 2] > 0
    assert up.any()
    assert not up.all()
    assert not hits[up].any()
    assert hits[~up].any(axis=-1).all()


def test_epipolar_lines_hold_the_other_views_sight_of_a_point():
    rig = make_rig(3)
    c2w, K = rig_matrices(rig, 1, WIDTH_PX, HEIGHT_PX)
    allowed = epipolar_pattern(c2w, K, WIDTH_PX, HEIGHT_PX)[0, 0].reshape(3, 35, 3, 35)
    assert all(allowed[v, :, v].all() for v in range(3))
    generator = np.random.default_rng(4)
    seen = 0
    for point in generator.uniform([-1.5, -1.5, 0], [1.5, 1.5, 2.2], (400, 3)):
        tokens = []
        for one in rig.cameras:
            u, v, depth = one.project(point)
            inside = depth > 0 and 0 <= u < WIDTH_PX and 0 <= v < HEIGHT_PX
            tokens.append((int(v // 16) * 7 + int(u // 16), u, v) if inside else None)
        for i in range(3):
            for j in range(3):
                if i == j or tokens[i] is None or tokens[j] is None:
                    continue
                # Exact only for a point seen at a token's middle: take those near it.
                middle = token_centres(WIDTH_PX, HEIGHT_PX)[tokens[i][0], :2]
                if np.hypot(*(middle - tokens[i][1:])) < 2.0:
                    seen += 1
                    assert allowed[i, tokens[i][0], j, tokens[j][0]]
    assert seen > 30
    share = allowed[0, :, 1].mean()
    assert 0.05 < share < 0.6  # a line, not the whole picture


def test_cameras_in_one_place_have_no_lines():
    c2w, K = rig_matrices(make_rig(1), 1, WIDTH_PX, HEIGHT_PX)
    assert epipolar_pattern(np.repeat(c2w, 2, 0), np.repeat(K, 2, 0), WIDTH_PX, HEIGHT_PX).all()


def _tokens_of(point, rig):
    """Where a point is seen, in tokens of each camera's picture (column, row), or None outside."""
    seen = []
    for camera in rig.cameras:
        u, v, depth = camera.project(point)
        inside = depth > 0 and 0 <= u < WIDTH_PX and 0 <= v < HEIGHT_PX
        seen.append((u / 16, v / 16) if inside else None)
    return seen


def _strongest(pattern_KK, view, token, other):
    """The token (column, row of its middle) of another view that a token favours."""
    best = int(pattern_KK.reshape(3, 35, 3, 35)[view, token, other].argmax())
    return best % 7 + 0.5, best // 7 + 0.5


@pytest.mark.parametrize(("head", "height_m"), [(1, 0.0), (4, 0.0), (2, 1.2)])
def test_geometric_heads_favour_where_a_spot_is_seen(head, height_m):
    """Spots on the floor for heads that look behind, at the focus (0.4, -0.3, 1.2) for its own."""
    rig = make_rig(3)
    pattern = geometric_pattern(*rig_matrices(rig, 1, WIDTH_PX, HEIGHT_PX), WIDTH_PX, HEIGHT_PX)
    assert pattern.shape == (1, len(HEAD_GUESSES), 105, 105)
    assert pattern.dtype == np.float32
    generator = np.random.default_rng(7)
    reach = 1.5 if height_m == 0.0 else 0.05
    found = 0
    for x, y in generator.uniform(-reach, reach, (400, 2)):
        seen = _tokens_of(np.array([x + 0.4, y - 0.3, height_m]), rig)
        for i, j in ((0, 1), (0, 2), (1, 2), (2, 0)):
            if seen[i] is None or seen[j] is None:
                continue
            token = int(seen[i][1]) * 7 + int(seen[i][0])
            middle = (token % 7 + 0.5, token // 7 + 0.5)
            if math.dist(middle, seen[i]) > 0.15:
                continue  # exact only for a spot seen at a token's middle
            found += 1
            assert math.dist(_strongest(pattern[0, head], i, token, j), seen[j]) < 1.2
    assert found > 20


def test_geometric_line_heads_are_the_epipolar_lines():
    c2w, K = rig_matrices(make_rig(3), 1, WIDTH_PX, HEIGHT_PX)
    pattern = geometric_pattern(c2w, K, WIDTH_PX, HEIGHT_PX)[0, 5]
    allowed = epipolar_pattern(c2w, K, WIDTH_PX, HEIGHT_PX)[0, 0]
    on_line = -0.5 * (np.sqrt(0.5) / 0.7) ** 2  # the circle around a token's square
    assert np.array_equal(pattern >= on_line - 1e-6, allowed)


def test_geometric_pattern_follows_rig_and_not_the_order_of_its_cameras():
    c2w, K = rig_matrices(make_rig(3), 1, WIDTH_PX, HEIGHT_PX)
    order = [2, 0, 1]
    a = geometric_pattern(c2w, K, WIDTH_PX, HEIGHT_PX).reshape(1, -1, 3, 35, 3, 35)
    b = geometric_pattern(c2w[order], K[order], WIDTH_PX, HEIGHT_PX).reshape(1, -1, 3, 35, 3, 35)
    assert np.allclose(a[:, :, order][:, :, :, :, order], b, atol=1e-4)
    moving = rig_matrices(make_rig(2, moving=True), FRAMES, WIDTH_PX, HEIGHT_PX)
    assert len(geometric_pattern(*moving, WIDTH_PX, HEIGHT_PX)) == FRAMES


def test_geometric_pattern_of_cameras_that_have_no_common_focus():
    """Parallel axes, one place, a camera that looks up from below the floor: finite everywhere."""
    c2w, K = rig_matrices(make_rig(2), 1, WIDTH_PX, HEIGHT_PX)
    up = c2w[:1].copy()
    up[..., :3, :3] = np.eye(3)
    up[..., 2, 3] = -1.0
    side = up.copy()
    side[..., 0, 3] += 0.7
    for poses in (np.repeat(c2w[:1], 2, 0), np.concatenate([up, side]), c2w[:1]):
        pattern = geometric_pattern(poses, K[: len(poses)], WIDTH_PX, HEIGHT_PX)
        assert np.isfinite(pattern).all()
        assert pattern.min() >= LOWEST
        own = pattern[0, 1].reshape(len(poses), 35, len(poses), 35)[0, :, 0]
        assert np.array_equal(own.argmax(1), np.arange(35))  # in its own view, itself


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, K: (c[:, :, :3], K, 112, 80), "c2w_VF44 has shape"),
        (lambda c, K: (c, K[:1], 112, 80), "K_VF33 has shape"),
        (lambda c, K: (c * np.nan, K, 112, 80), "not finite, in view 0"),
        (lambda c, K: (c, K, 113, 80), "nearest is 112x80"),
        (lambda c, K: (c * 0, K, 112, 80), "c2w_VF44 of view 0, latent frame 0 has no inverse"),
        (lambda c, K: (c, K * [0, 1, 1], 112, 80), "a lens with fx and fy above 0"),
    ],
)
def test_bad_matrices_are_named(change, said):
    c2w, K, width, height = change(*rig_matrices(make_rig(2), 2, WIDTH_PX, HEIGHT_PX))
    with pytest.raises(ValueError, match=said):
        encode_cameras(c2w, K, CameraEncoding(), width, height)


def test_rigs_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="fitted to 160x96"):
        rig_matrices(make_rig(2), 2, 160, 96)
    with pytest.raises(ValueError, match=r"poses for 9 frames; the clip needs 17"):
        rig_matrices(make_rig(2, moving=True), 5, WIDTH_PX, HEIGHT_PX)


def test_latent_frames():
    assert [latent_frame_count(t) for t in (1, 5, 17, 81)] == [1, 2, 5, 21]
    with pytest.raises(ValueError, match="nearest are 77 and 81"):
        latent_frame_count(80)
