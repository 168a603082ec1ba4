# SPDX-License-Identifier: Apache-2.0
"""The panel by its three routes, what it refuses in words, and what it shows of a job."""

from __future__ import annotations

import pytest
from unreal_scenes import place_camera


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
