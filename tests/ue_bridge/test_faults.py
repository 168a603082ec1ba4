# SPDX-License-Identifier: Apache-2.0
"""Bad input at the panel: one sentence, nothing is sent, nothing half-made is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from unreal_scenes import place_camera

from syncam_engine.link.engine_facts import PresetInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Reply
from syncam_engine.link.messages import ClipResult, Done, ErrorInfo

PRESET = PresetInfo(
    name="preview", default=True, defaults={"frames": 17, "width": 160, "height": 96, "fps": 15}
)


@pytest.fixture
def plugin(plugin, monkeypatch):
    """The bridge, with an engine that seems to answer; `plugin.sent` is what would reach it."""
    plugin.sent = []
    monkeypatch.setattr(plugin.controller, "_preset", lambda: PRESET)
    monkeypatch.setattr(
        plugin.client, "submit", lambda request, clips: plugin.sent.append((request, clips))
    )
    plugin.controller.fields.prompt = "a fox"
    plugin.controller.fields.source = "all"
    return plugin


def generate(plugin, editor):
    plugin.controller.generate()
    for _ in range(200):
        if plugin.controller._task is None:
            return
        editor.tick()
    raise AssertionError(plugin.controller.status)


def files_of(tmp_path):
    return {p for p in tmp_path.rglob("*") if p.is_file() and p.name != "state.json"}


def spoil_lens(unreal, actor):
    component = actor.get_cine_camera_component()
    film = component.filmback
    film.sensor_width = 0.0
    component.set_editor_property("filmback", film)


def spoil_projection(unreal, actor):
    actor.get_cine_camera_component().set_projection_mode(unreal.CameraProjectionMode.ORTHOGRAPHIC)


def spoil_content(unreal):
    content = Path(unreal.Paths.project_content_dir())
    content.rmdir()
    content.write_text("a file where the folder should be")


CASES = {
    "no cameras": (lambda u, e, f, a: e.remove_actor(a), "The level has no camera."),
    "orthographic": (lambda u, e, f, a: spoil_projection(u, a), "Camera 'camA' is orthographic"),
    "zero filmback": (lambda u, e, f, a: spoil_lens(u, a), "Camera 'camA' has a filmback of 0 x"),
    "playing": (lambda u, e, f, a: setattr(e, "pie", True), "The level is playing"),
    "unsaved level": (lambda u, e, f, a: e.open_level("/Temp/Untitled"), "has never been saved"),
    "unloaded cells": (lambda u, e, f, a: unload(e), "1 camera(s) of this World Partition level"),
    "unwritable content": (lambda u, e, f, a: spoil_content(u), "Content folder"),
    "no sequence": (lambda u, e, f, a: setattr(f, "source", "cuts"), "No Level Sequence is open"),
    "unknown anchor": (
        lambda u, e, f, a: setattr(f, "anchor", "camZ"), "The anchor camera 'camZ' is none of",
    ),
    "bad strength": (
        lambda u, e, f, a: setattr(f, "previz_strength", "2"), "The previz strength is '2'",
    ),
    "no clips": (lambda u, e, f, a: give(f, "previz", "/nowhere"), "has no camA.mp4"),
    "no reference": (lambda u, e, f, a: give(f, "reference", "/nowhere.mp4"), "is not a file"),
    "no track": (lambda u, e, f, a: setattr(f, "media_tracks", "yes"), "no Level Sequence is open"),
    "views fail": (lambda u, e, f, a: fail_views(e, f), "The view of camera 'camA' was not"),
}  # fmt: skip


def unload(editor):
    """A cell with a camera of the same label as one that is here."""
    editor.world_settings._partitioned = True
    editor.unloaded_actors = ["camA"]


def give(fields, mode, clips):
    fields.mode, fields.clips = mode, clips


def fail_views(editor, fields):
    editor.export_fails = True
    fields.mode = "previz"


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence_and_leaves_nothing(unreal, editor, plugin, tmp_path, case):
    spoil, said = CASES[case]
    actor = place_camera(unreal, "camA")
    spoil(unreal, editor, plugin.controller.fields, actor)
    actors, assets, files = list(editor.actors), dict(editor.assets), files_of(tmp_path)
    generate(plugin, editor)
    assert [title for title, _ in editor.dialogs] == ["SynCam: The job was not sent"]
    text = editor.dialogs[0][1]
    assert said in text
    assert "\n" not in text
    assert len(editor.errors()) == 1, "logged too"
    assert plugin.sent == []
    assert plugin.controller.history == []
    assert (editor.actors, editor.assets, files_of(tmp_path)) == (actors, assets, files)
    assert editor.render_targets == []
    assert editor.callback_errors == []


def test_what_is_right_is_sent(unreal, editor, plugin, tmp_path):
    """The counterpart of the above: the same job without a fault."""
    place_camera(unreal, "camA")
    plugin.controller.fields.previz_strength = "0.35"
    generate(plugin, editor)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "camA.mp4").write_bytes(b"a clip")
    give(plugin.controller.fields, "previz", str(folder))
    generate(plugin, editor)
    give(plugin.controller.fields, "reference", str(folder / "camA.mp4"))
    generate(plugin, editor)
    plugin.controller.fields.previz_strength = ""
    give(plugin.controller.fields, "previz", "")
    generate(plugin, editor)
    assert editor.dialogs == []
    modes = [(request.mode, clips) for request, clips in plugin.sent[:3]]
    own = [folder / "camA.mp4"]
    assert modes == [("text", []), ("previz", own), ("reference", own)]
    assert plugin.sent[0][0].previz_strength == 0.35
    request, clips = plugin.sent[3]
    assert request.previz_strength is None
    assert clips[0].startswith(b"\x89PNG")


def test_the_history_forgets_no_job_that_has_not_ended(unreal, editor, plugin):
    from syncam_unreal.controller import HISTORY_LENGTH

    place_camera(unreal, "camA")
    for _ in range(HISTORY_LENGTH + 2):
        generate(plugin, editor)
    sent = [request.job_id for request, _ in reversed(plugin.sent)]
    assert [job.job_id for job in plugin.controller.history] == sent
    for job in plugin.controller.history[1:]:
        job.state = "done"
    generate(plugin, editor)
    assert len(plugin.controller.history) == HISTORY_LENGTH


def test_clips_that_could_not_be_fetched_are_fetched_when_they_are_to_be_shown(
    unreal, editor, plugin, tmp_path, monkeypatch
):
    place_camera(unreal, "camA")
    place_camera(unreal, "camB", (0, 300, 100))
    generate(plugin, editor)
    (job,) = plugin.controller.history
    clips = [
        ClipResult(camera=name, index=k, digest="0" * 64, bytes=4, frames=17, width=160, height=96)
        for k, name in enumerate(("camA", "camB"))
    ]
    watched = []
    monkeypatch.setattr(plugin.client, "fetch", lambda job_id, clip, target: clip.camera)
    monkeypatch.setattr(plugin.client, "watch", lambda job_id, asked: watched.append(job_id))
    monkeypatch.setattr(plugin.controller, "_check_engine", lambda: None)

    def hear(*events):
        monkeypatch.setattr(plugin.client, "poll", lambda: list(events))
        editor.tick()
        monkeypatch.setattr(plugin.client, "poll", lambda: [])

    def came(name):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(b"clip")
        clip = next(clip for clip in clips if clip.camera == name)
        return Fetched(message_id=name, job_id=job.job_id, clip=clip, path=str(path))

    full = ErrorInfo(code="fetch.write", sentence="The disk is full.")
    hear(Done(job_id=job.job_id, clips=clips))
    hear(came("camA"), Reply(message_id="camB", body=full))
    assert (job.state, job.sentence) == ("done", "1 of 2 clips could not be fetched.")
    assert plugin.controller.view().can_apply
    plugin.controller.apply()
    assert watched == [job.job_id]
    hear(Done(job_id=job.job_id, clips=clips))
    hear(came("camA"), came("camB"))
    assert (job.state, job.sentence) == ("done", "Done.")
    assert [clip["camera"] for clip in job.clips] == ["camA", "camB"]


def test_a_rig_that_cannot_be_written_is_said_so(unreal, editor, plugin, tmp_path):
    """An export's fault has the export's own heading."""
    place_camera(unreal, "camA")
    (tmp_path / "Project/Saved/SynCam").mkdir(parents=True, exist_ok=True)
    (tmp_path / "Project/Saved/SynCam/rigs").write_text("no folder")
    plugin.controller.export_rig()
    for _ in range(3):
        editor.tick()
    assert [title for title, _ in editor.dialogs] == ["SynCam: The rig was not written"]


def test_an_engine_or_project_that_lacks_a_part_starts_nothing(unreal, editor, tmp_path):
    import stand_in

    for options, said in (
        ({"version": "5.3"}, "This is Unreal Engine 5.3; SynCam needs 5.4 to 5.7."),
        ({"without_plugins": ("SequencerScripting",)}, "'Sequencer Scripting' is not enabled"),
        ({"without_plugins": ("EditorScriptingUtilities",)}, "'Editor Scripting Utilities'"),
        ({"without_plugins": ("MediaPlayerEditor",)}, "'Media Player Editor' is not enabled"),
    ):
        module = stand_in.make_unreal(project_dir=tmp_path / "Project", **options)
        stand_in.install(module)
        from syncam_unreal import plugin

        assert plugin.start(state_dir=tmp_path / "engine") is None
        other = module._editor
        assert len(other.errors()) == 1
        assert said in other.errors()[0]
        assert (other.slate_ticks, other.tickers, other.shutdown_callbacks) == ({}, {}, {})
        assert (other.menus, other.assets) == ({}, {})


def test_media_plates_without_their_plugin_are_refused_before_the_job(tmp_path):
    import stand_in

    module = stand_in.make_unreal(project_dir=tmp_path / "Project", without_plugins=("MediaPlate",))
    stand_in.install(module)
    from syncam_unreal.panel_state import PanelFields
    from syncam_unreal.unreal_host import UnrealHost

    UnrealHost().check_ready(PanelFields())
    with pytest.raises(SynCamError, match="'Media Plate' is not enabled"):
        UnrealHost().check_ready(PanelFields(style="media plate"))
