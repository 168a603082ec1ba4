# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole scenes without Blender: places, two subjects, cameras and why they were thrown away."""

import random

import numpy as np
import pytest

from render_rigs import cameras, captions, moves
from render_rigs.assemble import assemble, collides, draw_actors
from render_rigs.mesh import MeshBuilder
from render_rigs.places import PLACES, build_place
from render_rigs.seeds import plain_stream, stream
from render_rigs.spec import RenderSpec
from syncam_engine.link.camera import Camera, intrinsics_from_lens
from syncam_engine.link.poses import look_at_c2w_cv_m

SPEC = RenderSpec(
    width_px=176, height_px=96, cameras=3, frames=7, fast=True, seed=29, scenes=12, subjects=(1, 2)
)


def open_air(mesh):
    return lambda origin, direction, reach_m: None


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("fast", [True, False])
def test_every_place_builds_with_room_in_its_middle(kind, fast):
    place = build_place(kind, np.random.default_rng(8), fast)
    mesh = place.mesh
    assert np.isfinite(mesh.verts_m).all()
    assert mesh.faces.max() < len(mesh.verts_m)
    assert mesh.faces[:, :3].min() >= 0
    assert mesh.colors.min() >= 0
    assert mesh.colors.max() <= 1.0
    assert len(mesh.surfaces) >= 3
    assert place.free_m >= 2.4  # trajectories stay within 2.4 m of the middle
    inside = np.linalg.norm(mesh.verts_m[:, :2], axis=1) < 0.8
    seats = np.array([s[:2] for s in place.seats]) if place.seats else np.zeros((0, 2))
    tall = mesh.verts_m[inside & (mesh.verts_m[:, 2] > 0.35) & (mesh.verts_m[:, 2] < 2)]
    for point in tall:
        assert len(seats), "something stands where the subject walks"
        assert np.linalg.norm(seats - point[:2], axis=1).min() < 0.6


def test_there_are_ten_kinds_of_places_and_each_has_variants():
    assert len(PLACES) >= 10
    for kind in PLACES:
        sizes = {
            len(build_place(kind, np.random.default_rng(k), True).mesh.faces) for k in range(3)
        }
        assert len(sizes) > 1, kind


def test_the_same_seed_is_the_same_scene_and_scenes_do_not_depend_on_each_other():
    one, two = (assemble(SPEC, 4, open_air) for _ in range(2))
    assert one.caption == two.caption
    assert [c.c2w_cv_m for c in one.cameras] == [c.c2w_cv_m for c in two.cameras]
    assert np.array_equal(one.actors[0].vertices_m, two.actors[0].vertices_m)
    assert np.array_equal(one.place.mesh.verts_m, two.place.mesh.verts_m)
    other = assemble(SPEC, 5, open_air)
    assert other.cameras[0].c2w_cv_m != one.cameras[0].c2w_cv_m


def test_streams_of_different_purposes_are_independent():
    a, b = stream(1, 2, "place"), stream(1, 2, "cameras")
    assert a.random() != b.random()
    assert plain_stream(1, 2, "x").random() == plain_stream(1, 2, "x").random()


@pytest.mark.parametrize("number", range(10))
def test_two_subjects_never_meet_and_keep_off_obstacles(number):
    spec = RenderSpec(width_px=176, height_px=96, frames=30, seed=31, subjects=(2, 2))
    kind = PLACES[number % len(PLACES)]
    place = build_place(kind, stream(31, number, "place"), True)
    actors = draw_actors(spec, number, place, "0")
    assert actors
    for slot, actor in enumerate(actors):
        assert not collides(actor, actors[:slot], place)
    if len(actors) == 2:
        a, b = (x.vertices_m for x in actors)
        for frame in range(0, len(a), 5):
            gap = np.linalg.norm(a[frame, ::17, None, :2] - b[frame, None, ::17, :2], axis=-1)
            assert gap.min() > 0.02


def test_captions_say_who_what_where_and_when():
    scene = assemble(SPEC, 2, open_air)
    text = captions.caption(scene.place, scene.actors)
    for actor in scene.actors:
        assert actor.caption in text
        assert actor.info["verb"] in text
    assert text.endswith(f"{scene.place.words} {scene.place.light.words}")


def box_caster(low, high):
    """Rays against one axis-aligned box: hits its near side."""
    low, high = np.asarray(low, float), np.asarray(high, float)

    def cast(origin, direction, reach_m):
        with np.errstate(divide="ignore", invalid="ignore"):
            t0, t1 = (low - origin) / direction, (high - origin) / direction
        near, far = np.nanmax(np.fmin(t0, t1)), np.nanmin(np.fmax(t0, t1))
        hit = near if near > 0 else far
        return float(hit) if far >= max(near, 0) and hit <= reach_m else None

    return cast


