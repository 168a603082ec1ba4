# SPDX-License-Identifier: Apache-2.0
"""`syncam.generate` against a running engine: what works, and what is refused in one sentence."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
import zmq

from blender_addon import job_request
from syncam_engine.link.endpoint import private_dir, socket_path

from .conftest import add_camera, other_engine, sentence_of, tick_until

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


def everything():
    """What the scene holds, to see that a refusal leaves it alone."""
    return {
        "objects": sorted(o.name for o in bpy.data.objects),
        "images": sorted((i.name, i.filepath) for i in bpy.data.images),
        "scenes": sorted(s.name for s in bpy.data.scenes),
        "materials": sorted(m.name for m in bpy.data.materials),
        "frame": bpy.context.scene.frame_current,
        "camera": bpy.context.scene.camera,
    }


def refused(**arguments) -> str:
    before = everything()
    with pytest.raises(RuntimeError) as excinfo:
        bpy.ops.syncam.generate(**arguments)
    assert everything() == before
    assert "Traceback" not in str(excinfo.value)
    return sentence_of(excinfo)


def test_text_mode_end_to_end(plaza, state):
    bpy.context.scene.frame_set(9)
    before = state.tick_count
    assert bpy.ops.syncam.generate(seed=4, **RUN) == {"FINISHED"}
    record = state.ended()[0]
    assert (record.state, record.seed, record.applied) == ("done", 4, True)
    assert [c["name"] for c in record.cameras] == ["Dolly", "Rolled", "Tracked", "Wide"]
    assert record.request["rig"]["anchor"] == "Wide"
    assert record.request["scene_frames"] == [1, 4, 7, 10, 13]
    assert tuple(record.request["fps"]) == (10, 1)
    assert any("'Rolled' is rolled by 90" in note for note in record.notices)
    assert bpy.context.scene.frame_current == 9
    assert state.tick_count > before


def test_what_the_artist_left_open_is_the_engines(plaza, state):
    """The guidance depends on the mode (Wan: text 5.0, reference 7.5), as the engine knows."""

    def built(**overrides):
        values = {"prompt": "a test pattern", **overrides}
        return job_request.build(
            plaza,
            bpy.context.view_layer,
            overrides=values,
            camera_names=["Wide"],
            envelope=None,
        )[1]

    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    for mode in ("TEXT", "REFERENCE"):
        request = built(mode=mode)
        assert (request.guidance_scale, request.negative_prompt, request.preset) == (None, None, "")
    plaza.syncam.preset = "preview"
    assert (built().guidance_scale, built().preset) == (None, "preview")
    request = built(guidance=3.25, negative_prompt="fog")
    assert (request.guidance_scale, request.negative_prompt) == (3.25, "fog")
    assert state.envelope_or_none("") == state.envelope_or_none("preview") is not None


def test_same_seed_gives_the_same_bytes(plaza, state):
    """From the button to the pixels that Blender reads back from the files that landed."""

    def clips(seed):
        bpy.ops.syncam.generate(seed=seed, cameras="Wide\nDolly", **RUN)
        return [pixels_of(clip["local"]) for clip in state.ended()[0].clips]

    first, again, other = clips(5), clips(5), clips(6)
    assert first == again
    assert len(set(first + other)) == 4


def pixels_of(path: str) -> bytes:
    """The first picture of a movie, as Blender decodes it."""
    image = bpy.data.images.load(path, check_existing=False)
    image.source = "MOVIE"
    pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.tobytes()


def test_new_seed_each_time_and_variations(plaza, state):
    own = bpy.context.scene.syncam
    own.new_seed = True
    bpy.ops.syncam.generate(cameras="Wide", variations=2, **RUN)
    one, two = state.ended()[:2]
    assert {one.request["variation"], two.request["variation"]} == {0, 1}
    assert own.seed in (one.seed, two.seed)


def test_previz_sends_each_cameras_own_view(plaza, state):
    bpy.ops.syncam.generate(mode="PREVIZ", previz_strength=0.3, cameras="Wide\nDolly", **RUN)
    record = state.ended()[0]
    assert record.state == "done"
    inputs = list((Path(os.environ["SYNCAM_STATE_DIR"]) / "inputs").glob("*/*"))
    assert len(inputs) >= 2
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in inputs[:2])
    assert not [s for s in bpy.data.scenes if s.get("syncam_stage")]
    assert not [o for o in bpy.data.objects if o.get("syncam_stage")]


def test_reference_is_a_file_an_image_or_a_viewport(plaza, state):
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    clip = state.ended()[0].clips[0]["local"]
    own = bpy.context.scene.syncam
    both = {"cameras": "Wide\nDolly", "mode": "REFERENCE", **RUN}
    assert bpy.ops.syncam.generate(reference_file=clip, **both) == {"FINISHED"}
    own.reference_source, own.reference_image = "IMAGE", bpy.data.images["SynCam Wide"]
    assert bpy.ops.syncam.generate(**both) == {"FINISHED"}
    own.reference_source = "VIEWPORT"
    assert bpy.ops.syncam.generate(**both) == {"FINISHED"}
    own.reference_source = "FILE"
    said = refused(reference_file="//no such movie.mp4", **both)
    assert "no such movie.mp4" in said


def test_cancel_is_quick_and_leaves_the_scene(plaza, state):
    before = everything()
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", prompt="sleep=0.3 slow", steps=40, frames=5)
    record = state.running()[0]
    tick_until(state, lambda: record.step >= 1)
    assert bpy.ops.syncam.cancel(job_id=record.job_id) == {"FINISHED"}
    tick_until(state, lambda: not record.is_running)
    assert record.state == "cancelled"
    assert record.step < 40, "it was stopped on its way"
    after = everything()
    after["images"] = [i for i in after["images"] if not i[0].startswith("SynCam Live")]
    assert after == before


def test_queue_pauses_resumes_and_reorders(plaza, state):
    slow = {"wait": "NO", "cameras": "Wide", "frames": 5}
    bpy.ops.syncam.generate(prompt="sleep=0.2 first", steps=30, **slow)
    for word in ("second", "third"):
        bpy.ops.syncam.generate(prompt=f"{word} pattern", steps=1, **slow)
    first, second, third = sorted(state.running(), key=lambda r: r.created_unix_s)
    tick_until(state, lambda: first.state == "running" and third.state == "queued")
    bpy.ops.syncam.pause(job_id=second.job_id)
    tick_until(state, lambda: second.state == "paused")
    bpy.ops.syncam.pause(job_id=second.job_id)
    tick_until(state, lambda: second.state == "queued")
    bpy.ops.syncam.move_job(job_id=third.job_id, direction="UP")
    tick_until(state, lambda: third.position < second.position)
    bpy.ops.syncam.cancel(job_id=first.job_id)
    tick_until(state, lambda: state.is_settled([first.job_id, second.job_id, third.job_id]))
    assert (second.state, third.state) == ("done", "done")


def test_no_camera(scene):
    assert "has no camera" in refused(**RUN)
    thing = add_camera(scene, "Only")
    from blender_addon import settings

    settings.sync_rig(scene)
    scene.syncam.rig[0].use = False
    assert "No camera of the scene" in refused(**RUN)
    assert "no camera 'Other'" in refused(cameras="Other", **RUN)
    assert thing.name == "Only"


def test_bad_cameras_are_named(scene):
    add_camera(scene, "Good")
    add_camera(scene, "Flat «1»").data.type = "ORTHO"
    assert "'Flat «1»' is orthographic" in refused(**RUN)
    bpy.data.objects["Flat «1»"].data.type = "PANO"
    assert "'Flat «1»' is panoramic" in refused(**RUN)
    bpy.data.objects["Flat «1»"].data.type = "PERSP"
    bpy.data.objects["Flat «1»"].location.x = float("nan")
    assert "'Flat «1»' has a pose that is not finite" in refused(**RUN)


@pytest.mark.parametrize("is_told", [False, True])
def test_bad_numbers_are_refused_with_the_nearest(plaza, state, is_told):
    """Before the engine told of its presets, and after."""
    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    envelope = state.envelope_or_none("preview")
    if not is_told:
        state.disconnect()
    size = "{}x{}".format(*envelope.sizes[0])
    long = envelope.prompt_characters + 1
    most = envelope.steps[1]
    assert "prompt is empty" in refused(prompt="  ", frames=5)
    assert "5000 characters" in refused(prompt="x" * 5000, frames=5)
    assert f"{long} characters" in refused(prompt="x" * long, frames=5)
    assert f"the nearest is {size}" in refused(size="1611x967", **RUN)
    assert "'wide' is not WIDTHxHEIGHT" in refused(size="wide", **RUN)
    assert "nearest is 17" in refused(prompt="a", frames=16)
    assert "nearest is" in refused(prompt="a", frames=500001)
    assert f"the nearest is {most}" in refused(prompt="a", frames=5, steps=100000)
    assert "the nearest is 1." in refused(prompt="a", frames=5, steps=-2)
    assert "no preset 'huge'" in refused(preset="huge", **RUN)


def test_too_many_cameras(scene, state):
    for k in range(20):
        add_camera(scene, f"Cam {k}", (k - 3, -6, 1.5))
    assert "20 cameras; this preset takes 1 to" in refused(**RUN)


def test_camera_outside_the_envelope_is_said_and_allowed(scene, state):
    add_camera(scene, "Long").data.lens = 135
    assert bpy.ops.syncam.generate(**RUN) == {"FINISHED"}
    assert any("'Long' has a horizontal field of view" in n for n in state.ended()[0].notices)


def test_full_disk_says_so(plaza, state):
    assert "disk" in refused(prompt="full", steps=2, frames=5, cameras="Wide").lower()


def test_engine_killed_mid_job_is_recovered(plaza, state):
    bpy.ops.syncam.generate(wait="NO", cameras="Wide", prompt="sleep=0.2 slow", steps=12, frames=5)
    record = state.running()[0]
    tick_until(state, lambda: record.step >= 1)
    seen = []
    told = []
    state.ask_status(told.append)
    tick_until(state, lambda: bool(told))
    os.kill(told[0].pid, signal.SIGKILL)

    def is_back():
        seen.append(state.engine.state)
        return "lost" in seen and state.engine.state in ("ready", "loading")

    tick_until(state, is_back)
    assert "started again" in state.notice
    tick_until(state, lambda: state.is_settled([record.job_id]))
    assert record.state == "done", record.sentence


def test_worker_that_dies_each_time_fails_the_job_in_words(plaza, state):
    said = refused(prompt="crash", steps=2, frames=5, cameras="Wide")
    assert said.endswith(".")
    assert len(said) < 300
    assert bpy.ops.syncam.generate(cameras="Wide", **RUN) == {"FINISHED"}


def test_no_engine(plaza, state, monkeypatch, tmp_path):
    with other_engine(state, monkeypatch, tmp_path):
        monkeypatch.setenv("SYNCAM_ENGINE_PYTHON", "/nowhere/python")
        monkeypatch.setattr("syncam_engine.link.launch._candidates", lambda _wanted: [])
        assert "No SynCam engine is installed" in refused(**RUN)
        assert state.engine.state == "not found"


def test_engine_of_another_protocol(plaza, state, monkeypatch, tmp_path):
    with other_engine(state, monkeypatch, tmp_path):
        path = socket_path(tmp_path / "other")
        private_dir(path.parent)
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        router.bind(f"ipc://{path}")
        try:
            assert "another version" in speak_wrongly(state, router)
            assert state.engine.state == "version mismatch"
        finally:
            router.close()
            context.term()


def speak_wrongly(state, router) -> str:
    """Answer every message as an engine of protocol 99 would, until the job ended."""
    import msgpack

    bpy.ops.syncam.generate(wait="NO", **RUN)
    record = state.running()[0]
    deadline_s = time.monotonic() + 30
    while record.is_running and time.monotonic() < deadline_s:
        state.tick()
        if router.poll(5):
            sender, header, *_ = router.recv_multipart()
            parent = msgpack.unpackb(header)["id"]
            answer = {"v": 99, "id": "x" * 8, "type": "hello", "parent": parent}
            router.send_multipart([sender, msgpack.packb(answer), msgpack.packb({})])
    return record.sentence
