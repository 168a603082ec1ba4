# SPDX-License-Identifier: Apache-2.0
"""*Run Again* of a previz job: from the viewport renders that it started from, while they last."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
import pytest

from blender_addon import job_inputs, jobs

from .conftest import tick_until

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


@pytest.fixture
def first(plaza, state):
    """A previz job of a box before one of two cameras; then the box is gone."""
    box = bpy.data.objects.new("Box", bpy.data.meshes.new("Box"))
    wide = plaza.objects["Wide"]
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    box.data.from_pydata(corners, [], sides)
    box.location = wide.matrix_world.translation - 5.0 * wide.matrix_world.to_3x3().col[2]
    plaza.collection.objects.link(box)
    bpy.ops.syncam.generate(seed=41, mode="PREVIZ", cameras="Wide\nDolly", **RUN)
    record = state.ended()[0]
    bpy.data.objects.remove(box)
    return record


@pytest.fixture
def rendered(monkeypatch):
    """The jobs whose viewports are rendered from now on."""
    seen = []
    render = job_inputs.viewport_clips

    def told(scene, rig, request, record, wanted):
        seen.append(record.job_id)
        return (yield from render(scene, rig, request, record, wanted))

    monkeypatch.setattr(job_inputs, "viewport_clips", told)
    return seen


def kept(digests):
    folder = Path(os.environ["SYNCAM_STATE_DIR"]) / "inputs"
    return [path for digest in digests for path in folder.glob(f"*/{digest}")]


def test_runs_again_from_its_own_viewport_renders(first, state, rendered):
    assert len(first.request["inputs"]) == 2
    bpy.data.objects.remove(bpy.data.objects["Dolly"])
    for new_seed in (False, True):
        assert bpy.ops.syncam.again(job_id=first.job_id, new_seed=new_seed) == {"FINISHED"}
        again = state.ended()[0]
        assert again.job_id != first.job_id
        assert again.request["inputs"] == first.request["inputs"]
        assert (again.seed == 41) != new_seed
    assert rendered == []
    assert state.notice != job_inputs.RENDERED_ANEW


def test_renders_that_are_gone_are_made_anew_and_that_is_said(first, state, rendered):
    for path in kept(first.request["inputs"]):
        path.unlink()
    assert bpy.ops.syncam.again(job_id=first.job_id) == {"FINISHED"}
    again = state.ended()[0]
    assert rendered == [again.job_id]
    assert job_inputs.RENDERED_ANEW in again.notices
    assert state.notice == job_inputs.RENDERED_ANEW
    assert state.error is None
    assert again.request["inputs"] != first.request["inputs"], "the box is gone"
    assert len(kept(again.request["inputs"])) == 2
    # From now on these are its own.
    assert bpy.ops.syncam.again(job_id=again.job_id) == {"FINISHED"}
    assert rendered == [again.job_id]


def test_job_that_was_never_sent_has_no_renders_of_its_own(first, state, rendered):
    first.request["inputs"] = []
    assert bpy.ops.syncam.again(job_id=first.job_id) == {"FINISHED"}
    again = state.ended()[0]
    assert rendered == [again.job_id]
    assert job_inputs.RENDERED_ANEW not in again.notices


def test_another_file_opened_before_the_engine_says_that_they_are_gone(
    first, state, rendered, addon
):
    """A scene of the other file is not what this job may be rendered from."""
    for path in kept(first.request["inputs"]):
        path.unlink()
    home, scene = bpy.data.filepath, first.scene
    bpy.ops.wm.save_mainfile()
    record = run_again_at_once(first, state)
    tick_until(state, lambda: record.state != "preparing")
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    bpy.context.scene.name = scene
    tick_until(state, lambda: state.is_settled([record.job_id]))
    assert (record.state, rendered) == ("failed", [])
    assert record.sentence == record.inputs_gone
    assert "viewport renders" in record.sentence
    bpy.ops.wm.open_mainfile(filepath=home)
    assert bpy.ops.syncam.again(job_id=record.job_id) == {"FINISHED"}
    assert len(rendered) == 1


def run_again_at_once(first, state):
    """Run Again as a window does, which does not wait; return the new job."""
    known = set(state.records)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("blender_addon.result_ops._finish", lambda *_: {"FINISHED"})
        bpy.ops.syncam.again(job_id=first.job_id)
    (job_id,) = set(state.records) - known
    assert state.records[job_id].state in jobs.RUNNING
    return state.records[job_id]
