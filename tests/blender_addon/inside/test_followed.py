# SPDX-License-Identifier: Apache-2.0
"""What shows clips follows its camera: its lens, its name, its removal; each target by itself."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view

from blender_addon import checks, plates, results, settings, strips

from .conftest import add_camera
from .test_results import movie_of, plates_of

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}
CORNERS = [(0, 0), (1, 0), (1, 1), (0, 1)]


def corners_of(scene, camera, plate):
    """Where the plate's corners are seen: fractions of the frame, and the distance."""
    graph = bpy.context.evaluated_depsgraph_get()
    camera, placed = camera.evaluated_get(graph), plate.evaluated_get(graph)
    return [
        world_to_camera_view(scene, camera, placed.matrix_world @ v.co) for v in plate.data.vertices
    ]


def assert_fills(scene, camera, plate, corners=CORNERS):
    for at, corner in zip(corners_of(scene, camera, plate), corners, strict=True):
        assert (at.x, at.y) == pytest.approx(corner, abs=2e-4), scene.frame_current


def clip_of(image):
    return Path(bpy.path.abspath(image.filepath)).resolve()


def texture(owner):
    return owner.node_tree.nodes["SynCam"].image


def background(camera):
    (shown,) = camera.data.background_images
    return shown.image


def movies(scene):
    editor = strips.edit_of(scene).sequence_editor
    return {s[plates.KEY]: s for s in results.compat.strips_of(editor) if s.type == "MOVIE"}


def chooser(scene):
    editor = strips.edit_of(scene).sequence_editor
    return next(s for s in results.compat.strips_of(editor) if s.type == "MULTICAM")


def key(owner, path, **values):
    for frame, value in values.items():
        setattr(owner, path, value)
        owner.keyframe_insert(path, frame=int(frame[1:]))


@pytest.mark.parametrize("fit", ["AUTO", "VERTICAL"])
def test_plate_fills_the_frame_of_a_zoom_with_a_shift(scene, state, fit):
    """At every frame, between the clip's pictures too, under a parent that is stretched."""
    scene.render.pixel_aspect_x = 1.3
    camera = add_camera(scene, "Zoom")
    camera.data.sensor_fit = fit
    crane = bpy.data.objects.new("Crane", None)
    crane.scale, crane.rotation_euler = (2.5, 2.5, 2.5), (0.1, 0.2, 0.7)
    scene.collection.objects.link(crane)
    camera.parent = crane
    key(camera.data, "lens", f1=24, f13=85)
    key(camera.data, "shift_x", f1=0.0, f13=0.21)
    key(camera.data, "sensor_width", f1=36.0, f13=31.0)
    key(camera, "location", f1=(0, -6, 1), f13=(1, -5, 2))
    assert bpy.ops.syncam.generate(fit_rule="LETTERBOX", **RUN) == {"FINISHED"}
    plate = plates_of(scene)["Zoom"]
    for frame in (1, 2, 7, 13, 40):
        scene.frame_set(frame)
        assert_fills(scene, camera, plate)
        assert corners_of(scene, camera, plate)[0].z == pytest.approx(1.2, abs=1e-4)
    # A lens that is changed afterwards is followed as well.
    camera.data.animation_data_clear()
    camera.data.lens, camera.data.shift_y = 50, -0.1
    bpy.context.view_layer.update()
    assert_fills(scene, camera, plate)
    record = state.ended()[0]
    (said,) = [note for note in record.notices if " zooms: " in note]
    assert "its horizontal field of view is " in said
    assert said in state.notice, "the panel's look at one frame cannot see it"


def test_crop_of_a_zoom_keeps_its_share_of_the_frame(scene):
    scene.render.resolution_x, scene.render.resolution_y = 600, 900
    camera = add_camera(scene, "Tall")
    key(camera.data, "lens", f1=30, f13=90)
    bpy.ops.syncam.generate(fit_rule="CROP", **RUN)
    for frame in (1, 13):
        scene.frame_set(frame)
        band = [(0, 0.3), (1, 0.3), (1, 0.7), (0, 0.7)]
        assert_fills(scene, camera, plates_of(scene)["Tall"], band)


