# SPDX-License-Identifier: Apache-2.0
"""Cameras against Blender's own projection; what is no pinhole camera is refused by name."""

from __future__ import annotations

import math
import random

import bpy
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

from blender_addon import cameras, settings
from syncam_engine.link.errors import SynCamError

from .conftest import add_camera


def assert_projects_like_blender(scene, thing, rng, points=40):
    rig = cameras.read_rig(scene, bpy.context.view_layer, [thing])
    camera, unit_m = rig.cameras[0], scene.unit_settings.scale_length
    graph = bpy.context.evaluated_depsgraph_get()
    matrix = thing.evaluated_get(graph).matrix_world.normalized()
    for _ in range(points):
        local = Vector((rng.uniform(-2, 2), rng.uniform(-2, 2), rng.uniform(-9, -2)))
        world = matrix @ local
        seen = world_to_camera_view(scene, thing.evaluated_get(graph), world)
        u, v, depth = camera.project([x * unit_m for x in world])
        assert u == pytest.approx(seen.x * camera.width_px, abs=2e-3)
        assert v == pytest.approx((1 - seen.y) * camera.height_px, abs=2e-3)
        assert depth == pytest.approx(-local.z * unit_m, rel=1e-4)


def test_lens_fits_shift_and_pixel_aspect(scene):
    rng = random.Random(3)
    thing = add_camera(scene)
    for fit in ("AUTO", "HORIZONTAL", "VERTICAL"):
        for size in ((320, 192), (180, 310)):
            for aspect in ((1.0, 1.0), (1.7, 1.0), (1.0, 1.3)):
                render, data = scene.render, thing.data
                render.resolution_x, render.resolution_y = size
                render.resolution_percentage = rng.choice((100, 50))
                render.pixel_aspect_x, render.pixel_aspect_y = aspect
                data.sensor_fit = fit
                data.lens, data.sensor_width = rng.uniform(18, 70), rng.uniform(20, 40)
                data.sensor_height = rng.uniform(15, 30)
                data.shift_x, data.shift_y = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
                thing.rotation_euler = [rng.uniform(-3, 3) for _ in range(3)]
                assert_projects_like_blender(scene, thing, rng, points=8)


def test_field_of_view_angle(scene):
    thing = add_camera(scene)
    thing.data.sensor_fit = "HORIZONTAL"
    thing.data.angle = math.radians(47)
    rig = cameras.read_rig(scene, bpy.context.view_layer, [thing])
    assert rig.cameras[0].fov_x_deg() == pytest.approx(47, abs=1e-3)


def test_constraint_under_a_scaled_parent(scene):
    target = bpy.data.objects.new("Target", None)
    target.location = (0.3, 0.2, 1.0)
    crane = bpy.data.objects.new("Crane", None)
    crane.scale, crane.rotation_euler = (2.5, 2.5, 2.5), (0, 0, 0.7)
    for thing in (target, crane):
        scene.collection.objects.link(thing)
    tracked = add_camera(scene, "Tracked", (1.5, -2.0, 1.0))
    tracked.parent = crane
    track = tracked.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    assert_projects_like_blender(scene, tracked, random.Random(5))
    rig = cameras.read_rig(scene, bpy.context.view_layer, [tracked])
    u, v, _ = rig.cameras[0].project(target.location)
    assert (u, v) == pytest.approx((160, 96), abs=1e-2)


def test_mirrored_and_sheared_parents_keep_the_view(scene):
    parent = bpy.data.objects.new("Parent", None)
    parent.scale = (-1.0, 1.6, 0.8)
    scene.collection.objects.link(parent)
    thing = add_camera(scene, rotation=(1.2, 0.3, 0.8))
    thing.parent = parent
    rig = cameras.read_rig(scene, bpy.context.view_layer, [thing])
    back = thing.matrix_world.to_3x3().col[2].normalized()
    pose = rig.cameras[0].c2w_cv_m_at(0)
    assert [-row[2] for row in pose[:3]] == pytest.approx(list(back), abs=1e-5)


