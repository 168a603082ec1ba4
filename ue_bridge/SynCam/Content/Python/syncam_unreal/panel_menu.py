# SPDX-License-Identifier: Apache-2.0
"""Tools > SynCam: opens the panel, or does its work by dialogs where there is none."""

from __future__ import annotations

from typing import Any

import unreal

from .controller import Controller
from .panel_state import PanelFields

OWNER = "SynCam"
MENU = "LevelEditor.MainMenu.Tools"
ENTRIES = (
    ("panel", "Open the panel", "Cameras, prompt, jobs and clips"),
    ("start_engine", "Start the engine", "Start the SynCam engine on this machine"),
    ("export_rig", "Write the rig to a file", "The cameras as JSON: OpenCV matrices, metres"),
    ("add_rig", "Add the cameras of a rig file", "Cine cameras with the file's poses and lenses"),
    ("generate", "Generate...", "Ask for prompt and cameras, then generate a clip for each camera"),
    ("cancel", "Cancel", "Stop the newest job"),
    ("remove", "Remove the newest ended job", "Delete it and its clips in the engine"),
    ("apply", "Show the newest clips", "Bring the newest job's clips into the level"),
    ("status", "Status", "Say how the engine and the jobs stand"),
    (
        "self_test",
        "Self-test",
        "Check on this editor what only an editor can show; writes a report",
    ),
    ("reload", "Reload", "Stop SynCam, load its files again, start it"),
)


def add_menus() -> None:
    """Put the entries under Tools; doing it twice leaves one set."""
    menus = unreal.ToolMenus.get()
    tools = menus.extend_menu(MENU)
    tools.add_section(OWNER, "SynCam")
    sub = tools.add_sub_menu(OWNER, OWNER, OWNER, "SynCam", "Synchronised clips for every camera")
    sub.add_section(OWNER, "SynCam")
    for name, label, tip in ENTRIES:
        entry = unreal.ToolMenuEntry(name=f"SynCam_{name}", type=unreal.MultiBlockType.MENU_ENTRY)
        entry.set_label(label)
        entry.set_tool_tip(tip)
        command = f"from syncam_unreal import plugin; plugin.run({name!r})"
        entry.set_string_command(unreal.ToolMenuStringCommandType.PYTHON, "", command)
        sub.add_menu_entry(OWNER, entry)
    menus.refresh_all_widgets()


def remove_menus() -> None:
    """Take the entries away."""
    menus = unreal.ToolMenus.get()
    menus.unregister_owner_by_name(OWNER)
    menus.remove_menu(f"{MENU}.{OWNER}")
    menus.refresh_all_widgets()


_KIND: dict[str, Any] = {}


def _request_kind() -> type:
    """Return a class of the editor with a property for each text field; made once a session."""
    if "kind" not in _KIND:
        body = {
            name: unreal.uproperty(str)
            for name, value in PanelFields().to_dict().items()
            if isinstance(value, str)
        }
        _KIND["kind"] = unreal.uclass()(type("SynCamRequest", (unreal.Object,), body))
    return _KIND["kind"]


def ask_fields(fields: PanelFields) -> bool:
    """Let the user edit the text fields in a dialog; return False when they cancel."""
    request = _request_kind()()
    names = [name for name, value in fields.to_dict().items() if isinstance(value, str)]
    for name in names:
        request.set_editor_property(name, getattr(fields, name))
    if not unreal.EditorDialog.show_object_details_view("SynCam: generate", request):
        return False
    for name in names:
        setattr(fields, name, str(request.get_editor_property(name)))
    return True


def generate(controller: Controller) -> None:
    """Ask, then generate."""
    if ask_fields(controller.fields):
        controller.generate()


def show_status(controller: Controller) -> None:
    """Say in a dialog what the panel would show."""
    view = controller.view()
    parts = [
        view.engine,
        view.status,
        view.warnings,
        view.cameras,
        *(label for _, label in view.history[:5]),
    ]
    unreal.EditorDialog.show_message(
        "SynCam", "\n".join(part for part in parts if part), unreal.AppMsgType.OK
    )
