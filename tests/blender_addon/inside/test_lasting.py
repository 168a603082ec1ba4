# SPDX-License-Identifier: Apache-2.0
"""What holds while files are opened and saved, cameras renamed, tools used and engines left."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import bpy

from blender_addon import (
    cameras,
    checks,
    engine_ops,
    landing,
    plates,
)
from syncam_engine.link.messages import Preview

from .conftest import add_camera, tick_until
from .test_panel import draw

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


def plates_before(thing):
    return [o for o in bpy.data.objects if o.get(plates.KEY) and plates.target_of(o) == thing]


def test_camera_renamed_between_two_runs_keeps_its_one_plate(plaza):
    assert bpy.ops.syncam.generate(cameras="Wide", **RUN) == {"FINISHED"}
    camera = plaza.objects["Wide"]
    (plate,) = plates_before(camera)
    image = plate.data.materials[0].node_tree.nodes["SynCam"].image
    camera.name = "Hero"
    assert bpy.ops.syncam.generate(cameras="Hero", **RUN) == {"FINISHED"}
    assert plates_before(camera) == [plate]
    assert plate.data.materials[0].node_tree.nodes["SynCam"].image == image
    assert Path(bpy.path.abspath(image.filepath)).name == "Hero.mp4"


def test_clips_that_waited_for_a_render_land_in_no_other_file(plaza, state, addon, monkeypatch):
    home = bpy.data.filepath
    monkeypatch.setattr(landing, "is_quiet", lambda: False)
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", **RUN)
    record = state.running()[0]
    tick_until(state, lambda: record.clips and all(c.get("local") for c in record.clips))
    state.tick()
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    bpy.context.scene.name = record.scene
    add_camera(bpy.context.scene, "Wide")
    monkeypatch.undo()
    tick_until(state, lambda: state.is_settled([record.job_id]))
    assert not [o for o in bpy.data.objects if o.get(plates.KEY)]
    assert not record.applied
    bpy.ops.wm.open_mainfile(filepath=home)
    tick_until(state, lambda: state.is_settled([record.job_id]))
    assert plates_before(bpy.context.scene.objects["Wide"])


def test_fetched_clip_goes_elsewhere_when_its_place_cannot_be_written(plaza, state):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    (clip,) = (record := state.ended()[0]).clips
    local = Path(clip["local"])
    local.unlink()
    local.mkdir()
    assert bpy.ops.syncam.refetch() == {"FINISHED"}
    assert Path(clip["local"]).is_relative_to(state.store.folder)
    assert record.applied


def test_installation_is_followed_when_another_file_is_opened(scene):
    engine_ops.follow_install_by_timer()
    try:
        bpy.ops.wm.read_homefile(use_empty=True)
        assert bpy.app.timers.is_registered(engine_ops.follow_install)
    finally:
        bpy.app.timers.unregister(engine_ops.follow_install)


def test_modal_operator_that_never_ends_is_no_tool_in_use(monkeypatch):
    class Drag:
        def as_pointer(self):
            return id(self)

    class KeyDisplay(Drag):
        def modal(self):
            return {"PASS_THROUGH"}

    display, drag = KeyDisplay(), Drag()
    assert not landing.tools_in_use([])
    assert landing.tools_in_use([display])
    monkeypatch.setattr(landing, "TOOL_S", 0.0)
    assert not landing.tools_in_use([display])
    assert landing.tools_in_use([display, drag])


def test_forgotten_job_leaves_the_engine_as_well(plaza, state):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    job_id = state.ended()[0].job_id
    folder = Path(os.environ["SYNCAM_STATE_DIR"], "jobs", job_id)
    assert folder.is_dir()
    bpy.ops.syncam.forget(job_id=job_id)
    tick_until(state, lambda: not folder.exists())


def test_scene_is_read_once_for_all_variations(plaza, state, monkeypatch):
    state.connect()
    state.start_engine()
    tick_until(state, lambda: state.presets())
    read, real = [], cameras.read_rig
    monkeypatch.setattr(cameras, "read_rig", lambda *a, **k: read.append(1) or real(*a, **k))
    bpy.ops.syncam.generate(wait="NO", variations=3, **RUN)
    sent = state.running()
    assert (len(sent), len(read)) == (3, 1)
    assert [record.request["variation"] for record in sent] == [0, 1, 2]
    for record in sent:
        bpy.ops.syncam.cancel(job_id=record.job_id)
    tick_until(state, lambda: state.is_settled([record.job_id for record in sent]))


def test_pictures_of_another_files_job_do_not_come_into_this_one(scene, state, plaza):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    record = state.ended()[0]
    pixels = Preview(
        job_id=record.job_id, camera="Wide", index=0, step=1, width=2, height=2, rgb8=bytes(12)
    )
    record.state = "running"
    try:
        state._hear(pixels)
        assert state._live
        state._live.clear()
        record.blend = "/another/file.blend"
        state.made_here.clear()
        state._hear(pixels)
        assert not state._live
    finally:
        record.state = "done"


def test_cancel_of_a_job_at_an_engine_that_is_gone_ends_at_the_second_press(
    plaza, state, monkeypatch
):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    record = state.ended()[0]
    record.state = "running"
    asked = []
    gone = SimpleNamespace(state="lost", cancel=asked.append)
    with monkeypatch.context() as patch:
        patch.setattr(state, "client", gone)
        bpy.ops.syncam.cancel(job_id=record.job_id)
        assert (record.state, asked) == ("cancelling", [record.job_id])
        bpy.ops.syncam.cancel(job_id=record.job_id)
    assert record.state == "cancelled"


def test_what_was_to_be_done_with_an_engine_is_not_done_to_the_next(plaza, state):
    """The number of a remote engine's process is some other process here."""
    told = []
    state.ask_status(told.append)
    state.reconnect()
    state.start_engine()
    tick_until(state, lambda: state.engine_status is not None)
    assert not told


def test_size_that_is_typed_in_another_form_draws(plaza, state):
    state.start_engine()
    tick_until(state, lambda: state.presets())
    plaza.syncam.size = "160X96"
    checks.refresh(plaza)
    assert "160X96" in " ".join(draw().texts)
    plaza.syncam.size = "no size"  # the next look has not been
    assert "no size" not in " ".join(draw().texts)


def test_name_of_a_file_that_is_no_unicode_can_be_sent():
    assert cameras._text("caf\udce9.blend") == "caf?.blend"
    assert cameras._text("撮影.blend") == "撮影.blend"
