# SPDX-License-Identifier: Apache-2.0
"""The plugin starts clean, goes on past faults, keeps its settings, and reloads and stops whole."""

from __future__ import annotations

import json

import pytest
from unreal_scenes import place_camera


def start(tmp_path, **options):
    from syncam_unreal import plugin

    return plugin.start(state_dir=tmp_path / "engine", **options)


def test_menu_commands_run_as_the_editor_runs_them(unreal, editor, plugin):
    for entry in editor.menus["LevelEditor.MainMenu.Tools.SynCam"]._entries.values():
        kind, command = entry._command
        assert kind == "PYTHON"
        compile(command, "menu", "exec")
    exec(entry._command[1], {})  # reload: the last entry
    from syncam_unreal import plugin as module

    assert module.running is not plugin
    assert plugin._closed
    module.stop()


def test_start_is_one_instance_and_stop_is_complete(unreal, editor, tmp_path):
    from syncam_unreal import plugin as module

    first = start(tmp_path)
    second = start(tmp_path)
    assert first._closed
    assert len(editor.slate_ticks) + len(editor.tickers) == 1
    module.stop()
    module.stop()
    second.close()
    assert editor.slate_ticks == {}
    assert editor.shutdown_callbacks == {}
    assert not [name for name in editor.menus if name.endswith("SynCam")]
    assert json.loads((tmp_path / "Project/Saved/SynCam/state.json").read_text())["client_id"]


@pytest.mark.parametrize("unreal", ["5.7"], indirect=True)
def test_the_core_ticker_is_used_where_there_is_one(unreal, editor, plugin):
    assert len(editor.tickers) == 1
    assert editor.slate_ticks == {}
    for _ in range(5):
        editor.tick()
    assert len(editor.tickers) == 1, "it asks to be called again"
    plugin.close()
    assert editor.tickers == {}


def test_the_editors_shutdown_closes_it(unreal, editor, plugin):
    editor.shut_down()
    assert plugin._closed
    assert plugin.client.state == "closed"
    assert editor.callback_errors == []


def test_importlib_reload_stops_the_old_instance(unreal, editor, plugin, tmp_path):
    import importlib

    from syncam_unreal import plugin as module

    module = importlib.reload(module)
    fresh = module.start(state_dir=tmp_path / "engine")
    assert plugin._closed
    assert len(editor.slate_ticks) == 1
    fresh.close()


def test_a_fault_of_its_own_stops_it_and_not_the_editor(unreal, editor, plugin, monkeypatch):
    monkeypatch.setattr(plugin.controller, "tick", lambda: 1 / 0)
    editor.tick()
    editor.tick()
    assert editor.callback_errors == [], "the editor's tick never sees it"
    assert editor.slate_ticks == {}
    assert len(editor.dialogs) == 1
    assert "ZeroDivisionError" in editor.errors()[0]


def test_an_error_of_the_editor_ends_the_action_only(unreal, editor, plugin, monkeypatch):
    """An action that the editor fails with its own exception is said; the bridge goes on."""
    from syncam_unreal import unreal_host

    def fails(*_args, **_options):
        raise RuntimeError("the editor said no")

    monkeypatch.setattr(unreal_host, "find_cameras", fails)
    plugin.controller.fields.source = "all"
    plugin.controller.refresh_cameras()
    assert plugin.controller.status == "RuntimeError: the editor said no."
    assert "Traceback" in editor.errors()[0]
    assert len(editor.dialogs) == 1
    monkeypatch.undo()
    place_camera(unreal, "camA")
    plugin.controller.refresh_cameras()
    editor.tick()
    assert plugin.controller.cameras == ["camA"]


