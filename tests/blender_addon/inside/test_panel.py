# SPDX-License-Identifier: Apache-2.0
"""What the panels say and offer in each state, drawn into a layout that writes everything down.

The layout also knows what Blender would only print: properties, operators and icons that are not.
"""

from __future__ import annotations

import types

import bpy
import pytest

from blender_addon import checks, panel_ui, results_ui, rig_ui, settings, thumbs
from blender_addon.jobs import ENDED, PHASES, RUNNING
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.launch import EngineState

from .conftest import add_camera, tick_until

RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}
ICONS = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


class Notes:
    """A layout: every part of it is itself; what is drawn is in `texts` and `operators`."""

    def __init__(self):
        self.texts: list[str] = []
        self.operators: list[tuple[str, types.SimpleNamespace]] = []
        self.pictures = 0

    def _same(self, *_args, **_options):
        return self

    row = column = box = split = separator = template_list = _same
    template_ID = _same

    def template_icon(self, icon_value, scale=1.0):
        self.pictures += 1

    def _icon(self, icon):
        assert icon in ICONS, f"there is no icon {icon}"

    def label(self, text="", icon="NONE", icon_value=0):
        self._icon(icon)
        self.texts.append(text)

    def progress(self, factor=0.0, text="", type="BAR"):
        assert 0.0 <= factor <= 1.0
        self.texts.append(text)

    def prop(self, data, name, text=None, icon="NONE", **_options):
        self._icon(icon)
        data.bl_rna.properties[name]

    def prop_enum(self, data, name, value):
        assert value in data.bl_rna.properties[name].enum_items

    def menu(self, name, text="", icon="NONE"):
        self._icon(icon)
        assert hasattr(bpy.types, name)

    def operator(self, name, text="", icon="NONE", emboss=True):
        self._icon(icon)
        rna = getattr(bpy.ops.syncam, name.removeprefix("syncam.")).get_rna_type()
        self.operators.append((name, types.SimpleNamespace()))
        self.texts.append(text or rna.name)
        return self.operators[-1][1]

    def operator_menu_enum(self, name, _property, text="", icon="NONE"):
        self.operator(name, text, icon)

    def operator_enum(self, name, _property):
        self.operator(name)

    @property
    def said(self) -> str:
        """All words, the lines of a sentence joined."""
        return " ".join(self.texts)

    def offers(self, name: str) -> bool:
        return any(operator == f"syncam.{name}" for operator, _ in self.operators)


def draw(*panels) -> Notes:
    notes = Notes()
    context = types.SimpleNamespace(
        scene=bpy.context.scene,
        # In background mode Blender's own scale is 0.
        preferences=types.SimpleNamespace(system=types.SimpleNamespace(ui_scale=1.0)),
        region=None,
        space_data=None,
    )
    for panel in panels or (panel_ui.SYNCAM_PT_main,):
        panel.draw(types.SimpleNamespace(layout=notes), context)
    return notes


STATES = [
    ("not found", "No Engine", ("engine_install", "engine_choose")),
    ("stopped", "Stopped", ("engine_start",)),
    ("starting", "Starting", ("engine_stop", "engine_restart")),
    ("loading", "Loading", ("engine_stop", "engine_restart")),
    ("ready", "Ready", ("engine_stop", "engine_restart", "yield_device")),
    ("version mismatch", "Mismatch", ("engine_restart",)),
    ("refused", "Refused", ("copy_public_key",)),
    ("lost", "Lost", ("engine_restart",)),
]


@pytest.mark.parametrize(("name", "title", "buttons"), STATES)
def test_each_state_of_the_engine_has_its_words_and_buttons(scene, state, name, title, buttons):
    state.start_engine()
    tick_until(state, lambda: state.engine.state == "ready")
    tick_until(state, lambda: bool(panel_ui.memory_text(state)))
    kept = state.engine
    state.engine = EngineState(state=name, sentence=f"This is what {name} means.")
    try:
        notes = draw()
    finally:
        state.engine = kept
    assert title in notes.texts
    for button in (*buttons, "engine_log"):
        assert notes.offers(button), button
    if name == "ready":
        assert f"stub, preview, {panel_ui.memory_text(state)}" in notes.texts
    else:
        assert f"This is what {name} means." in notes.said


def test_a_fault_is_said_with_its_button_and_can_be_put_away(scene, state):
    add_camera(scene)
    error = SynCamError("disk.full", "The engine's disk has 59 MiB left, less than it keeps free.")
    state.error = error
    state.notice = "The engine stopped and was started again; the job goes on."
    notes = draw()
    assert error.sentence in notes.said
    assert state.notice in notes.said
    assert notes.offers("dismiss")
    bpy.ops.syncam.dismiss()
    again = draw()
    assert error.sentence not in again.said
    assert "started again" not in again.said


