# SPDX-License-Identifier: Apache-2.0
"""What comes between while clips are brought into the level: nothing half-made is left behind."""

from __future__ import annotations

import pytest
from test_results import make_clips, show
from unreal_scenes import place_camera

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Reply
from syncam_engine.link.messages import Acknowledged


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