def test_ticks_under_an_open_dialog_do_nothing_twice(unreal, editor, plugin):
    from syncam_unreal.panel_state import JobRecord

    from syncam_engine.link.messages import ErrorInfo, Failed

    editor.ticks_under_dialogs = 3
    for name in ("a", "b"):
        job = JobRecord(job_id=name * 32, prompt="p", seed=1, take="T", rig={"cameras": []})
        plugin.controller.history.append(job)
    polls = [
        [Failed(job_id="a" * 32, error=ErrorInfo(code="x", sentence="The first failed."))],
        [Failed(job_id="b" * 32, error=ErrorInfo(code="x", sentence="The second failed."))],
    ]
    plugin.client.poll = lambda: polls.pop(0) if polls else []
    editor.tick()
    assert [text for _, text in editor.dialogs] == ["The first failed."]
    assert len(polls) == 1, "the second waits until the dialog is closed"
    editor.tick()
    assert len(editor.dialogs) == 2


def test_a_map_change_forgets_the_old_level(unreal, editor, plugin):
    place_camera(unreal, "camA")
    plugin.controller.fields.source = "all"
    plugin.controller.refresh_cameras()
    assert plugin.controller.cameras == ["camA"]
    editor.saved.add("/Game/Maps/Other")
    level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
    assert level.load_level("/Game/Maps/Other")
    assert plugin.controller.cameras == []
    editor.tick()
    assert editor.callback_errors == []


def test_settings_survive_and_damaged_ones_do_not_matter(unreal, editor, tmp_path):
    state = tmp_path / "Project/Saved/SynCam/state.json"
    first = start(tmp_path)
    first.controller.fields.prompt = "kept"
    client_id = first.client.client_id
    first.close()
    second = start(tmp_path)
    assert second.controller.fields.prompt == "kept"
    assert second.client.client_id == client_id
    second.close()
    state.write_text("{ not json")
    third = start(tmp_path)
    assert third.controller.fields.prompt == ""
    assert any("history" in text for level, text in editor.log if level == "warning")
    third.close()
    job = {"job_id": "c" * 32, "prompt": "p", "seed": 1, "take": "T", "rig": {}, "state": "done"}
    state.write_text(json.dumps({
        "client_id": 7, "fields": {"endpoint": "nonsense://x"}, "history": [{"a": 1}, 3, job],
    }))  # fmt: skip
    fourth = start(tmp_path)
    assert [job.job_id for job in fourth.controller.history] == ["c" * 32]
    assert any("instead" in text for text in editor.errors())
    editor.tick()
    fourth.close()


def test_init_unreal_starts_on_the_first_frame(unreal, editor, tmp_path, monkeypatch):
    import runpy

    from unreal_scenes import BRIDGE

    monkeypatch.setenv("SYNCAM_STATE_DIR", str(tmp_path / "engine"))
    monkeypatch.delenv("SYNCAM_UNREAL_HEADLESS", raising=False)
    runpy.run_path(str(BRIDGE / "init_unreal.py"))
    assert len(editor.slate_ticks) == 1
    editor.tick()
    from syncam_unreal import plugin as module

    assert module.running is not None
    assert len(editor.slate_ticks) == 1, "the first-frame call is gone, the plugin's is there"
    module.stop()
    monkeypatch.setenv("SYNCAM_UNREAL_HEADLESS", "1")
    runpy.run_path(str(BRIDGE / "init_unreal.py"))
    assert editor.slate_ticks == {}, "a headless build step has no panel"


@pytest.mark.processes
def test_self_test_reports_and_leaves_nothing(unreal, editor, plugin):
    from syncam_unreal import self_test

    before = len(editor.actors), dict(editor.assets)
    path = self_test.run(plugin.host)
    data = json.loads(path.with_suffix(".json").read_text())
    assert [f for f in data["findings"] if f["ok"] is False] == []
    assert "principal point" in path.read_text()
    assert (len(editor.actors), dict(editor.assets)) == before
    assert len(data["findings"]) >= 19
    assert (path.parent / "self_test_view.png").read_bytes().startswith(b"\x89PNG")
    assert editor.render_targets == []