def test_plate_stays_within_the_clip_range(scene):
    camera = add_camera(scene, "Near")
    camera.data.clip_end = 0.9
    bpy.ops.syncam.generate(**RUN)
    plate = plates_of(scene)["Near"]
    bpy.context.view_layer.update()
    assert 0.8 < corners_of(scene, camera, plate)[0].z < 0.9
    assert_fills(scene, camera, plate)


def test_scene_in_centimetres_has_plates_of_the_same_size(scene):
    def width_m():
        camera = add_camera(scene, "Cm")
        camera.data.clip_end = 1e5
        bpy.ops.syncam.generate(cameras="Cm", **RUN)
        plate = plates_of(scene)["Cm"]
        bpy.context.view_layer.update()
        assert_fills(scene, camera, plate)
        width_m = plate.dimensions.x * scene.unit_settings.scale_length
        bpy.data.objects.remove(plate)
        bpy.data.objects.remove(camera)
        return width_m

    metres = width_m()
    assert metres == pytest.approx(1.2 * 36 / 50, rel=1e-4)
    scene.unit_settings.scale_length = 0.01
    assert scene.syncam.plate_distance == pytest.approx(120)
    assert width_m() == pytest.approx(metres, rel=1e-4)
    scene.syncam.plate_distance = 250
    assert width_m() == pytest.approx(metres * 2.5 / 1.2, rel=1e-4)
    bpy.ops.syncam.rig_add(shape="LINE", count=1)
    (added,) = settings.used_cameras(scene)
    assert added.location.length == pytest.approx(500, rel=1e-4), "5 m from the 3-D cursor"
    assert added.data.clip_end * 0.01 >= 100


def test_a_target_that_was_not_asked_for_keeps_its_clip_whole(plaza):
    """Its clip, its pace and its cut, whatever is asked for of the others."""
    plaza.render.resolution_x, plaza.render.resolution_y = 600, 900
    camera, wall = plaza.objects["Wide"], bpy.data.objects.new("Wall", bpy.data.meshes.new("W"))
    plaza.collection.objects.link(wall)
    assert bpy.ops.syncam.rig_screen(camera="Wide", object="Wall") == {"FINISHED"}
    every = {"PLATES", "BACKGROUNDS", "SEQUENCER", "MATERIAL"}
    one = {"cameras": "Wide", **RUN}
    bpy.ops.syncam.generate(targets=every, fit_rule="LETTERBOX", seed=1, **one)
    plate = plates_of(plaza)["Wide"]

    def shown():
        strip = movies(plaza)["Wide"]
        material = plate.data.materials[0]
        return {
            "PLATES": (
                clip_of(movie_of(plate)),
                [round(x, 3) for loop in plate.data.uv_layers.active.data for x in loop.uv],
                material.node_tree.nodes["SynCam"].image_user.frame_start,
            ),
            "BACKGROUNDS": (
                clip_of(background(camera)),
                camera.data.background_images[0].frame_method,
                camera.data.background_images[0].image_user.frame_start,
            ),
            "MATERIAL": (
                clip_of(texture(wall.active_material)),
                wall.active_material.node_tree.nodes["SynCam"].image_user.frame_start,
            ),
            "SEQUENCER": (
                Path(bpy.path.abspath(strip.filepath)).resolve(),
                strips.edit_of(plaza).render.resolution_x,
            ),
        }

    first = shown()
    assert len({clip for clip, *_ in first.values()}) == 1
    for seed, target in enumerate(sorted(every), 2):
        before = shown()
        bpy.ops.syncam.generate(targets={target}, fit_rule="CROP", seed=seed, frame_start=40, **one)
        after = shown()
        for name in every - {target}:
            assert after[name] == before[name], (target, name)
        for old, new in zip(first[target], after[target], strict=True):
            assert old != new, target


