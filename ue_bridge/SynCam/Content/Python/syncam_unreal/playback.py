# SPDX-License-Identifier: Apache-2.0
"""Opens a take's clips and starts them together. Opening takes ticks; nothing here waits."""

from __future__ import annotations

from pathlib import Path

import unreal

from syncam_engine.link.errors import SynCamError

from . import compat
from .results import Shown

OPEN_LIMIT_S = 20.0


class Playback:
    """Opens every player of a take, then rewinds and plays all of them in one tick, looping."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.state = "opening"
        self._waited_s = 0.0
        for camera, player in shown.players.items():
            player.close()
            player.set_looping(True)
            if not player.open_source(shown.sources[camera]):
                raise _cannot_open(camera, shown)
        level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
        level.editor_set_viewport_realtime(
            True
        )  # Media stands still in a viewport that does not tick.

    def tick(self, delta_s: float) -> None:
        """Look whether all are open. Raises SynCamError for a clip that no player takes."""
        if self.state != "opening":
            return
        self._waited_s += delta_s
        for camera, player in self.shown.players.items():
            late = self._waited_s > OPEN_LIMIT_S and not player.is_ready()
            if player.has_error() or late:
                self.state = "failed"
                raise _cannot_open(camera, self.shown)
        if all(player.is_ready() for player in self.shown.players.values()):
            for player in self.shown.players.values():
                player.rewind()
            for player in self.shown.players.values():
                player.play()
            self.state = "playing"
            self._drop_old_files()

    def _drop_old_files(self) -> None:
        """Delete clips that newer ones replaced; one that is still held stays."""
        for path in self.shown.old_files:
            try:
                Path(path).unlink(missing_ok=True)
            except OSError:
                continue
        self.shown.old_files.clear()

    def stop(self) -> None:
        """Close the players and their files."""
        self.state = "stopped"
        for player in self.shown.players.values():
            if compat.is_alive(player):
                player.close()


def _cannot_open(camera: str, shown: Shown) -> SynCamError:
    path = shown.files[camera]
    return SynCamError(
        "unreal.media_open",
        f"No media player of this editor opens the clip of camera {camera!r}, '{path.name}'.",
        value=str(path),
        fix="Enable the plugin Electra Player",
    )
