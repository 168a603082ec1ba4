# SPDX-License-Identifier: Apache-2.0
"""What changes between a job's start and its clips: names, scenes, the open file, Blender."""

from __future__ import annotations

from pathlib import Path

import bpy

from blender_addon import session

from .conftest import tick_until
from .test_results import RUN, plates_of


def test_camera_renamed_and_camera_deleted_during_the_job(plaza, state):
    bpy.ops.syncam.generate(wait="NO", cameras="Wide\nDolly\nRolled", **RUN)
    job_id = next(iter(record.job_id for record in state.running()))
    plaza.objects["Wide"].name = "Renamed"
    bpy.data.objects.remove(plaza.objects["Dolly"])
    tick_until(state, lambda: state.is_settled([job_id]))
    found = plates_of(plaza)
    assert found["Renamed"].constraints[0].target.name == "Renamed"
    assert "Dolly" not in found
    record = state.records[job_id]
    assert any("'Dolly' is not in the scene any more" in note for note in record.notices)
    assert all(Path(clip["local"]).is_file() for clip in record.clips)


def test_another_file_loaded_during_the_job(plaza, state, addon):
    home = bpy.data.filepath
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", **RUN)
    job_id = state.running()[0].job_id
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    tick_until(state, lambda: state.is_settled([job_id]))
    assert not plates_of(bpy.context.scene)
    assert not state.records[job_id].applied
    bpy.ops.wm.open_mainfile(filepath=home)
    tick_until(state, lambda: state.is_settled([job_id]))
    assert state.records[job_id].applied
    assert set(plates_of(bpy.context.scene)) == {"Wide"}


def test_scene_switched_and_scene_removed_during_the_job(plaza, state):
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", **RUN)
    other = bpy.data.scenes.new("Other")
    job_id = state.running()[0].job_id
    tick_until(state, lambda: state.is_settled([job_id]))
    assert set(plates_of(plaza)) == {"Wide"}
    assert not plates_of(other)
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", **RUN)
    job_id = state.running()[0].job_id
    plaza.name = "Renamed"
    tick_until(state, lambda: state.is_settled([job_id]))
    assert state.records[job_id].applied
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", **RUN)
    job_id = state.running()[0].job_id
    bpy.data.scenes.remove(plaza)
    tick_until(state, lambda: state.is_settled([job_id]))
    assert "is not in the file any more" in state.notice
    assert state.records[job_id].clips


def test_job_is_found_again_after_blender_ended(plaza, state):
    """A new session reads the job files and lands what came meanwhile."""
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", prompt="sleep=0.1 slow", steps=6, frames=5)
    job_id = state.running()[0].job_id
    tick_until(state, lambda: state.records[job_id].state == "running")
    state.client.close()
    fresh = session.Session()
    try:
        fresh.connect()
        fresh.start_engine()
        assert fresh.records[job_id].is_running
        tick_until(fresh, lambda: fresh.is_settled([job_id]))
        assert fresh.records[job_id].applied
        assert set(plates_of(plaza)) == {"Wide"}
    finally:
        fresh.disconnect()
        state.reconnect()


def test_clips_of_another_sessions_job_find_their_cameras_by_name(plaza, state, tmp_path):
    """The ids of that session may be those of other objects in this one."""
    bpy.ops.syncam.generate(cameras="Wide\nDolly", **RUN)
    record = state.ended()[0]
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.context.scene
    uids = {thing.name: thing.session_uid for thing in scene.objects}
    for reference in record.cameras:
        reference["uid"] = uids["Dolly" if reference["name"] == "Wide" else "Wide"]
    record.scene_uid = -1
    for clip in record.clips:
        Path(clip["local"]).unlink()
    assert bpy.ops.syncam.refetch() == {"FINISHED"}
    again = state.records[record.job_id]
    assert {r["name"]: r["uid"] for r in again.cameras} == {n: uids[n] for n in ("Wide", "Dolly")}
    for name, plate in plates_of(scene).items():
        assert plate.constraints[0].target.name == name
    for reference in again.cameras:
        reference["uid"] = uids["Rolled"]
    state.made_here.clear()
    assert bpy.ops.syncam.again(job_id=record.job_id) == {"FINISHED"}
    for name, plate in plates_of(scene).items():
        assert plate.constraints[0].target.name == name


def test_another_file_opened_before_the_job_is_sent(plaza, state, addon):
    """What has still to read the old file ends; it must not read a scene of the new one."""
    bpy.ops.syncam.generate(wait="NO", mode="PREVIZ", cameras="Wide", **RUN)
    record = state.running()[0]
    tick_until(state, lambda: record.phase == "views" and record.step >= 1)
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    bpy.context.scene.name = record.scene
    for _ in range(20):
        state.tick()
    assert record.state == "failed"
    assert "Another file was opened" in record.sentence
    assert not [s for s in bpy.data.scenes if s.get("syncam_stage")]


def test_job_that_was_not_sent_when_blender_ended_is_said_to_have_failed(plaza, state):
    bpy.ops.syncam.generate(wait="NO", mode="PREVIZ", cameras="Wide", **RUN)
    record = state.running()[0]
    state.cancel(record.job_id)
    record.state = "preparing"
    state.store.save(record)
    fresh = session.Session()
    try:
        fresh.connect()
        assert fresh.records[record.job_id].state == "failed"
        assert "before the job was sent" in fresh.records[record.job_id].sentence
    finally:
        fresh.disconnect()
        record.state = "cancelled"
        state.store.save(record)
