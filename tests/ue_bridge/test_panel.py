# SPDX-License-Identifier: Apache-2.0
"""The panel by its three routes, the controller's errors, and a clean start, reload and stop."""

from __future__ import annotations

import json

import pytest
from unreal_scenes import place_camera


def start(tmp_path, **options):
    from syncam_unreal import plugin

    return plugin.start(state_dir=tmp_path / "engine", **options)


@pytest.fixture
def plugin(unreal, tmp_path):
    instance = start(tmp_path)
    yield instance
    instance.close()


def click(panel, name):
    panel._widgets[name].on_clicked.broadcast()


@pytest.mark.parametrize("unreal", ["5.4", "5.5", "5.7"], indirect=True)
def test_the_widget_routes_draw_and_act(unreal, editor, plugin):
    place_camera(unreal, "camA")
    place_camera(unreal, "camB", (100, 0, 0))
    plugin.open_panel()
    panel = plugin.panel
    assert panel is not None
    widgets = panel._widgets
    assert str(widgets["GenerateLabel"].get_text()) == "Generate"
    assert "engine" in str(widgets["EngineText"].get_text()).lower()
    assert not widgets["Generate"].is_enabled, "no engine answers"
    widgets["Source"].set_selected_option("all")
    widgets["Prompt"].set_text("a red fox")
    click(panel, "Refresh")
    for _ in range(10):
        editor.tick()
    assert str(widgets["CamerasText"].get_text()) == "camA\ncamB"
    assert plugin.controller.fields.prompt == "a red fox"
    authored = unreal._editor.version == "5.7"
    path = "/Game/SynCam/EUW_SynCam_1" if authored else "/Game/SynCam/EUW_SynCam_Panel"
    assert path in editor.saved
    names = [name for _, name, _ in editor.assets[path]._compiled]
    assert ("Generate" in names) == authored
    slot = widgets["Root"].slot
    assert isinstance(slot, unreal.CanvasPanelSlot), "inside the panel that the factory made"
    assert (slot._anchors.maximum.x, slot._anchors.maximum.y) == (1.0, 1.0), "and all over it"
    assert editor.callback_errors == []
    plugin.panel.close()
    for _ in range(10):
        editor.tick()
    assert plugin.panel is None, "a closed tab is forgotten"
    plugin.open_panel()
    assert str(plugin.panel._widgets["Prompt"].get_text()) == "a red fox"
    plugin.panel._widgets["Prompt"].set_text("typed and not clicked")
    plugin.close()
    assert plugin.host.load()["fields"]["prompt"] == "typed and not clicked"


def test_without_a_panel_the_menus_do_it(unreal, editor, tmp_path, plugin):
    editor.euw_has_panel = False
    place_camera(unreal, "camA")
    from syncam_unreal import plugin as module

    menu = editor.menus["LevelEditor.MainMenu.Tools.SynCam"]
    assert [name.removeprefix("SynCam_") for name in menu._entries] == [
        "panel", "start_engine", "export_rig", "add_rig", "generate", "cancel", "remove", "apply",
        "status", "self_test", "reload",
    ]  # fmt: skip
    module.run("panel")
    assert plugin.panel is None
    assert editor.tabs == {}, "the empty tab is closed again"
    assert editor.dialogs, "and the state is said"
    editor.dialog_fields = {"prompt": "a dog runs", "source": "all", "seed": "7"}
    module.run("generate")
    assert plugin.controller.fields.prompt == "a dog runs"
    assert any("engine" in text.lower() for _, text in editor.dialogs[-1:]), "no engine runs"
    editor.dialog_answer = "CANCEL"
    editor.dialog_fields = {"prompt": "never"}
    module.run("generate")
    assert plugin.controller.fields.prompt == "a dog runs"
    module.run("status")
    assert "engine" in editor.dialogs[-1][1].lower()


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


def test_errors_are_logged_and_shown_once_each(unreal, editor, plugin):
    controller = plugin.controller
    controller.fields.source = "all"
    controller.refresh_cameras()
    assert editor.errors()[-1] == (
        "SynCam: The cameras cannot be read: The level has no camera. "
        "Place Cine Camera Actors in the level."
    )
    assert editor.dialogs[-1][0] == "SynCam: The cameras cannot be read"
    controller.generate()
    assert "engine" in controller.status.lower()
    editor.pie = True
    controller.generate()
    assert controller.status.startswith("The level is playing")
    controller.apply()
    assert controller.status == "There are no clips to show yet."
    controller.cancel()


def test_a_job_stays_until_an_engine_says_that_it_is_gone(unreal, editor, plugin):
    from syncam_unreal.panel_state import JobRecord

    job = JobRecord(job_id="a" * 32, prompt="p", seed=1, take="T", rig={}, state="failed")
    plugin.controller.history.append(job)
    plugin.controller.remove()
    assert editor.dialogs[-1][0] == "SynCam: The job was not removed"
    assert "engine" in editor.dialogs[-1][1].lower()
    assert plugin.controller.history == [job]