def test_scene_unit_becomes_metres(scene):
    scene.unit_settings.scale_length = 0.1
    thing = add_camera(scene, location=(0, -60, 15))
    rig = cameras.read_rig(scene, bpy.context.view_layer, [thing])
    assert [row[3] for row in rig.cameras[0].c2w_cv_m_at(0)[:3]] == pytest.approx([0, -6, 1.5])
    assert rig.source_unit == "0.1 metre"
    assert_projects_like_blender(scene, thing, random.Random(9))


def test_moving_camera_is_sampled_and_the_frame_put_back(scene):
    moving, still = add_camera(scene, "Moving"), add_camera(scene, "Still", (1, -5, 2))
    for frame, x in ((1, 0.0), (13, 3.0)):
        moving.location.x = x
        moving.keyframe_insert("location", index=0, frame=frame)
    scene.camera = still
    marker = scene.timeline_markers.new("cut", frame=5)
    marker.camera = moving
    scene.frame_set(3, subframe=0.25)
    scene.camera = still
    rig = cameras.read_rig(scene, bpy.context.view_layer, [moving, still], frames=[1, 7, 13])
    assert rig.cameras[0].is_moving
    assert not rig.cameras[1].is_moving
    assert rig.cameras[1].frame_count == 1
    xs = [rig.cameras[0].c2w_cv_m_at(k)[0][3] for k in range(3)]
    assert xs[0] == pytest.approx(0)
    assert xs[2] == pytest.approx(3)
    assert (scene.frame_current, scene.frame_subframe) == (3, pytest.approx(0.25))
    assert scene.camera == still


def test_marker_cameras_are_understood(scene):
    first, second = add_camera(scene, "B first"), add_camera(scene, "A second")
    for frame, thing in ((40, second), (10, first)):
        scene.timeline_markers.new(str(frame), frame=frame).camera = thing
    assert cameras.marker_cameras(scene) == [first, second]
    assert cameras.camera_at_frame(scene, 1) == first
    assert cameras.camera_at_frame(scene, 39) == first
    assert cameras.camera_at_frame(scene, 40) == second
    scene.frame_start = 41
    assert settings.anchor_index(scene, [first, second]) == 1


def test_exact_frame_rates(scene):
    scene.render.fps, scene.render.fps_base = 24, 1.001
    assert cameras.scene_fps(scene) * 1001 == 24000


@pytest.mark.parametrize(("kind", "word"), [("ORTHO", "orthographic"), ("PANO", "panoramic")])
def test_no_pinhole_is_refused(scene, kind, word):
    thing = add_camera(scene, "Plan/Ansicht «1»")
    thing.data.type = kind
    with pytest.raises(SynCamError) as error:
        cameras.read_rig(scene, bpy.context.view_layer, [thing])
    assert error.value.code == f"camera.{word}"
    assert "Plan/Ansicht «1»" in error.value.sentence


def test_poses_that_are_no_poses_are_refused(scene):
    flat = add_camera(scene, "Flat")
    flat.scale = (0, 0, 0)
    with pytest.raises(SynCamError, match="'Flat' has a scale of 0"):
        cameras.read_rig(scene, bpy.context.view_layer, [flat])
    lost = add_camera(scene, "Lost")
    lost.matrix_world = Matrix.Translation((float("nan"), 0, 0))
    with pytest.raises(SynCamError, match="'Lost' has a pose that is not finite"):
        cameras.read_rig(scene, bpy.context.view_layer, [lost])


def test_linked_and_overridden_cameras_are_read(scene, tmp_path):
    kept = add_camera(scene, "Shared", (0.5, -4, 1))
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {kept})
    bpy.data.objects.remove(kept)
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["Shared"]
    linked = wanted.objects[0]
    scene.collection.objects.link(linked)
    bpy.context.view_layer.update()
    rig = cameras.read_rig(scene, bpy.context.view_layer, [linked])
    assert rig.cameras[0].c2w_cv_m_at(0)[1][3] == pytest.approx(-4)
    override = linked.override_create()
    scene.collection.objects.link(override)
    override.location.y = -5
    bpy.context.view_layer.update()
    rig = cameras.read_rig(scene, bpy.context.view_layer, [linked, override])
    assert len({camera.name for camera in rig.cameras}) == 2
    assert rig.cameras[1].c2w_cv_m_at(0)[1][3] == pytest.approx(-5)
