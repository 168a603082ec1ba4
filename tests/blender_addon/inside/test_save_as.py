# SPDX-License-Identifier: Apache-2.0
"""Clips of a saved scene that is saved to another folder, as its own file or as a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy
import pytest

from blender_addon import landing

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


@pytest.fixture
def old(plaza, tmp_path):
    """The folder of a scene with a clip on a plate and on a strip."""
    (tmp_path / "old").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old" / "shot.blend"))
    bpy.ops.syncam.generate(cameras="Wide", targets={"PLATES", "SEQUENCER"}, **RUN)
    bpy.ops.wm.save_mainfile()
    return tmp_path / "old"


def shown():
    return {owner.filepath: Path(bpy.path.abspath(owner.filepath)) for owner in landing._movies()}


def assert_own_clips(blend):
    ((relative, path),) = shown().items()
    assert relative.startswith("//syncam/")
    assert path.is_relative_to(blend.parent / "syncam")
    assert path.is_file()


@pytest.mark.parametrize("remap", [True, False])
def test_clips_come_along_to_another_folder(old, tmp_path, remap):
    new = tmp_path / "deep" / "er" / "new.blend"
    new.parent.mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(new), relative_remap=remap)
    assert_own_clips(new)
    shutil.rmtree(old)
    bpy.ops.wm.open_mainfile(filepath=str(new))
    assert_own_clips(new)


def test_a_copy_elsewhere_has_clips_of_its_own_and_the_scene_keeps_its(old, tmp_path):
    before, copy = shown(), tmp_path / "copies" / "copy.blend"
    copy.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(copy), copy=True)
    assert shown() == before
    assert_own_clips(old / "shot.blend")
    bpy.ops.wm.save_mainfile()
    shutil.rmtree(old / "syncam")
    bpy.ops.wm.open_mainfile(filepath=str(copy))
    assert_own_clips(copy)


def test_another_name_in_the_same_folder_shares_the_clips(old):
    files = sorted(old.rglob("*.mp4"))
    bpy.ops.wm.save_as_mainfile(filepath=str(old / "shot 2.blend"))
    assert_own_clips(old / "shot 2.blend")
    assert sorted(old.rglob("*.mp4")) == files


def test_clips_that_cannot_come_along_are_shown_where_they_are_and_that_is_said(
    old, state, tmp_path
):
    new = tmp_path / "new" / "new.blend"
    new.parent.mkdir()
    (new.parent / "syncam").write_text("in the way")
    bpy.ops.wm.save_as_mainfile(filepath=str(new))
    bpy.ops.wm.open_mainfile(filepath=str(new))
    ((_, path),) = shown().items()
    assert path.resolve().is_relative_to(old / "syncam")
    assert path.is_file()
    assert state.notice == (
        f"The folder {new.parent / 'syncam'} cannot be written, so clips of new.blend are in "
        f"{old / 'syncam'}."
    )


def test_file_and_clips_that_were_moved_together_are_together(old, tmp_path):
    """A path may lead over the folder's old name."""
    for owner in landing._movies():
        owner.filepath = f"//../old/{owner.filepath.removeprefix('//')}"
    bpy.ops.wm.save_mainfile()
    moved = old.rename(tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(moved / "shot.blend"))
    assert_own_clips(moved / "shot.blend")
