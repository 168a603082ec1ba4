# SPDX-License-Identifier: Apache-2.0
"""Where clips land: on plates that fill the frame, in place, unaltered, each its own camera's."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view

from blender_addon import plates, results, settings

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


def plates_of(scene):
    return {o[plates.KEY]: o for o in scene.objects if o.type == "MESH" and plates.KEY in o}


def movie_of(plate):
    return plate.data.materials[0].node_tree.nodes["SynCam"].image


def test_reopened_file_has_each_plate_on_its_own_clip(plaza, tmp_path):
    assert bpy.ops.syncam.generate(seed=3, **RUN) == {"FINISHED"}
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    found = plates_of(bpy.context.scene)
    assert set(found) == {"Wide", "Tracked", "Rolled", "Dolly"}
    files = {}
    for name, plate in found.items():
        image = movie_of(plate)
        assert image.source == "MOVIE"
        assert image.filepath.startswith("//syncam")
        files[name] = Path(bpy.path.abspath(image.filepath))
        assert files[name].name == f"{name}.mp4"
    assert len({path.read_bytes() for path in files.values()}) == 4


def test_plates_fill_their_frames_and_follow(plaza):
    plaza.syncam.plate_distance = 0.8
    bpy.ops.syncam.generate(**RUN)
    plaza.frame_set(1)
    graph = bpy.context.evaluated_depsgraph_get()
    for name, plate in plates_of(plaza).items():
        camera, placed = (plaza.objects[n].evaluated_get(graph) for n in (name, plate.name))
        corners = [placed.matrix_world @ v.co for v in plate.data.vertices]
        seen = [world_to_camera_view(plaza, camera, corner) for corner in corners]
        # 1280x768 has the shape of 160x96: the plate is the frame.
        expected = [(0, 0), (1, 0), (1, 1), (0, 1)]
        for at, corner in zip(seen, expected, strict=True):
            assert (at.x, at.y) == pytest.approx(corner, abs=1e-4), name
            assert at.z == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("rule", ["CROP", "LETTERBOX"])
def test_plate_of_a_camera_of_another_shape(plaza, rule):
    plaza.render.resolution_x, plaza.render.resolution_y = 600, 900
    bpy.ops.syncam.generate(cameras="Wide", fit_rule=rule, **RUN)
    plate = plates_of(plaza)["Wide"]
    camera = plaza.objects["Wide"]
    seen = [
        world_to_camera_view(plaza, camera, plate.matrix_world @ v.co) for v in plate.data.vertices
    ]
    uvs = [tuple(loop.uv) for loop in plate.data.uv_layers.active.data]
    if rule == "CROP":
        # 600x900 keeps its width and 360 of its 900 lines.
        assert [round(at.y, 4) for at in seen] == pytest.approx([0.3, 0.3, 0.7, 0.7])
        assert uvs[0] == pytest.approx((0, 0))
        assert uvs[2] == pytest.approx((1, 1))
    else:
        assert [round(at.y, 4) for at in seen] == pytest.approx([0, 0, 1, 1])
        assert uvs[0] == pytest.approx((0.3, 0))
        assert uvs[2] == pytest.approx((0.7, 1))


def test_next_run_updates_the_same_datablocks(plaza):
    bpy.ops.syncam.generate(seed=1, **RUN)
    before = {
        name: (p.session_uid, movie_of(p).session_uid, movie_of(p).filepath)
        for name, p in plates_of(plaza).items()
    }
    kept = plaza.objects["SynCam Plate Wide"]
    kept.hide_render = True
    bpy.ops.syncam.generate(seed=2, **RUN)
    after = {
        name: (p.session_uid, movie_of(p).session_uid, movie_of(p).filepath)
        for name, p in plates_of(plaza).items()
    }
    for name in before:
        assert before[name][:2] == after[name][:2]
        assert before[name][2] != after[name][2]
        assert Path(bpy.path.abspath(before[name][2])).is_file(), "the earlier clip is kept"
    assert kept.hide_render
    live = [i[plates.KEY] for i in bpy.data.images if i.name.startswith("SynCam Live")]
    assert len(live) == len(set(live))


def test_clip_is_shown_unaltered(plaza):
    bpy.ops.syncam.generate(cameras="Wide", seed=11, **RUN)
    assert plaza.view_settings.view_transform == "AgX"
    image = movie_of(plates_of(plaza)["Wide"])
    pixels = np.empty(160 * 96 * 4, np.float32)
    plain = bpy.data.images.load(bpy.path.abspath(image.filepath), check_existing=False)
    plain.colorspace_settings.name = "sRGB"
    plain.source = "MOVIE"
    assert tuple(plain.size) == (160, 96)
    plain.pixels.foreach_get(pixels)
    render = plaza.render
    render.engine, plaza.cycles.samples = "CYCLES", 1
    render.resolution_x, render.resolution_y = 160, 96
    render.filepath = str(Path(bpy.data.filepath).with_name("seen.png"))
    render.dither_intensity = 0
    plaza.cycles.use_denoising = False
    bpy.ops.render.render(write_still=True)
    seen = bpy.data.images.load(render.filepath)
    shown = np.empty(160 * 96 * 4, np.float32)
    seen.pixels.foreach_get(shown)
    difference = np.abs(
        shown.reshape(96, 160, 4)[8:-8, 8:-8] - pixels.reshape(96, 160, 4)[8:-8, 8:-8]
    )
    assert difference[..., :3].mean() < 0.01


def test_plates_light_nothing(plaza):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    plate = plates_of(plaza)["Wide"]
    assert not any((plate.visible_diffuse, plate.visible_glossy, plate.visible_shadow))


def test_every_target_gets_each_cameras_own_clip(plaza):
    mesh = bpy.data.meshes.new("Wall")
    wall = bpy.data.objects.new("Wall", mesh)
    plaza.collection.objects.link(wall)
    settings.sync_rig(plaza)
    next(i for i in plaza.syncam.rig if i.camera.name == "Dolly").screen = wall
    bpy.ops.syncam.generate(targets={"BACKGROUNDS", "SEQUENCER", "MATERIAL"}, **RUN)
    assert not plates_of(plaza)
    for name in ("Wide", "Tracked", "Rolled", "Dolly"):
        background = plaza.objects[name].data.background_images[0]
        assert background.image[plates.KEY] == name
        assert plaza.objects[name].data.show_background_images
    assert wall.active_material.node_tree.nodes["SynCam"].image[plates.KEY] == "Dolly"
    edit = next(s for s in bpy.data.scenes if s.get("syncam_edit"))
    assert edit.render.fps == 10
    strips = results.compat.strips_of(edit.sequence_editor)
    movies = [s for s in strips if s.type == "MOVIE"]
    assert sorted(s.name for s in movies) == ["Dolly", "Rolled", "Tracked", "Wide"]
    assert {(s.frame_final_start, s.frame_final_duration) for s in movies} == {(1, 5)}
    assert len({s.filepath for s in movies}) == 4
    chooser = next(s for s in strips if s.type == "MULTICAM")
    assert chooser.channel > max(s.channel for s in movies)
    chooser.multicam_source = movies[2].channel
    bpy.ops.syncam.generate(targets={"SEQUENCER"}, seed=8, **RUN)
    strips = results.compat.strips_of(edit.sequence_editor)
    assert len(strips) == 5
    own = plaza.sequence_editor
    assert own is None or not results.compat.strips_of(own), "the scene's own renders stay its own"


def test_clips_play_at_their_own_pace(plaza):
    bpy.ops.syncam.generate(cameras="Wide", frame_start=10, **RUN)
    tree = plates_of(plaza)["Wide"].data.materials[0].node_tree
    user = tree.nodes["SynCam"].image_user
    assert (user.frame_start, user.frame_duration) == (10, 15)
    shown = []
    for frame in (1, 10, 12, 13, 22, 24, 40):
        plaza.frame_set(frame)
        read = tree.evaluated_get(bpy.context.evaluated_depsgraph_get()).nodes["SynCam"].image_user
        past = min(max(frame - user.frame_start + 1, 1), user.frame_duration)
        shown.append(past + read.frame_offset)
    assert shown == [1, 1, 1, 2, 5, 5, 5]


def test_history_applies_and_runs_again(plaza, state):
    bpy.ops.syncam.generate(seed=21, cameras="Wide", **RUN)
    first = state.ended()[0]
    bpy.ops.syncam.generate(seed=22, cameras="Wide", **RUN)
    image = movie_of(plates_of(plaza)["Wide"])
    assert first.job_id[:8] not in image.filepath
    assert bpy.ops.syncam.apply(job_id=first.job_id) == {"FINISHED"}
    assert first.job_id[:8] in image.filepath
    assert bpy.ops.syncam.again(job_id=first.job_id) == {"FINISHED"}
    again = state.ended()[0]
    assert again.seed == 21
    assert again.job_id != first.job_id
    # The clips carry their job in the metadata; the pictures are the same.
    assert [clip["frames"] for clip in again.clips] == [5]
    assert bpy.ops.syncam.again(job_id=first.job_id, new_seed=True) == {"FINISHED"}
    assert state.ended()[0].seed != 21
    bpy.ops.syncam.forget(job_id=first.job_id)
    assert first.job_id not in state.records


def test_job_runs_again_with_its_own_reference(plaza, state, tmp_path):
    """Not with the one that is set now; its file may change or go while the engine has it."""
    own, kept = plaza.syncam, Path(os.environ["SYNCAM_STATE_DIR"]) / "inputs"

    def clip(seed):
        bpy.ops.syncam.generate(seed=seed, cameras="Wide", **RUN)
        return Path(state.ended()[0].clips[0]["local"]).read_bytes()

    one, other = clip(31), clip(32)
    source = tmp_path / "the one.mp4"
    source.write_bytes(one)
    own.mode, own.reference_source, own.reference_file = "REFERENCE", "FILE", str(source)
    assert bpy.ops.syncam.generate(seed=33, cameras="Wide\nDolly", **RUN) == {"FINISHED"}
    first = state.ended()[0]
    digest = hashlib.sha256(one).hexdigest()
    assert first.request["inputs"] == [digest]
    followed = read_first_picture(first)

    def runs_again():
        assert bpy.ops.syncam.again(job_id=first.job_id) == {"FINISHED"}
        again = state.ended()[0]
        assert again.job_id != first.job_id
        assert (again.request["inputs"], again.reference) == ([digest], str(source))
        assert np.array_equal(read_first_picture(again), followed)

    own.reference_source = "VIEWPORT"
    runs_again()
    (tmp_path / "other.mp4").write_bytes(other)
    own.reference_source, own.reference_file = "FILE", str(tmp_path / "other.mp4")
    runs_again()
    source.write_bytes(other)
    runs_again()
    source.unlink()
    runs_again()
    for path in kept.glob(f"*/{digest}"):
        path.unlink()
    with pytest.raises(RuntimeError) as excinfo:
        bpy.ops.syncam.again(job_id=first.job_id)
    gone = f"The reference {str(source)!r} that this job followed is gone, and the engine has not"
    assert gone in str(excinfo.value)
    assert gone in state.ended()[0].sentence
    source.write_bytes(one)
    runs_again()
    # One that was rendered is not rendered anew: the scene may have changed.
    own.reference_source = "VIEWPORT"
    bpy.ops.syncam.generate(seed=34, cameras="Wide\nDolly", **RUN)
    rendered = state.ended()[0]
    assert (rendered.reference, len(rendered.request["inputs"])) == ("", 1)
    bpy.data.objects.remove(bpy.data.objects["Wide"])
    own.reference_source = "FILE"
    assert bpy.ops.syncam.again(job_id=rendered.job_id) == {"FINISHED"}
    assert state.ended()[0].request["inputs"] == rendered.request["inputs"] != [digest]
    # A job that was never sent has no digest to go by.
    first.request["inputs"], first.reference = [], ""
    with pytest.raises(RuntimeError, match="The reference that this job followed is gone"):
        bpy.ops.syncam.again(job_id=first.job_id)


def read_first_picture(record):
    """The first camera's clip as Blender decodes it: the anchor's, which follows the reference."""
    image = bpy.data.images.load(record.clips[0]["local"], check_existing=False)
    image.source = "MOVIE"
    pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels
