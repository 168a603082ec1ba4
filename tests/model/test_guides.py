# SPDX-License-Identifier: Apache-2.0
"""Guides: levels of depth, normals from depth and K, and the channels that the network reads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from syncam_engine.link import guides as wire
from syncam_engine.link.poses import look_at_c2w_cv_m
from syncam_engine.model.guides import (
    Guides,
    depth_of_levels,
    gravity_axes,
    guide_channels,
    levels_of_depth,
    normals_of_depth,
)
from syncam_engine.model.presets import GUIDE_CHANNELS

HEIGHT, WIDTH = 38, 61
K = np.array([[57.0, 0.0, 29.0], [0.0, 51.0, 20.5], [0.0, 0.0, 1.0]])


def rays() -> np.ndarray:
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    return np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T


def plane_depth(normal, at) -> np.ndarray:
    """Plane depth of the plane through `at` with this normal, camera axes."""
    normal = np.asarray(normal, float)
    return (normal @ np.asarray(at, float)) / (rays() @ normal)


def test_depth_keeps_half_a_percent_from_the_nearest_to_a_hundred_metres():
    depth = np.geomspace(wire.NEAREST_M, 100.0, 4001)
    back = depth_of_levels(levels_of_depth(depth))
    assert np.abs(back / depth - 1).max() < 0.005
    assert levels_of_depth(np.array([0.01, 0.3]))[0] == wire.LEVELS, "nearer is told as the nearest"
    assert levels_of_depth(np.array([np.inf, 1e9])).tolist() == [0, 1], "far is not nothing"
    assert np.isinf(depth_of_levels(np.array([0], np.uint16)))[0]


def test_hosts_and_engine_have_one_rule():
    depths = [0.2, 0.3, 0.31, 1.7, 44.0, 99.0, 5e4, math.inf]
    levels = [wire.level_of_depth(z) for z in depths]
    assert levels == levels_of_depth(np.array(depths)).tolist()
    back = [wire.depth_of_level(level) for level in levels]
    assert np.allclose(back, depth_of_levels(np.array(levels)))
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="above 0 m"):
            wire.level_of_depth(bad)
    with pytest.raises(ValueError, match="0 to 65535, got 65536"):
        wire.depth_of_level(65536)


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, -0.8, -0.5), (-0.5, 0.1, -0.9)])
def test_normals_of_a_plane_are_the_planes(normal):
    normal = np.array(normal, float) / np.linalg.norm(normal)
    depth = plane_depth(normal, (0.2, 0.1, 4.0))
    there = depth > 0
    found = normals_of_depth(np.where(there, depth, np.inf), K)
    inner = there[1:-1, 1:-1] & there[2:, 1:-1] & there[:-2, 1:-1]
    assert np.abs(found[1:-1, 1:-1][inner] - normal).max() < 0.01
    assert not found[~there].any()


def test_normals_do_not_bend_over_an_edge():
    depth = np.full((HEIGHT, WIDTH), 5.0)
    depth[10:30, 20:40] = 2.0
    found = normals_of_depth(depth, K)
    assert np.abs(found - (0, 0, -1)).max() < 1e-5


def test_one_wall_has_one_normal_in_every_view_whichever_way_the_scene_is_turned():
    eyes = [(0.0, -4.0, 1.2), (2.6, -3.1, 0.7), (-1.7, -2.9, 2.4)]

    def channels(turn_deg: float) -> np.ndarray:
        cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        poses, depths = [], []
        for eye in eyes:
            c2w = np.array(look_at_c2w_cv_m(turn @ eye, turn @ (0.1, 1.0, 0.8)))
            normal = c2w[:3, :3].T @ turn @ (0, -1.0, 0)
            at = c2w[:3, :3].T @ (turn @ (0, 1.5, 0) - c2w[:3, 3])
            depths.append(plane_depth(normal, at))
            poses.append(c2w)
        guides = Guides(depth_m_VTHW=np.stack(depths)[:, None].astype(np.float32))
        return guide_channels(guides, K[None, None], np.stack(poses)[:, None])

    here, turned = channels(0), channels(73)
    assert here.shape == (3, 1, GUIDE_CHANNELS, HEIGHT, WIDTH)
    inner = here[:, 0, 3:6, 2:-2, 2:-2]
    assert np.abs(inner - inner[:1, :, :1, :1]).max() < 0.02, "the same in all views"
    assert np.allclose(here, turned, atol=2e-3)
    assert np.abs(here).max() <= 1 / wire.NEAREST_M
    assert not here[:, :, 6:].any(), "no colours are given, and that is told"


def test_colours_are_told_apart_from_none():
    depth = np.full((2, 1, HEIGHT, WIDTH), 3.0, np.float32)
    colour = np.full((2, 1, HEIGHT, WIDTH, 3), (255, 0, 51), np.uint8)
    poses = np.stack([np.eye(4)] * 2)[:, None]
    told = guide_channels(Guides(depth_m_VTHW=depth, colour_VTHW3=colour), K[None, None], poses)
    assert np.allclose(told[0, 0, 6:, 5, 5], (1.0, -1.0, -0.6, 1.0), atol=1e-6)


def test_a_camera_that_looks_straight_down_has_axes_too():
    down = np.array(look_at_c2w_cv_m((0, 0, 5), (0, 1e-9, 0)))
    axes = gravity_axes(down)
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert axes[2].tolist() == [0, 0, 1]
