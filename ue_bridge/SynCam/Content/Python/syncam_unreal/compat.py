# SPDX-License-Identifier: Apache-2.0
"""What differs between the engine versions 5.4 to 5.7, asked once and in one place."""

from __future__ import annotations

from collections.abc import Callable

import unreal

from syncam_engine.link.errors import SynCamError

OLDEST, NEWEST = (5, 4), (5, 7)
REQUIRED = {
    "LevelSequenceEditorBlueprintLibrary": "Level Sequence Editor",
    "MovieSceneScriptingDoubleChannel": "Sequencer Scripting",
    "EditorAssetLibrary": "Editor Scripting Utilities",
    "MediaPlayerFactoryNew": "Media Player Editor",
}
"""A name of each plugin that the bridge cannot do without, and what the Plugins window calls it."""


def engine_version() -> tuple[int, int]:
    """Return the editor's version as (major, minor)."""
    major, minor = unreal.SystemLibrary.get_engine_version().split(".")[:2]
    return int(major), int(minor)


def check_engine() -> None:
    """Raise SynCamError for an engine too old, or one that lacks a plugin; newer is let in."""
    version = engine_version()
    if version < OLDEST:
        raise SynCamError(
            "unreal.version",
            f"This is Unreal Engine {version[0]}.{version[1]}; SynCam needs "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}.",
            value=f"{version[0]}.{version[1]}",
            nearest=f"{OLDEST[0]}.{OLDEST[1]}",
        )
    for name, plugin in REQUIRED.items():
        if not hasattr(unreal, name):
            raise SynCamError(
                "unreal.plugin",
                f"The plugin '{plugin}' is not enabled in this project, and SynCam needs it.",
                value=plugin,
                fix=f"Enable {plugin} in Edit > Plugins and restart the editor",
            )


class Ticker:
    """Calls a function each editor frame: by the engine's ticker (5.7), else Slate's."""

    def __init__(self, call: Callable[[float], None]) -> None:
        self._call = call
        self._core = hasattr(unreal, "register_ticker_callback")
        if self._core:
            self._handle = unreal.register_ticker_callback(self._keep_on)
        else:
            self._handle = unreal.register_slate_post_tick_callback(call)

    def _keep_on(self, delta_s: float) -> bool:
        self._call(delta_s)
        return True

    def stop(self) -> None:
        """Unregister; twice is the same as once."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if self._core:
            unreal.unregister_ticker_callback(handle)
        else:
            unreal.unregister_slate_post_tick_callback(handle)


def is_alive(thing: unreal.Object | None) -> bool:
    """Return whether an object of the editor still exists; asking one that is gone may raise."""
    try:
        return thing is not None and unreal.SystemLibrary.is_valid(thing)
    except Exception:  # noqa: BLE001 - the editor raises what it likes for an object that is gone
        return False


def has_widget_authoring() -> bool:
    """Return whether widget trees can be authored from Python (5.7)."""
    return hasattr(unreal.EditorUtilityLibrary, "add_source_widget")


def set_playhead(frame: float) -> None:
    """Move the open sequence to a display frame, sub-frames included, and evaluate it."""
    whole = int(frame // 1)
    params = unreal.MovieSceneSequencePlaybackParams()
    params.frame = unreal.FrameTime(unreal.FrameNumber(whole), frame - whole)
    unreal.LevelSequenceEditorBlueprintLibrary.set_global_position(params)


def playhead() -> float:
    """Return the open sequence's display frame."""
    frame = unreal.LevelSequenceEditorBlueprintLibrary.get_global_position().frame
    return frame.frame_number.value + frame.sub_frame
