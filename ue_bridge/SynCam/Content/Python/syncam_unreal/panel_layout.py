# SPDX-License-Identifier: Apache-2.0
"""The panel as data: which widgets, in which order, and what binds to them. No `unreal` here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .panel_state import MODES, SOURCES

VERSION = 1
"""Part of the asset's name: a panel of another layout is made anew beside the old one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One widget. `kind` is a class of the `unreal` module; `parent` "" is the root."""

    kind: str
    name: str
    parent: str = "Root"
    text: str = ""
    field: str = ""
    """Which PanelFields attribute it edits."""
    action: str = ""
    """Which Controller method its click calls."""
    of_job: bool = False
    """The action is on the job that is chosen in the history."""
    shows: str = ""
    """Which PanelView attribute it draws."""
    enabled: str = ""
    """Which PanelView attribute says whether it can be clicked."""
    options: tuple[str, ...] = ()
    hint: str = ""


def _caption(name: str, text: str) -> Item:
    return Item(kind="TextBlock", name=f"{name}Caption", text=text)


def _line(name: str, caption: str, field: str, hint: str = "") -> list[Item]:
    return [
        _caption(name, caption),
        Item(kind="EditableTextBox", name=name, field=field, hint=hint),
    ]


def _choice(name: str, caption: str, field: str, options: tuple[str, ...]) -> list[Item]:
    return [
        _caption(name, caption),
        Item(kind="ComboBoxString", name=name, field=field, options=options),
    ]


def _button(name: str, text: str, action: str, enabled: str = "", hint: str = "") -> list[Item]:
    return [
        Item(kind="Button", name=name, action=action, enabled=enabled, hint=hint),
        Item(kind="TextBlock", name=f"{name}Label", parent=name, text=text),
    ]


def _job_button(name: str, text: str, action: str, enabled: str) -> list[Item]:
    button, label = _button(name, text, action, enabled)
    return [replace(button, of_job=True), label]


ITEMS: tuple[Item, ...] = (
    Item(kind="ScrollBox", name="Root", parent=""),
    Item(kind="TextBlock", name="EngineText", shows="engine"),
    *_line("Engine", "Remote engine (after Reload)", "endpoint", "this machine's"),
    *_button("StartEngine", "Start the engine", "start_engine", "can_start_engine"),
    *_choice("Source", "Cameras", "source", SOURCES),
    *_line("Tag", "Tag (for 'tag')", "tag"),
    *_button("Refresh", "Read the cameras", "refresh_cameras"),
    Item(kind="TextBlock", name="CamerasText", shows="cameras"),
    *_button("Export", "Write the rig to a file", "export_rig"),
    *_line("RigFile", "Rig file", "rig_file", "the take's own in Saved/SynCam/rigs"),
    *_button("AddRig", "Add the cameras of the rig file", "add_rig"),
    *_line("Anchor", "Anchor camera", "anchor", "the first"),
    _caption("Prompt", "Prompt"),
    Item(kind="MultiLineEditableTextBox", name="Prompt", field="prompt", hint="What happens"),
    *_line("Negative", "Not in the picture", "negative_prompt"),
    *_line("Seed", "Seed", "seed", "drawn for each job"),
    *_line("Steps", "Steps", "steps", "the preset's own"),
    *_choice("Mode", "Mode", "mode", MODES),
    *_line(
        "Clips", "Reference clip, or folder of previz clips", "clips", "rendered by the cameras"
    ),
    *_line("Strength", "Previz strength (0 to 1)", "previz_strength", "the preset's own"),
    *_line("FirstFrame", "First frame (sequences)", "first_frame", "the sequence's start"),
    *_line("Take", "Take", "take"),
    *_choice("Fit", "Cameras of another aspect", "fit_rule", ("crop", "letterbox")),
    *_choice("Style", "Show the clips on", "style", ("plane", "media plate")),
    *_line("Distance", "Metres from a camera to its plane", "distance_m"),
    *_choice("Tracks", "Media Tracks in the open sequence", "media_tracks", ("no", "yes")),
    *_button("Generate", "Generate", "generate", "can_generate"),
    Item(kind="ProgressBar", name="Progress", shows="progress"),
    Item(kind="TextBlock", name="StatusText", shows="status"),
    Item(kind="Image", name="Preview", shows="preview"),
    Item(kind="TextBlock", name="WarningsText", shows="warnings"),
    *_button("Cancel", "Cancel", "cancel", "can_cancel"),
    _caption("History", "History"),
    Item(kind="ComboBoxString", name="History", shows="history"),
    *_job_button("Apply", "Show the clips of this job", "apply", "can_apply"),
    *_job_button("CancelJob", "Cancel this job", "cancel", "can_cancel_job"),
    *_job_button("RemoveJob", "Remove this job", "remove", "can_remove"),
)


def children(parent: str) -> list[Item]:
    """Return the items directly under one of them, in order."""
    return [item for item in ITEMS if item.parent == parent]