def test_missing_clip_is_fetched_for_what_shows_it_and_for_nothing_else(plaza):
    one, camera = {"cameras": "Wide", **RUN}, plaza.objects["Wide"]
    bpy.ops.syncam.generate(targets={"PLATES", "BACKGROUNDS"}, seed=1, **one)
    bpy.ops.syncam.generate(targets={"BACKGROUNDS"}, seed=2, **one)
    plate = plates_of(plaza)["Wide"]
    before = clip_of(movie_of(plate)), clip_of(background(camera))
    assert len(set(before)) == 2
    before[0].unlink()
    assert bpy.ops.syncam.refetch() == {"FINISHED"}
    assert (clip_of(movie_of(plate)), clip_of(background(camera))) == before
    assert before[0].is_file()


def test_targets_of_a_file_in_which_they_shared_one_image_part(plaza):
    """As earlier versions made them."""
    one, camera = {"cameras": "Wide", **RUN}, plaza.objects["Wide"]
    bpy.ops.syncam.generate(targets={"PLATES"}, seed=1, **one)
    image = movie_of(plates_of(plaza)["Wide"])
    del image[plates.TARGET]
    camera.data.background_images.new().image = image
    before = clip_of(image)
    bpy.ops.syncam.generate(targets={"BACKGROUNDS"}, seed=2, **one)
    assert clip_of(movie_of(plates_of(plaza)["Wide"])) == before
    assert clip_of(background(camera)) != before


@pytest.mark.parametrize("full", [False, True])
def test_duplicates_and_copies_do_not_change_each_other(plaza, full):
    """`full`: with meshes and materials of their own, as in a full copy of a scene."""
    bpy.ops.syncam.generate(cameras="Wide", seed=1, **RUN)
    plate, camera = plates_of(plaza)["Wide"], plaza.objects["Wide"]
    before = clip_of(movie_of(plate))
    twin_camera, twin = camera.copy(), plate.copy()
    twin_camera.data = camera.data.copy()
    if full:
        twin.data = plate.data.copy()
        twin.data.materials[0] = plate.data.materials[0].copy()
    for thing in (twin_camera, twin):
        plaza.collection.objects.link(thing)
    twin.constraints[0].target = twin_camera
    bpy.ops.syncam.generate(cameras=twin_camera.name, seed=2, **RUN)
    assert plates.find_plate(plaza, twin_camera) == twin
    assert plates.find_plate(plaza, camera) == plate
    assert clip_of(movie_of(twin)) != before
    assert clip_of(movie_of(plate)) == before


def test_deleted_cameras_plate_is_hidden_and_its_strip_muted_and_that_is_said(plaza, state):
    both = {"cameras": "Wide\nDolly", "targets": {"PLATES", "SEQUENCER"}, **RUN}
    bpy.ops.syncam.generate(**both)
    plate, kept = plates_of(plaza)["Dolly"], plates_of(plaza)["Wide"]
    chooser(plaza).multicam_source = movies(plaza)["Dolly"].channel
    assert results.follow_cameras(plaza) == []
    plate.hide_viewport = True
    # As the X key deletes: something of the file may still name the camera.
    plaza.syncam.anchor = plaza.objects["Dolly"]
    bpy.data.objects["Dolly"].users_collection[0].objects.unlink(bpy.data.objects["Dolly"])
    settings.sync_rig(plaza)
    checks._look()
    assert (plate.hide_render, plate.hide_viewport) == (True, True)
    assert (kept.hide_render, kept.hide_viewport) == (False, False)
    strip = movies(plaza)["Dolly"]
    assert (strip.mute, movies(plaza)["Wide"].mute) == (True, False)
    assert chooser(plaza).multicam_source == movies(plaza)["Wide"].channel
    assert (
        state.notice == "Camera 'Dolly' was deleted: its strip is muted, and goes at the next run."
    )
    assert clip_of(movie_of(plate)).is_file()
    assert results.follow_cameras(plaza) == [], "said once"
    # Its artist may show it all the same.
    plate.hide_render = False
    assert results.follow_cameras(plaza) == []
    assert not plate.hide_render
    # A new camera of its name takes it over, as it was.
    bpy.data.objects.remove(bpy.data.objects["Dolly"])
    camera = add_camera(plaza, "Dolly", (0.4, -5, 1.5))
    bpy.ops.syncam.generate(**both)
    assert plates_of(plaza)["Dolly"] == plate
    assert plates.target_of(plate) == camera
    assert (plate.hide_render, plate.hide_viewport) == (False, True)
    assert not movies(plaza)["Dolly"].mute