def test_bad_fields(unreal):
    from syncam_unreal import request_making
    from syncam_unreal.panel_state import PanelFields

    from syncam_engine.link.errors import SynCamError

    for change, code in (
        ({"prompt": " "}, "prompt.empty"), ({"seed": "x"}, "panel.number"),
        ({"steps": "1.5"}, "panel.number"), ({"mode": "dream"}, "panel.mode"),
        ({"take": " "}, "panel.take"), ({"first_frame": "a"}, "panel.number"),
        ({"distance_m": "far"}, "panel.number"), ({"distance_m": "-1"}, "panel.number"),
    ):  # fmt: skip
        fields = PanelFields(**{"prompt": "a fox", **change})
        with pytest.raises(SynCamError) as caught:
            request_making.check_fields(fields)
        assert caught.value.code == code
    fields = PanelFields.from_dict({"prompt": 7, "seed": "3", "nonsense": 1, "distance_m": "2.0"})
    assert (fields.prompt, fields.seed, fields.distance_m) == ("", "3", "2.0")


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


def test_the_rig_is_written_to_a_file(unreal, editor, plugin, tmp_path):
    from syncam_engine.link.rig_json import read_rig

    place_camera(unreal, "camA", (100, 200, 300), focal_mm=50.0)
    place_camera(unreal, "camB", (0, 0, 0))
    plugin.controller.fields.source = "all"
    plugin.controller.export_rig()
    for _ in range(3):
        editor.tick()
    path = tmp_path / "Project/Saved/SynCam/rigs/Take1.json"
    assert plugin.controller.status == f"The rig is in {path}."
    rig = read_rig(path)
    assert [c.name for c in rig.cameras] == ["camA", "camB"]
    assert [row[3] for row in rig.cameras[0].c2w_cv_m[:3]] == pytest.approx([1.0, -2.0, 3.0])
    assert plugin.controller.history == [], "no job was sent"
    path.unlink()
    plugin.controller.fields.source = "selected"
    editor.selected = []
    plugin.controller.export_rig()
    editor.tick()
    assert not path.exists()
    assert plugin.controller.status.startswith("None of the selected actors")


def test_previews_as_one_picture():
    import io

    from PIL import Image
    from syncam_unreal.previews import Picture, grid_png

    red = Picture(4, 3, bytes([200, 10, 20]) * 12)
    rows = bytes(v for y in range(3) for x in range(4) for v in (x, y, 99))
    numbered = Picture(4, 3, rows)
    picture = Image.open(io.BytesIO(grid_png([red, None, numbered])))
    assert picture.size == (2 * 4 + 2, 2 * 3 + 2)
    pixels = picture.load()
    assert pixels[0, 0] == pixels[3, 2] == (200, 10, 20)
    assert pixels[7, 1] == (32, 32, 32), "no picture yet"
    assert pixels[2, 5 + 1] == (2, 1, 99), "the third is below, upright"
    with pytest.raises(ValueError, match="at least one"):
        grid_png([None])


def test_a_preview_reaches_the_panel(unreal, editor, plugin):
    from syncam_unreal.panel_state import JobRecord

    from syncam_engine.link.messages import Preview

    plugin.open_panel()
    rig = {"cameras": [{"name": "camA"}, {"name": "camB"}]}
    job = JobRecord(job_id="a" * 32, prompt="p", seed=1, take="T", rig=rig)
    plugin.controller.history.insert(0, job)
    for index, name in enumerate(("camA", "camB")):
        event = Preview(
            job_id=job.job_id, camera=name, index=index, step=2, width=2, height=2,
            rgb8=bytes([50 * index]) * 12,
        )  # fmt: skip
        plugin.controller._hear(event)
    for _ in range(20):
        editor.tick()
    widget = plugin.panel._widgets["Preview"]
    first = widget._texture
    assert first._bytes.startswith(b"\x89PNG")
    event.rgb8 = bytes([250]) * 12
    plugin.controller._hear(event)
    for _ in range(20):
        editor.tick()
    assert widget._texture is not first
    assert editor.callback_errors == []


@pytest.mark.parametrize("unreal", ["5.7"], indirect=True)
def test_an_authored_panel_without_the_factorys_root(unreal, editor, plugin):
    editor.euw_has_panel = False
    plugin.open_panel()
    assert plugin.panel._widgets["Root"].get_parent() is None
    design = editor.assets["/Game/SynCam/EUW_SynCam_1"]._compiled
    assert design[0][1:] == ("Root", "")
    count = len(design)
    plugin.panel.close()
    plugin.open_panel()
    assert len(design) == count, "opened again, nothing is added twice"
