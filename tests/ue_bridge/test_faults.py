# SPDX-License-Identifier: Apache-2.0
"""Bad input at the panel: one sentence, nothing is sent, nothing half-made is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_results import make_clips, show
from unreal_scenes import make_sequence, place_ball, place_camera

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Reply
from syncam_engine.link.messages import Acknowledged, ClipResult, Done, ErrorInfo, PresetInfo

PRESET = PresetInfo(
    name="preview", default=True, defaults={"frames": 17, "width": 160, "height": 96, "fps": 15}
)


@pytest.fixture
def plugin(unreal, tmp_path, monkeypatch):
    """The bridge, with an engine that seems to answer; `plugin.sent` is what would reach it."""
    from syncam_unreal import plugin as module

    instance = module.start(state_dir=tmp_path / "engine")
    instance.sent = []
    monkeypatch.setattr(instance.controller, "_preset", lambda: PRESET)
    monkeypatch.setattr(
        instance.client, "submit", lambda request, clips: instance.sent.append((request, clips))
    )
    instance.controller.fields.prompt = "a fox"
    instance.controller.fields.source = "all"
    yield instance
    instance.close()


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
    assert request.previz_strength == 0.6
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
    monkeypatch.setattr(plugin.client, "watch", watched.append)
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


# ---- half-way ----


def finished_job(plugin, tmp_path, cameras):
    from syncam_unreal.level_cameras import LevelScope, read_level_rig
    from syncam_unreal.panel_state import JobRecord

    from syncam_engine.link.rig_json import rig_to_dict

    clips = make_clips(tmp_path / "done", cameras)
    job = JobRecord(
        job_id="d" * 32, prompt="p", seed=1, take="T", state="done",
        rig=rig_to_dict(read_level_rig(LevelScope(which="all"))),
        clips=[
            {"camera": c.camera, "path": str(c.path), "width": 160, "height": 96, "frames": 17,
             "fps": [15, 1]} for c in clips
        ],
    )  # fmt: skip
    plugin.controller.history.insert(0, job)
    return job


def test_the_map_changes_while_clips_are_brought_in(unreal, editor, plugin, tmp_path, monkeypatch):
    """They begin anew in the level that is open then: all of them, and once."""
    begun, show_now = [], plugin.host.show
    monkeypatch.setattr(
        plugin.host, "show", lambda job, fields: begun.append(job) or show_now(job, fields)
    )
    for name in ("camA", "camB", "camC"):
        place_camera(unreal, name)
    finished_job(plugin, tmp_path, ["camA", "camB", "camC"])
    plugin.controller.apply()
    plugin.controller.apply()
    editor.tick()
    plugin.controller.apply()
    editor.tick()
    planes = [a for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert len(planes) == 1, "half way"
    editor.saved.add("/Game/Maps/Other")
    level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
    assert level.load_level("/Game/Maps/Other")
    for _ in range(20):
        editor.tick()
    planes = [a for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert len(planes) == 3
    assert plugin.host.playbacks["T"].state == "playing"
    assert len(begun) == 2, "once in each level, however often it was asked for"
    assert editor.dialogs == []
    assert [text for level, text in editor.log if level != "log"] == []


def test_the_job_chosen_in_the_history_is_shown(unreal, editor, plugin, tmp_path):
    place_camera(unreal, "camA")
    older = finished_job(plugin, tmp_path, ["camA"])
    older.prompt, older.take = "the older one", "Old"
    newer = finished_job(plugin, tmp_path, ["camA"])
    newer.job_id = "e" * 32
    plugin.open_panel()
    history = plugin.panel._widgets["History"]
    assert history.get_option_count() == 2
    history.set_selected_option(older.label)
    plugin.panel._widgets["Apply"].on_clicked.broadcast()
    for _ in range(20):
        editor.tick()
    assert list(plugin.host.playbacks) == ["Old"]


def test_a_job_that_is_removed_half_shown_is_taken_back(unreal, editor, plugin, tmp_path):
    for name in ("camA", "camB"):
        place_camera(unreal, name)
    job = finished_job(plugin, tmp_path, ["camA", "camB"])
    fetched = plugin.host.downloads(job.job_id)
    fetched.mkdir(parents=True)
    plugin.controller.apply()
    editor.tick()
    editor.tick()
    assert len(editor.actors) == 3
    plugin.controller._removing["the call"] = job
    plugin.controller._hear(Reply(message_id="the call", body=Acknowledged()))
    for _ in range(20):
        editor.tick()
    assert len(editor.actors) == 2
    assert plugin.controller.history == []
    assert not fetched.exists()
    assert editor.dialogs == []


def test_a_reload_while_clips_are_brought_in_takes_them_back(unreal, editor, plugin, tmp_path):
    for name in ("camA", "camB"):
        place_camera(unreal, name)
    finished_job(plugin, tmp_path, ["camA", "camB"])
    plugin.controller.apply()
    editor.tick()
    editor.tick()
    assert len(editor.actors) == 3
    plugin.close()
    assert len(editor.actors) == 2
    assert [p for p in editor.assets if not p.startswith("/Engine")] == []


def test_a_second_job_that_fails_leaves_the_first_as_it_was(unreal, editor, tmp_path, monkeypatch):
    actor = place_camera(unreal, "camA")
    place_camera(unreal, "camB")
    _, first, _ = show(unreal, tmp_path)
    stood = first.plates["camA"].get_actor_transform().translation
    path, assets = first.sources["camA"].file_path, set(editor.assets)
    from syncam_unreal import results

    real = results.materials.plate_instance

    def fails(maker, name, *rest):
        if name.endswith("camB"):
            raise SynCamError("unreal.material", "The second camera's material fails.")
        return real(maker, name, *rest)

    monkeypatch.setattr(results.materials, "plate_instance", fails)
    actor.set_actor_location_and_rotation(unreal.Vector(0, 900, 0), unreal.Rotator(), False, False)
    before = first.plates["camA"].get_actor_transform().translation
    assert before.y != stood.y, "it follows its camera"
    with pytest.raises(SynCamError):
        show(unreal, tmp_path, job="ffff0000aaaa", distance_m=3.0)
    after = first.plates["camA"].get_actor_transform().translation
    assert (after.x, after.y, after.z) == pytest.approx((before.x, before.y, before.z))
    assert first.sources["camA"].file_path == path
    assert first.files["camA"].is_file()
    assert set(editor.assets) == assets
    assert not list(tmp_path.rglob("*ffff0000*.mp4"))


def test_undo_goes_on_past_a_call_that_fails(unreal, editor):
    from syncam_unreal.undo import Undo

    undo, made = Undo(), []
    undo.on_undo(lambda: made.append("first"))
    undo.on_undo(lambda: 1 / 0)
    undo.on_undo(lambda: made.append("last"))
    undo.undo()
    assert made == ["last", "first"]
    assert any("taken back" in text for level, text in editor.log if level == "warning")


def test_names_that_differ_in_case_only_are_two_cameras(unreal, editor, tmp_path):
    place_camera(unreal, "Cam")
    place_camera(unreal, "cam", (0, 300, 0))
    _, shown, _ = show(unreal, tmp_path)
    sources = {str(source.file_path).casefold() for source in shown.sources.values()}
    assert len(sources) == 2
    assert len({path.casefold() for path in editor.assets if "/MP_" in path}) == 2
    assert shown.plates["Cam"] is not shown.plates["cam"]


def test_another_style_takes_the_place_of_the_old_planes(unreal, editor, tmp_path):
    place_camera(unreal, "camA")
    place_ball(unreal, "the user's own", (0, 0, 0))
    show(unreal, tmp_path)
    _, plates, _ = show(unreal, tmp_path, job="ffff0000aaaa", style="media plate")
    meshes = [a.get_actor_label() for a in editor.actors if isinstance(a, unreal.StaticMeshActor)]
    assert meshes == ["the user's own"]
    assert isinstance(plates.plates["camA"], unreal.MediaPlate)


def test_planes_of_cameras_of_one_label_follow_their_own(unreal, tmp_path):
    first = place_camera(unreal, "Cam")
    place_camera(unreal, "Cam", (0, 300, 0))
    _, shown, _ = show(unreal, tmp_path)
    plate = shown.plates[f"Cam [{first.get_name()}]"]
    before = plate.get_actor_location()
    first.set_actor_location_and_rotation(unreal.Vector(0, 0, 70), unreal.Rotator(), False, False)
    assert plate.get_actor_location().z == pytest.approx(before.z + 70)


def test_another_sequence_that_was_open_comes_back(unreal, editor):
    from syncam_unreal import compat
    from syncam_unreal.sequence_cameras import opened

    mine, other = make_sequence(unreal, editor, "Mine"), make_sequence(unreal, editor, "Other")
    library = unreal.LevelSequenceEditorBlueprintLibrary
    library.open_level_sequence(mine)
    compat.set_playhead(7)
    with opened(other):
        assert library.get_current_level_sequence() is other
        compat.set_playhead(3)
    assert library.get_current_level_sequence() is mine
    assert compat.playhead() == 7
    with opened(other):
        library.close_level_sequence()
    assert library.get_current_level_sequence() is None, "what the user did stands"
