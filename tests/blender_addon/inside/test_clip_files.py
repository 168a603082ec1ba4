# SPDX-License-Identifier: Apache-2.0
"""Where clips lie: beside the file or with the add-on, in files of their own, fetched if gone."""

from __future__ import annotations

from pathlib import Path

import bpy

from blender_addon import result_ops, results

from .conftest import add_camera
from .test_results import RUN, movie_of, plates_of


def test_missing_clip_is_fetched_again(plaza, state, monkeypatch):
    bpy.ops.syncam.generate(cameras="Wide\nDolly", **RUN)
    record = state.ended()[0]
    for clip in record.clips:
        Path(clip["local"]).unlink()
    assert len(result_ops.missing_images()) == 2
    assert bpy.ops.syncam.refetch() == {"FINISHED"}
    assert not result_ops.missing_images()
    # As for a remote engine, it is streamed.
    monkeypatch.setattr(state.client, "local_file", lambda *_: None)
    for clip in record.clips:
        Path(clip["local"]).unlink()
    assert bpy.ops.syncam.refetch() == {"FINISHED"}
    assert not result_ops.missing_images()


def test_names_of_every_kind_get_files_of_their_own(scene, state, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "nämen 'ß' 撮影.blend"))
    names = ["Kamera/links", "Kamera_links", 'The "big" one', "前のカメラ", "con", "a" * 60]
    for k, name in enumerate(names):
        add_camera(bpy.context.scene, name, (k * 0.4 - 1, -6, 1.5))
    assert bpy.ops.syncam.generate(**RUN) == {"FINISHED"}
    record = state.ended()[0]
    assert {clip["camera"] for clip in record.clips} == set(names)
    assert len({Path(clip["local"]).name.lower() for clip in record.clips}) == 6
    found = plates_of(bpy.context.scene)
    for name in names:
        assert Path(bpy.path.abspath(movie_of(found[name]).filepath)).is_file()


def test_unsaved_scene_keeps_clips_in_the_addons_folder(scene, state):
    add_camera(scene)
    assert bpy.data.filepath == ""
    assert bpy.ops.syncam.generate(**RUN) == {"FINISHED"}
    local = Path(state.ended()[0].clips[0]["local"])
    assert local.is_file()
    assert local.is_relative_to(state.store.folder)


def test_first_save_brings_the_clips_along(scene, state, tmp_path):
    add_camera(scene)
    bpy.ops.syncam.generate(targets={"PLATES", "SEQUENCER"}, **RUN)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "first.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "first.blend"))
    image = movie_of(plates_of(bpy.context.scene)["Camera"])
    assert image.filepath.startswith("//syncam")
    assert Path(bpy.path.abspath(image.filepath)).is_relative_to(tmp_path)
    assert Path(bpy.path.abspath(image.filepath)).is_file()
    edit = next(s for s in bpy.data.scenes if s.get("syncam_edit"))
    strip = next(s for s in results.compat.strips_of(edit.sequence_editor) if s.type == "MOVIE")
    assert Path(bpy.path.abspath(strip.filepath)).is_relative_to(tmp_path)
    assert state.ended()[0].blend == str(tmp_path / "first.blend")


def test_folder_that_cannot_be_written_has_a_fallback(plaza, state):
    # Root may write anywhere, so a file stands where the folder should be.
    Path(bpy.data.filepath).with_name("syncam").write_text("in the way")
    assert bpy.ops.syncam.generate(cameras="Wide", **RUN) == {"FINISHED"}
    assert Path(state.ended()[0].clips[0]["local"]).is_relative_to(state.store.folder)