def camera_at(eye, target=(0, 0, 1)):
    return Camera(
        name="c",
        width_px=176,
        height_px=96,
        K=intrinsics_from_lens(24, 23.76, 176, 96),
        c2w_cv_m=look_at_c2w_cv_m(eye, target),
    )


def test_cameras_are_thrown_away_for_the_right_reason():
    points = np.stack([np.linspace((-0.2, 0, 0.1), (0.2, 0, 1.8), 12)] * 4)
    wall = box_caster((-3, 1.9, 0), (3, 2.1, 4))
    air = open_air(None)
    assert cameras.rejection(camera_at((0, -5, 1.5)), [points], air) is None
    assert cameras.rejection(camera_at((0, 5, 1.5)), [points], wall) == "subject occluded"
    assert cameras.rejection(camera_at((0, 2.3, 1.5)), [points], wall) == (
        "inside or against geometry"
    )
    assert cameras.rejection(camera_at((0, -5, 0.1)), [points], air) == "below the ground"
    assert cameras.rejection(camera_at((0, -5, 1.5), (9, -5, 1)), [points], air) == (
        "subject out of frame"
    )
    assert cameras.rejection(camera_at((0, -25, 1.5)), [points], air) == "subject too small"


def test_drawn_cameras_keep_to_the_papers_bounds_and_count_rejections():
    scene = assemble(SPEC, 1, open_air)
    y = scene.center_m[1] + 3.2
    cast = box_caster((-20, y, 0), (20, y + 0.1, 9))
    drawn = cameras.draw_cameras(
        random.Random(3),
        20,
        center_m=scene.center_m,
        actors=scene.actors,
        cast=cast,
        width_px=176,
        height_px=96,
        radius_m=(3.5, 9.0),
        elevation_deg=(0, 45),
        focal_mm=(24, 24),
        sensor_mm=23.76,
    )
    eyes = np.array([np.array(c.c2w_cv_m)[:3, 3] for c in drawn.cameras]) - scene.center_m
    radius = np.linalg.norm(eyes, axis=1)
    assert (radius >= 3.5).all()
    assert (radius <= 9).all()
    assert (eyes[:, 2] >= -1e-9).all()
    assert (eyes[:, 2] <= np.sin(np.radians(45)) * radius + 1e-9).all()
    assert sum(drawn.rejected.values()) > 0
    with pytest.raises(cameras.NoRoomForCameras, match="rejected"):
        cameras.draw_cameras(
            random.Random(3),
            2,
            center_m=(0, 0, 1),
            actors=scene.actors,
            cast=lambda *_: 0.01,
            width_px=176,
            height_px=96,
            radius_m=(4, 5),
            elevation_deg=(0, 9),
            focal_mm=(24, 24),
            sensor_mm=23.76,
        )


@pytest.mark.parametrize("mode", moves.KINDS)
def test_moving_cameras_start_on_the_hemisphere_and_move_smoothly(mode):
    start = camera_at((0, -5, 2.5))
    moved = moves.moved(random.Random(4), start, mode, 31, 15, (0, 0, 1))
    assert moved.is_moving
    assert moved.frame_count == 31
    poses = np.array(moved.c2w_cv_m)
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 0.25
    if mode != "handheld":
        assert np.allclose(poses[0], start.c2w_cv_m, atol=1e-9)
    with pytest.raises(ValueError, match="orbit"):
        moves.moved(random.Random(4), start, "barrel roll", 5, 15, (0, 0, 1))


def test_mesh_builder_keeps_pieces_apart():
    b = MeshBuilder()
    b.box((1, 2, 3), (2, 4, 6), "#ff0000", "brick")
    second = b.ball((9, 9, 9), 0.5, (0, 1, 0), "grass")
    mesh = b.build()
    assert mesh.surfaces == ["brick", "grass"]
    assert np.allclose(mesh.verts_m[:8].min(0), (0, 0, 3))
    assert np.allclose(mesh.verts_m[:8].max(0), (2, 4, 9))
    assert np.allclose(mesh.verts_m[second].mean(0), 9, atol=0.05)
    assert np.allclose(mesh.colors[0, 0], (1, 0, 0))
    box, ball = mesh.apart()
    assert np.allclose(box.verts_m, mesh.verts_m[:8])
    assert len(box.faces) == 6
    assert (ball.faces < 0).any(), "its poles are triangles"
    assert np.allclose(ball.verts_m.mean(0), 9, atol=0.05)