def test_estimate_refusal_and_warning_are_there_before_the_button(plaza, state):
    state.start_engine()
    tick_until(state, lambda: bool(state.presets()))
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    own = plaza.syncam
    settings.sync_rig(plaza)
    checks.refresh(plaza)
    said = draw().said.replace(panel_ui.NARROW, " ")
    assert "4 cameras, 17 pictures, 160x96, about " in said
    assert " GB needed" in said
    own.rig_index = next(i for i, c in enumerate(own.rig) if c.camera.name == "Rolled")
    notes = draw(rig_ui.SYNCAM_PT_rig)
    assert "'Rolled' is rolled by" in notes.said
    assert notes.offers("fix")
    own.frames = 16
    checks.refresh(plaza)
    notes = draw()
    assert "16" in notes.said
    assert "Use 17 frames" in notes.texts, "the fix itself"
    assert "GB needed" not in notes.said


def test_running_and_waiting_jobs_and_the_history(plaza, state):
    slow = {"wait": "NO", "cameras": "Wide\nDolly", "frames": 5}
    bpy.ops.syncam.generate(prompt="sleep=0.3 first", steps=40, **slow)
    bpy.ops.syncam.generate(prompt="second", steps=1, **slow)
    first, second = sorted(state.running(), key=lambda record: record.created_unix_s)
    tick_until(state, lambda: first.step >= 2 and second.state == "queued")
    notes = draw()
    assert first.headline in notes.texts
    assert first.headline.startswith("Sampling ")
    assert "1 waiting" in notes.texts
    assert [name for name, _ in notes.operators if name == "syncam.cancel"] == ["syncam.cancel"] * 2
    for button in ("pause", "move_job"):
        assert notes.offers(button)
    bar = Notes()
    panel_ui.draw_status_bar(types.SimpleNamespace(layout=bar), bpy.context)
    assert bar.texts == [f"SynCam: {first.headline}"]
    for record in (first, second):
        bpy.ops.syncam.cancel(job_id=record.job_id)
    tick_until(state, lambda: not state.running())
    bpy.ops.syncam.generate(cameras="Wide", seed=31, **RUN)
    record = state.ended()[0]
    notes = draw(results_ui.SYNCAM_PT_request, results_ui.SYNCAM_PT_results)
    for button in ("apply", "again", "reveal", "forget"):
        assert notes.offers(button), button
    assert "a test pattern" in notes.texts
    assert "seed 31, 1 clips" in notes.texts
    assert any(vars(p).get("job_id") == record.job_id for _, p in notes.operators)
    bar = Notes()
    panel_ui.draw_status_bar(types.SimpleNamespace(layout=bar), bpy.context)
    assert bar.texts == []


def test_every_other_part_draws(plaza, state):
    settings.sync_rig(plaza)
    plaza.syncam.targets = {"PLATES", "MATERIAL"}
    draw(rig_ui.SYNCAM_MT_rig, rig_ui.SYNCAM_PT_rig)
    for mode in ("TEXT", "PREVIZ", "REFERENCE"):
        for source in ("FILE", "IMAGE", "VIEWPORT"):
            plaza.syncam.mode, plaza.syncam.reference_source = mode, source
            draw()
    for item in plaza.syncam.rig:
        notes = Notes()
        rig_ui.SYNCAM_UL_rig.draw_item(None, bpy.context, notes, plaza.syncam, item, 0, None, "", 0)
        assert item.camera.name in notes.texts
        assert notes.offers("rig_anchor")


def test_live_pictures_are_of_a_job_that_is_being_done_by_an_engine_that_answers(
    plaza, state, monkeypatch
):
    """In every other state the panel grows by a message, and would be drawn over the cameras."""
    bpy.ops.syncam.generate(cameras="Wide", **RUN)
    record = state.ended()[0]
    thumbs.show_live("Wide", 8, 4, bytes(96))
    thumbs.stack(["Wide"])
    monkeypatch.setattr(thumbs, "icon_id", lambda _key: 7)
    monkeypatch.setattr(record, "phase", "sample")
    shown = set()
    for job in (*RUNNING, *ENDED):
        for engine, _, _ in STATES:
            monkeypatch.setattr(record, "state", job)
            monkeypatch.setattr(state, "engine", EngineState(state=engine, sentence="It is so."))
            if draw().pictures:
                shown.add((job, engine))
    assert shown == {("running", "ready")}
    monkeypatch.setattr(record, "state", "running")
    monkeypatch.setattr(state, "engine", EngineState(state="ready", sentence="It is so."))
    for phase in PHASES:
        monkeypatch.setattr(record, "phase", phase)
        assert bool(draw().pictures) == (phase in ("sample", "decode", "write")), phase
