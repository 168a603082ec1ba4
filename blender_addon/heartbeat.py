# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls the session in a window: a timer, the redraws it asks for, the opening of files."""

from __future__ import annotations

import traceback

import bpy
from bpy.app.handlers import persistent

from syncam_engine.link.errors import SynCamError

from . import landing, session, stage, thumbs, viewport

IDLE_S, BUSY_S = 0.25, 0.05
REDRAWS = 4
"""Panels slide to their new places over several drawings of the sidebar."""


def tick() -> float:
    """The timer: move on, redraw what changed, say when to come again.

    Blender drops a timer that raises, and the panel would stand still without a word.
    """
    try:
        return _tick()
    except Exception as error:  # noqa: BLE001 - see above
        traceback.print_exc()
        said = f"The add-on stumbled ({error}) and goes on; the system console has the details."
        session.get().error = SynCamError("addon.fault", said)
        return IDLE_S


def _tick() -> float:
    state = session.get()
    if state.client is None:
        state.connect()
    if state.tick():
        state.redraws_left = REDRAWS
    if state.redraws_left:
        state.redraws_left -= 1
        redraw()
    if not state.is_busy and bpy.context.scene is not None and landing.is_quiet():
        viewport.begin_missing_thumbnails(state, bpy.context.scene)
    return BUSY_S if state.is_busy or state.redraws_left else IDLE_S


def redraw() -> None:
    state = session.get()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                # The sidebar alone: drawing the scene again for a progress bar would be heavy.
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
            elif area.type == "IMAGE_EDITOR":
                area.tag_redraw()
        # The status bar is no area of a screen; setting its text to what it was redraws it. A tool
        # in the middle of a drag has a text of its own there.
        if state.redraws_left and not window.modal_operators:
            window.workspace.status_text_set(None)


@persistent
def _file_loaded(_path: str) -> None:
    """Another file: its scenes may be waiting for clips of jobs that ended meanwhile."""
    thumbs.clear()
    session.get().leave_file()
    landing.find_beside()


@persistent
def _file_saving(path: str) -> None:
    """Nothing of ours that passes is saved; clips come along to another folder."""
    # Viewport renders go on with a copy of the scene, made anew: the file is not to hold one.
    stage.strike()
    if path:
        landing.bring_along(session.get(), path)


@persistent
def _file_saved(path: str) -> None:
    """After *Save a Copy* the scene keeps its own file, and its own clips."""
    landing.settle_along(session.get(), path)


@persistent
def _file_not_saved(_path: str) -> None:
    landing.put_back(session.get())


HANDLERS = {
    "save_pre": _file_saving,
    "save_post": _file_saved,
    "save_post_fail": _file_not_saved,
    "load_post": _file_loaded,
}


def register() -> None:
    for name, handler in HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    if not bpy.app.background:
        bpy.app.timers.register(tick, first_interval=0.5, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    for name, handler in HANDLERS.items():
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)
    session.forget()
