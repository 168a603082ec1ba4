# SPDX-License-Identifier: Apache-2.0
"""The engine's states and the button of each, and that every operator answers to keywords."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import bpy
import pytest
import zmq

from blender_addon import panel_ui, preferences
from syncam_engine.link.endpoint import private_dir, socket_path

from .conftest import add_camera, other_engine, sentence_of, tick_until

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


@pytest.fixture
def own_engine(state, monkeypatch, tmp_path):
    """A state folder in which no engine runs yet."""
    with other_engine(state, monkeypatch, tmp_path):
        state.connect()
        state.tick()
        yield state


def seen_states(state, until, limit_s=150.0):
    """Tick until the engine is in the state `until`; return the states on the way."""
    seen = [state.engine.state]

    def is_there():
        if state.engine.state != seen[-1]:
            seen.append(state.engine.state)
        return seen[-1] == until

    tick_until(state, is_there, limit_s)
    return seen


def test_started_restarted_and_stopped_by_its_buttons(scene, own_engine, monkeypatch):
    state = own_engine
    # The stub loads as slowly as a model does.
    monkeypatch.setenv("SYNCAM_STUB_LOAD_S", "1.5")
    assert state.engine.state == "stopped"
    with pytest.raises(RuntimeError, match="no log yet"):
        bpy.ops.syncam.engine_log()
    assert bpy.ops.syncam.engine_start() == {"FINISHED"}
    assert seen_states(state, "ready") == ["stopped", "starting", "loading", "ready"]
    monkeypatch.delenv("SYNCAM_STUB_LOAD_S")
    tick_until(state, lambda: bool(panel_ui.memory_text(state)))
    first = state.client.hello.instance
    worker = state.engine_status.workers[0]
    assert (worker.device, panel_ui.preset_text(state)) == ("stub", "preview")
    # What the box says is what the machine has.
    free_gb = float(panel_ui.memory_text(state).partition(panel_ui.NARROW)[0])
    assert panel_ui.memory_text(state).endswith("GB free")
    assert free_gb == pytest.approx(worker.memory_free_mb / 1024, abs=0.06)
    assert bpy.ops.syncam.engine_log() == {"FINISHED"}
    assert "engine" in bpy.data.texts["SynCam engine log"].as_string()

    assert bpy.ops.syncam.engine_restart() == {"FINISHED"}
    tick_until(state, lambda: state.client.hello.instance != first)
    seen_states(state, "ready")
    assert state.error is None

    assert bpy.ops.syncam.yield_device() == {"FINISHED"}
    tick_until(state, lambda: state.client.worker == "yielded")
    assert bpy.ops.syncam.engine_stop() == {"FINISHED"}
    seen_states(state, "stopped")
    assert state.error is None, "an end that was asked for is no fault"
    add_camera(scene)
    assert bpy.ops.syncam.generate(**RUN) == {"FINISHED"}, "it is started when it is needed"


def test_killed_without_a_job_it_is_lost_and_restarted_by_its_button(scene, own_engine):
    state = own_engine
    bpy.ops.syncam.engine_start()
    seen_states(state, "ready")
    tick_until(state, lambda: state.engine_status is not None)
    os.kill(state.engine_status.pid, signal.SIGKILL)
    seen_states(state, "lost")
    assert "stopped or was killed" in state.error.sentence
    bpy.ops.syncam.engine_restart()
    seen_states(state, "ready")
    assert state.error is None


def test_engine_of_another_version_is_replaced_by_its_button(scene, own_engine, tmp_path):
    """Its process is ended and one of this version is started in its place."""
    import msgpack

    state, folder = own_engine, tmp_path / "other"
    old = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    path = socket_path(folder)
    private_dir(path.parent)
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(f"ipc://{path}")
    private_dir(folder)
    (folder / "engine.json").write_text(json.dumps({"address": f"ipc://{path}", "pid": old.pid}))
    try:
        state.reconnect()
        deadline_s = time.monotonic() + 60
        while state.engine.state != "version mismatch":
            state.tick()
            if router.poll(5):
                sender, header, *_ = router.recv_multipart()
                parent = msgpack.unpackb(header)["id"]
                answer = {"v": 99, "id": "x" * 8, "type": "hello", "parent": parent}
                router.send_multipart([sender, msgpack.packb(answer), msgpack.packb({})])
            assert time.monotonic() < deadline_s, state.engine
        assert bpy.ops.syncam.engine_restart() == {"FINISHED"}
        assert old.wait(30) == -signal.SIGTERM
    finally:
        old.kill()
        router.close()
        context.term()
    seen_states(state, "ready")


def test_an_engine_that_another_started_is_found_and_not_started_twice(scene, own_engine):
    state = own_engine
    bpy.ops.syncam.engine_start()
    seen_states(state, "ready")
    instance = state.client.hello.instance
    launcher = state.launcher
    state.reconnect()
    seen_states(state, "ready")
    assert state.client.hello.instance == instance
    state.launcher = launcher
    launcher.client = state.client


def test_chosen_engine_is_used(scene, own_engine):
    state = own_engine
    python = os.environ["SYNCAM_ENGINE_PYTHON"]
    os.environ["SYNCAM_ENGINE_PYTHON"] = "/nowhere/python"
    own = preferences.get()
    try:
        with pytest.raises(RuntimeError) as error:
            bpy.ops.syncam.engine_choose(filepath="/nowhere/python")
        assert "is not a program" in sentence_of(error)
        assert bpy.ops.syncam.engine_choose(filepath=python) == {"FINISHED"}
        assert own.engine_python == python
        seen_states(state, "ready")
    finally:
        own.engine_python = ""
        os.environ["SYNCAM_ENGINE_PYTHON"] = python


def test_installing_needs_online_access(scene, own_engine):
    system = bpy.context.preferences.system
    allowed = system.use_online_access
    try:
        system.use_online_access = False
        with pytest.raises(RuntimeError, match="Allow Online Access"):
            bpy.ops.syncam.engine_install()
    finally:
        system.use_online_access = allowed
    assert own_engine.install is None


def test_every_operator_returns_finished_or_cancelled_and_says_why(plaza, state):
    """By keywords alone, in background mode; those not here have tests of their own."""
    ops = bpy.ops.syncam
    assert ops.generate(cameras="Wide\nDolly", seed=9, **RUN) == {"FINISHED"}
    job = state.ended()[0].job_id
    slow = {"wait": "NO", "cameras": "Wide", "frames": 5, "prompt": "sleep=0.3 slow", "steps": 50}
    ops.generate(**slow)
    running = state.running()[0].job_id
    tick_until(state, lambda: state.records[running].step > 0)
    fine = {
        "rig_use": [{"which": w} for w in ("ALL", "SELECTED", "NONE", "ALL")],
        "rig_move": [{"direction": "DOWN"}],
        "rig_anchor": [{"camera": "Wide"}],
        "rig_look": [{"camera": "Dolly"}],
        "rig_screen": [{"camera": "Dolly", "object": "Ground"}, {"camera": "Dolly"}],
        "rig_thumbnails": [{}],
        "fix": [{"code": "camera.exclude", "camera": "Rolled"}],
        "dismiss": [{}],
        "show_clips": [{}],
        "copy_public_key": [{}],
        "engine_install_stop": [{}],
        "apply": [{"job_id": job, "targets": {"BACKGROUNDS"}}, {"job_id": job}],
        "reveal": [{"job_id": job}],
        "refetch": [{}],
        "cancel": [{"job_id": running}],
        "forget": [{"job_id": job}],
    }
    for name, calls in fine.items():
        for call in calls:
            assert getattr(ops, name)(**call) == {"FINISHED"}, (name, call)
    bad = {
        "rig_use": ({"which": "MARKERS"}, "marker"),
        "rig_anchor": ({"camera": "Nobody"}, "no camera 'Nobody'"),
        "rig_look": ({"camera": "Ground"}, "no camera 'Ground'"),
        "rig_screen": ({"camera": "Ground", "object": "Ground"}, "no camera 'Ground'"),
        "fix": ({"code": "unheard.of"}, "no way to mend"),
        "apply": ({"job_id": "none"}, "no job 'none'"),
        "again": ({"job_id": "none"}, "no job 'none'"),
        "reveal": ({"job_id": "none"}, "no job 'none'"),
        "forget": ({"job_id": "none"}, "no job 'none'"),
        "cancel": ({"job_id": "none"}, "no job 'none'"),
        "pause": ({"job_id": "none"}, "no job 'none'"),
        "move_job": ({"job_id": "none"}, "no job 'none'"),
        "rig_import": ({"filepath": "/nowhere/rig.json"}, "rig.json"),
        "rig_export": ({"filepath": "/dev/null/rig.json"}, "cannot be written"),
        "generate": ({"scene": "Nowhere", **RUN}, "no scene 'Nowhere'"),
    }
    for name, (call, said) in bad.items():
        with pytest.raises(RuntimeError) as error:
            getattr(ops, name)(**call)
        assert said in sentence_of(error), name
        assert "Traceback" not in str(error.value)
    tick_until(state, lambda: not state.running())
    elsewhere = {
        *("engine_start", "engine_stop", "engine_restart", "engine_log", "engine_choose"),
        *("engine_install", "engine_reconnect", "yield_device", "rig_add", "preset_add"),
    }
    assert set(dir(ops)) == {*fine, *bad, *elsewhere}


def test_timer_goes_on_after_a_fault_and_says_so(scene, state, monkeypatch):
    """Blender drops a timer that raises; the panel would stand still."""
    from blender_addon import heartbeat

    def stumble():
        raise IndexError("something was taken away")

    state.connect()
    monkeypatch.setattr(state, "tick", stumble)
    assert heartbeat.tick() > 0
    assert "something was taken away" in state.error.sentence
    monkeypatch.undo()
    state.error = None
    assert heartbeat.tick() > 0
    assert state.error is None


def test_another_file_opened_while_pictures_stream(plaza, state, addon):
    ops = bpy.ops.syncam
    ops.generate(wait="NO", cameras="Wide\nDolly", frames=5, prompt="sleep=0.2 slow", steps=20)
    record = state.running()[0]
    tick_until(state, lambda: record.step >= 1 and bool(state._live))
    bpy.ops.wm.open_mainfile(filepath=str(addon))
    step = record.step
    tick_until(state, lambda: record.step > step + 2)
    assert state.error is None
    ops.cancel(job_id=record.job_id)
    tick_until(state, lambda: not record.is_running)
