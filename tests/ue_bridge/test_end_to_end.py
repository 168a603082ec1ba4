# SPDX-License-Identifier: Apache-2.0
"""The editor's loop ticks, a real engine process works, four textures show four different clips.

The engine is the project's own server and worker; where only its behaviour matters the worker
paints instead of sampling, and the last test runs the preview preset itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unreal_jobs import generate, place_rig, playing, ready, texture_digests, tick_until
from unreal_scenes import make_sequence, move, place_camera

from syncam_engine.devtools.harness import LocalEngine
from syncam_engine.media.read import read_clip
from syncam_engine.model.presets import package_folder

pytestmark = pytest.mark.processes

PREVIEW = package_folder("preview") / "preset.json"


@pytest.fixture
def state_dir(engine):
    return engine.state_dir


def test_four_cameras_four_clips(unreal, editor, plugin):
    place_rig(unreal)
    ready(plugin, editor)
    plugin.open_panel()
    job = generate(plugin, editor, "a small stage sleep=0.02")
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)
    assert job.state == "done"
    digests = texture_digests(editor, plugin)
    assert sorted(digests) == ["camA", "camB", "camC", "camD"]
    assert len(set(digests.values())) == 4
    for clip in job.clips:
        copied = plugin.host.playbacks["Take1"].shown.files[clip["camera"]]
        assert copied.read_bytes() == Path(clip["path"]).read_bytes(), "each on its own camera"
    texts = plugin.panel._widgets
    tick_until(editor, lambda: "in the level" in str(texts["StatusText"].get_text()))
    assert texts["Apply"].is_enabled
    assert texts["Preview"]._texture._bytes.startswith(b"\x89PNG"), "previews were drawn"
    assert texts["History"].get_option_count() == 1
    second = generate(plugin, editor, "another stage")
    tick_until(
        editor, lambda: second.ended and playing(plugin) and not plugin.controller._shower.busy
    )
    tick_until(editor, lambda: set(texture_digests(editor, plugin).values()).isdisjoint(
        digests.values()))  # fmt: skip
    planes = [a for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert len(planes) == 4, "the second job uses the first one's planes"


def test_the_engine_is_killed_and_comes_back(unreal, editor, plugin, engine):
    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.3")
    tick_until(editor, lambda: job.state == "running" and job.progress > 0)
    engine.kill()
    tick_until(editor, lambda: plugin.client.state == "lost")
    assert not job.ended, "a job is not lost with its engine"
    assert plugin.controller.view().engine
    engine.start()
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)
    assert job.state == "done"
    assert len(set(texture_digests(editor, plugin).values())) == 2


def test_a_job_is_cancelled(unreal, editor, plugin):
    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.5")
    tick_until(editor, lambda: job.state == "running")
    plugin.controller.cancel()
    plugin.controller.cancel()
    tick_until(editor, lambda: job.ended)
    assert job.state == "cancelled"
    for _ in range(20):
        editor.tick()
    assert not plugin.host.playbacks
    assert not [p for p in editor.assets if "Take1" in p]
    assert editor.dialogs == [], "the user asked for it: no dialog"


def test_the_chosen_job_is_cancelled_and_removed(unreal, editor, plugin, engine):
    place_rig(unreal, 2)
    ready(plugin, editor)
    plugin.open_panel()
    running = generate(plugin, editor, "slow sleep=1.0", steps="50")
    waiting = generate(plugin, editor, "the one that waits")
    tick_until(editor, lambda: (running.state, waiting.state) == ("running", "queued"))
    widgets, jobs = plugin.panel._widgets, engine.state_dir / "jobs"
    chosen = widgets["History"].get_selected_option

    def click(name):
        tick_until(editor, lambda: widgets[name].is_enabled)
        widgets[name].on_clicked.broadcast()

    tick_until(editor, lambda: widgets["History"].get_option_count() == 2)
    tick_until(editor, lambda: plugin.panel._listed.get(waiting.label))
    widgets["History"].set_selected_option(waiting.label)
    click("CancelJob")
    tick_until(editor, lambda: waiting.ended)
    assert (waiting.state, running.state) == ("cancelled", "running")
    tick_until(editor, lambda: chosen() == waiting.label)
    click("CancelJob")
    assert plugin.controller.status == "The job has ended already: cancelled."
    assert (jobs / waiting.job_id).is_dir()
    click("RemoveJob")
    tick_until(editor, lambda: plugin.controller.history == [running])
    assert not (jobs / waiting.job_id).exists()
    assert editor.dialogs == []
    plugin.controller.remove(running.job_id)
    assert editor.dialogs == [
        ("SynCam: The job was not removed", "The job has not ended yet. Cancel it first.")
    ]
    plugin.controller.cancel(running.job_id)
    tick_until(editor, lambda: running.ended)
    assert running.state == "cancelled"


def test_clips_in_the_level_outlive_their_job(unreal, editor, plugin, engine):
    from syncam_unreal import plugin as module

    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "a small stage")
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)
    shown = texture_digests(editor, plugin)
    module.run("remove")
    tick_until(editor, lambda: plugin.controller.history == [])
    assert not (engine.state_dir / "jobs" / job.job_id).exists()
    assert texture_digests(editor, plugin) == shown
    assert plugin.host.load()["history"] == []
    plugin.controller.remove()
    assert plugin.controller.status == "There is no job that has ended."


def test_too_many_cameras_are_refused_before_the_job(unreal, editor, plugin):
    place_rig(unreal, 6)
    place_camera(unreal, "camG", (0, 900, 150))
    ready(plugin, editor)
    fields = plugin.controller.fields
    fields.prompt, fields.source = "a small stage", "all"
    plugin.controller.generate()
    tick_until(editor, lambda: not plugin.controller._task)
    assert plugin.controller.history == []
    assert editor.dialogs[-1] == (
        "SynCam: The job was not sent",
        "The rig has 7 cameras; this preset takes 1 to 6. Use 6 cameras.",
    )


def test_what_comes_late_for_an_ended_job_is_ignored(unreal, editor, plugin):
    from syncam_engine.link.messages import Progress

    place_rig(unreal, 1)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.5")
    plugin.controller.cancel(job.job_id)
    tick_until(editor, lambda: job.ended)
    plugin.controller._hear(Progress(job_id=job.job_id, step=3, steps=4))
    assert (job.state, plugin.controller.view().can_cancel) == ("cancelled", False)


def test_a_failed_job_is_said(unreal, editor, plugin):
    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "this one is broken")
    tick_until(editor, lambda: job.ended)
    assert job.state == "failed"
    assert editor.dialogs
    assert editor.dialogs[-1][0] == "SynCam: The job failed"


def test_the_map_changes_while_a_job_runs(unreal, editor, plugin):
    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.2")
    tick_until(editor, lambda: job.state == "running")
    editor.saved.add("/Game/Maps/Other")
    assert unreal.get_editor_subsystem(unreal.LevelEditorSubsystem).load_level("/Game/Maps/Other")
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)
    assert len(set(texture_digests(editor, plugin).values())) == 2
    planes = [a for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert len(planes) == 2, "in the level that is open now, without its cameras"


def test_clips_of_a_remote_engine_are_fetched(unreal, editor, plugin, monkeypatch, tmp_path):
    """As from another machine, whose files cannot be opened here: the clips come by the wire."""
    place_rig(unreal, 3)
    ready(plugin, editor)
    monkeypatch.setattr(plugin.client, "local_file", lambda *_: None)
    job = generate(plugin, editor, "a small stage")
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)
    assert job.state == "done"
    assert [clip["camera"] for clip in job.clips] == ["camA", "camB", "camC"]
    saved = tmp_path / "Project" / "Saved" / "SynCam" / "clips" / job.job_id
    assert {Path(clip["path"]).parent for clip in job.clips} == {saved}
    assert len(set(texture_digests(editor, plugin).values())) == 3


def test_clips_wait_until_playing_ends(unreal, editor, plugin):
    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.1")
    editor.pie = True
    tick_until(editor, lambda: job.ended)
    for _ in range(20):
        editor.tick()
    assert "when playing ends" in plugin.controller.status
    assert editor.dialogs == []
    editor.pie = False
    tick_until(editor, lambda: playing(plugin))


def test_a_sequence_is_read_and_one_that_closes_is_said(unreal, editor, plugin):
    sequence = make_sequence(unreal, editor, end=120)
    for index in range(2):
        actor = place_camera(unreal, f"cam{index}", (0, 150 * index, 150), (0, 0, 5 * index))
        move(unreal, sequence.add_possessable(actor), 0.0, 300.0, 90)
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    ready(plugin, editor)
    fields = plugin.controller.fields
    fields.source, fields.prompt, fields.first_frame = "sequence", "a moving shot", "10"
    plugin.controller.generate()
    editor.tick()
    assert plugin.controller._task, "a few frames a tick"
    unreal.LevelSequenceEditorBlueprintLibrary.close_level_sequence()
    tick_until(editor, lambda: not plugin.controller._task)
    assert plugin.controller.status.startswith("The sequence was closed")
    assert plugin.controller.history == []
    unreal.LevelSequenceEditorBlueprintLibrary.open_level_sequence(sequence)
    job = generate(plugin, editor, "a moving shot", source="sequence", first_frame="10")
    assert len(job.rig["cameras"][0]["c2w_cv_m"]) > 4, "one pose a picture"
    assert job.first_frame == 10
    tick_until(editor, lambda: playing(plugin), why=lambda: plugin.controller.status)


def test_the_module_is_reloaded_while_a_job_runs(unreal, editor, plugin, engine):
    from syncam_unreal import plugin as module

    place_rig(unreal, 2)
    ready(plugin, editor)
    job = generate(plugin, editor, "slow sleep=0.3")
    tick_until(editor, lambda: job.state == "running")
    import importlib

    module.stop()
    module = importlib.reload(module)
    fresh = module.start(state_dir=engine.state_dir)
    try:
        assert fresh.controller.history[0].job_id == job.job_id
        assert fresh.client.client_id == plugin.client.client_id
        tick_until(editor, lambda: playing(fresh), why=lambda: fresh.controller.status)
        assert fresh.controller.history[0].state == "done"
        assert len(set(texture_digests(editor, fresh).values())) == 2
    finally:
        module.stop()


@pytest.mark.skipif(not PREVIEW.is_file(), reason="THE PREVIEW WEIGHTS ARE NOT IN THIS TREE")
def test_the_preview_preset_itself(unreal, editor, monkeypatch):
    engine = LocalEngine()
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine.environment["SYNCAM_CONFIG_DIR"])
    from syncam_unreal import plugin as module

    try:
        engine.start()
        plugin = module.start(state_dir=engine.state_dir)
        place_rig(unreal)
        tick_until(editor, lambda: plugin.client.state == "ready", 300)
        job = generate(plugin, editor, "a man walks on a plaza", steps="2")
        tick_until(editor, lambda: playing(plugin), 600, lambda: plugin.controller.status)
        assert job.state == "done"
        assert len(set(texture_digests(editor, plugin).values())) == 4
        clips = [read_clip(Path(c["path"])).frames_THW3 for c in job.clips]
        assert {clip.shape for clip in clips} == {clips[0].shape}
        for index, clip in enumerate(clips):
            for other in clips[index + 1 :]:
                assert np.abs(clip.astype(int) - other.astype(int)).mean() > 0.5
    finally:
        module.stop()
        engine.close()
