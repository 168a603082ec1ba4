# SPDX-License-Identifier: Apache-2.0
"""Viewport renders: the copy that a window draws, and the child process where no window is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_addon import cameras, child_render, stage, viewport
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_rig

WIDTH, HEIGHT = 32, 16
SIZE = WIDTH * HEIGHT * 3


def rig_of(scene, *names):
    rig = cameras.read_rig(scene, scene.view_layers[0], [scene.objects[name] for name in names])
    return fit_rig(rig, WIDTH, HEIGHT, "crop")


def last_of(steps):
    *counts, pictures = steps
    assert counts == sorted(counts)
    return pictures


@pytest.fixture
def drawn(monkeypatch):
    """A window whose viewport can be drawn `drawn.left` times: then it is closed."""

    class Drawn:
        left = 100

    def draw(shown, *_):
        Drawn.left -= 1
        return bytes([shown.frame_current % 256]) * SIZE

    monkeypatch.setattr(viewport, "viewport_or_none", lambda: Drawn if Drawn.left else None)
    monkeypatch.setattr(viewport, "_draw_offscreen", draw)
    return Drawn


def test_child_renders_what_this_process_would_unsaved_changes_too(plaza):
    box = bpy.data.objects.new("Box", bpy.data.meshes.new("Box"))
    wide = plaza.objects["Wide"]
    ahead = wide.matrix_world.to_3x3().col[2]
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    box.data.from_pydata(corners, [], sides)
    box.location = wide.matrix_world.translation - 5.0 * ahead
    rig = rig_of(plaza, "Wide", "Dolly")
    before = list(stage.render_workbench(plaza.name, rig, [1, 9]))
    plaza.collection.objects.link(box)
    here = list(stage.render_workbench(plaza.name, rig, [1, 9]))
    assert here[0] != before[0]
    pictures = last_of(viewport.render_views(plaza, rig, [1, 9]))
    assert [[len(rgb8) for rgb8 in view] for view in pictures] == [[SIZE] * 2] * 2
    for k in range(2):
        for row in range(2):
            there = np.frombuffer(pictures[row][k], np.uint8).astype(int)
            assert np.abs(there - np.frombuffer(here[2 * k + row], np.uint8)).max() <= 1
    assert not [s for s in bpy.data.scenes if s.get("syncam_stage")]


def test_copy_for_viewport_renders_is_neither_saved_nor_taken_up_again(plaza, tmp_path, drawn):
    stage.stage_of(plaza.name)["old"] = True
    copy = str(tmp_path / "copy.blend")
    bpy.ops.wm.save_as_mainfile(filepath=copy, copy=True)
    with bpy.data.libraries.load(copy) as (saved, _):
        assert stage.STAGE not in saved.scenes
    stage.stage_of(plaza.name)["old"] = True
    views = viewport.render_views(plaza, rig_of(plaza, "Wide"), [1])
    assert next(views) == 1
    assert "old" not in stage.stage_of(plaza.name)
    views.close()
    assert stage.STAGE not in bpy.data.scenes


def test_window_draws_each_frame_of_each_camera(plaza, drawn):
    pictures = last_of(viewport.render_views(plaza, rig_of(plaza, "Wide", "Dolly"), [3, 7]))
    assert [[rgb8[0] for rgb8 in view] for view in pictures] == [[3, 7], [3, 7]]


def test_viewport_closed_meanwhile_leaves_all_to_the_child(plaza, drawn):
    drawn.left = 1
    steps = list(viewport.render_views(plaza, rig_of(plaza, "Wide"), [1, 2]))
    assert steps[0] == 1
    assert all(rgb8 != bytes([rgb8[0]]) * SIZE for rgb8 in steps[-1][0])
    assert stage.STAGE not in bpy.data.scenes


def test_child_that_stops_is_one_sentence_with_its_last_words(plaza, monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text("import os\nprint('no graphics here', flush=True)\nos._exit(11)\n")
    monkeypatch.setattr(child_render, "CHILD", child)
    with pytest.raises(SynCamError, match=r"stopped \(11\).*no graphics here") as told:
        list(viewport.render_views(plaza, rig_of(plaza, "Wide"), [1]))
    assert told.value.code == "views.stopped"


def test_error_of_the_child_is_told_as_it_is(plaza, monkeypatch):
    order_of = child_render._order_of
    monkeypatch.setattr(
        child_render, "_order_of", lambda *given: {**order_of(*given), "scene": "Gone"}
    )
    with pytest.raises(SynCamError, match="'Gone' was removed"):
        list(viewport.render_views(plaza, rig_of(plaza, "Wide"), [1]))


def test_given_up_renders_leave_neither_child_nor_files(plaza, monkeypatch):
    started = []

    class Kept(subprocess.Popen):
        def __init__(self, command, **given):
            started.append((self, Path(command[-1])))
            super().__init__(command, **given)

    monkeypatch.setattr(subprocess, "Popen", Kept)
    views = viewport.render_views(plaza, rig_of(plaza, "Wide"), list(range(1, 200)))
    assert next(views) == 0
    ((child, folder),) = started
    assert child.poll() is None
    assert folder.is_dir()
    views.close()
    assert child.poll() is not None
    assert not folder.exists()


def test_child_without_a_parent_ends_by_itself(tmp_path):
    os.mkfifo(tmp_path / "order.json")  # without a writer the child waits here for ever
    command = [sys.executable, str(child_render.CHILD), "--", str(tmp_path)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert ended.returncode == 3, ended.stderr


def test_child_with_an_order_it_cannot_read_names_the_cause(tmp_path):
    (tmp_path / "order.json").write_text("{}")
    command = [sys.executable, str(child_render.CHILD), "--", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        said = child.stderr.read().decode()
        assert child.wait(120) == 1
    assert "KeyError: 'path'" in said
