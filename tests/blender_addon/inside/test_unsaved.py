# SPDX-License-Identifier: Apache-2.0
"""Clips of a scene that was never saved: when it is saved, a copy is, or that is not possible."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest

from blender_addon import compat

from .conftest import add_camera, tick_until

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


@pytest.fixture
def record(scene, state):
    """A job of a scene without a file; its clip is on a plate and on a strip."""
    add_camera(scene)
    bpy.ops.syncam.generate(targets={"PLATES", "SEQUENCER"}, **RUN)
    state.notice = ""
    return state.ended()[0]


def shown():
    """The path of each clip that the open file shows, and the file that it leads to."""
    owners = [image for image in bpy.data.images if image.source == "MOVIE"]
    for scene in bpy.data.scenes:
        if scene.sequence_editor:
            strips = compat.strips_of(scene.sequence_editor)
            owners += [strip for strip in strips if strip.type == "MOVIE"]
    assert len(owners) == 2
    return {own.filepath: Path(bpy.path.abspath(own.filepath)).resolve() for own in owners}


def assert_lie_beside(blend, record):
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    clip = Path("syncam", record.job_id[:8], "Camera.mp4")
    assert shown() == {f"//{clip.as_posix()}": blend.parent / clip}
    assert (blend.parent / clip).is_file()


def test_copy_has_clips_of_its_own_and_the_scene_keeps_its(record, state, tmp_path):
    before = shown()
    copy, own = tmp_path / "copies" / "copy.blend", tmp_path / "own" / "shot.blend"
    for path in (copy, own):
        path.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(copy), copy=True)
    assert bpy.data.filepath == ""
    assert shown() == before
    assert record.blend == "", "its clips go on coming to this scene"
    bpy.ops.syncam.generate(cameras="Camera", targets={"PLATES", "SEQUENCER"}, seed=5, **RUN)
    later = state.ended()[0]
    assert all(path.is_file() for path in shown().values())
    bpy.ops.wm.save_as_mainfile(filepath=str(own))
    assert (record.blend, later.blend) == (str(own), str(own))
    assert_lie_beside(own, later)
    bpy.ops.syncam.forget(job_id=record.job_id)
    assert_lie_beside(copy, record)


def test_job_that_runs_while_a_copy_is_saved_comes_to_the_scene(scene, state, tmp_path):
    add_camera(scene)
    bpy.ops.syncam.generate(wait="NO", targets={"PLATES", "SEQUENCER"}, **RUN)
    (running,) = state.running()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copy.blend"), copy=True)
    tick_until(state, lambda: state.is_settled([running.job_id]))
    assert running.applied
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert_lie_beside(tmp_path / "shot.blend", running)


def test_file_that_cannot_be_written_leaves_the_scene_as_it_was(record, tmp_path):
    before = shown()
    (tmp_path / "shot.blend@").mkdir()  # Blender writes there, then renames.
    with pytest.raises(RuntimeError, match="Cannot open file"):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert shown() == before
    assert record.blend == ""
    (tmp_path / "shot.blend@").rmdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert_lie_beside(tmp_path / "shot.blend", record)


@pytest.mark.parametrize("copy", [False, True])
def test_clips_that_cannot_come_along_stay_and_that_is_said(record, state, tmp_path, copy):
    before = shown()
    (tmp_path / "syncam").write_text("in the way")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"), copy=copy)
    assert set(shown().values()) == set(before.values())
    said = f"The folder {tmp_path / 'syncam'} cannot be written, so clips of shot.blend are in "
    assert state.notice == f"{said}{state.store.folder}."
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert all(path.is_file() for path in shown().values())


def test_clip_of_the_history_comes_along_too(record, state, addon, tmp_path):
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    add_camera(bpy.context.scene)
    bpy.ops.syncam.apply(job_id=record.job_id, targets={"PLATES", "SEQUENCER"})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    bpy.ops.syncam.forget(job_id=record.job_id)
    assert_lie_beside(tmp_path / "other.blend", record)