def test_render_without_a_window_shows_no_deleted_cameras_plate(plaza, capfd):
    bpy.ops.syncam.generate(cameras="Wide\nDolly", **RUN)
    plate = plates_of(plaza)["Dolly"]
    bpy.data.objects.remove(bpy.data.objects["Dolly"])
    origin = plaza.objects["Wide"]
    plaza.camera = origin
    plaza.render.engine, plaza.cycles.samples = "CYCLES", 1
    plaza.render.resolution_x, plaza.render.resolution_y = 32, 20
    bpy.ops.render.render()
    assert plate.hide_render
    assert not plates_of(plaza)["Wide"].hide_render
    told = capfd.readouterr()
    assert "Camera 'Dolly' was deleted, so its plate is hidden" in told.out
    assert "Driver" not in told.out + told.err, "Blender names a driver that fails"


def test_names_follow_a_rename(plaza):
    every = {"PLATES", "BACKGROUNDS", "SEQUENCER"}
    bpy.ops.syncam.generate(cameras="Wide", targets=every, seed=1, **RUN)
    camera, plate = plaza.objects["Wide"], plates_of(plaza)["Wide"]
    material, image = plate.data.materials[0], movie_of(plate)
    camera.name = plaza.name = "Hero ж"
    edit = strips.edit_of(plaza)
    assert edit is not None
    results.follow_cameras(plaza)
    assert plates_of(plaza) == {"Hero ж": plate}
    assert {plate.name, plate.data.name} == {"SynCam Plate Hero ж"}
    assert {material.name, image.name} == {"SynCam Hero ж"}
    assert {material[plates.KEY], image[plates.KEY]} == {"Hero ж"}
    assert [strip.name for strip in movies(plaza).values()] == ["Hero ж"]
    material.name = "My screen"
    bpy.ops.syncam.generate(targets=every, cameras="Hero ж", seed=2, **RUN)
    assert plates.find_plate(plaza, camera) == plate
    assert (plate.data.materials[0], movie_of(plate)) == (material, image)
    assert material.name == "My screen", "what the artist named stays"
    assert background(camera).name == "SynCam Hero ж Backgrounds"
    assert strips.edit_of(plaza) == edit
    assert sum("syncam_edit" in s for s in bpy.data.scenes) == 1


def test_letterbox_bars_are_not_in_the_scene_of_strips(plaza, tmp_path):
    """Seen: what of the edit's render is black at its sides."""
    plaza.render.resolution_x, plaza.render.resolution_y = 600, 900
    bpy.ops.syncam.generate(
        cameras="Wide",
        targets={"SEQUENCER"},
        fit_rule="LETTERBOX",
        prompt="a test pattern",
        steps=2,
        frames=5,
    )
    edit = strips.edit_of(plaza)
    assert (edit.render.resolution_x, edit.render.resolution_y) == (64, 96)
    clip = bpy.data.images.load(
        bpy.path.abspath(movies(plaza)["Wide"].filepath), check_existing=False
    )
    clip.source = "MOVIE"
    pixels = np.empty(160 * 96 * 4, np.float32)
    assert tuple(clip.size) == (160, 96)
    clip.pixels.foreach_get(pixels)
    middle = pixels.reshape(96, 160, 4)[:, 48:112, :3]
    edit.render.filepath = str(tmp_path / "edit.png")
    edit.render.dither_intensity = 0
    edit.frame_set(1)
    bpy.ops.render.render(write_still=True, scene=edit.name)
    seen = bpy.data.images.load(edit.render.filepath)
    shown = np.empty(64 * 96 * 4, np.float32)
    seen.pixels.foreach_get(shown)
    assert np.abs(shown.reshape(96, 64, 4)[..., :3] - middle).mean() < 0.02
