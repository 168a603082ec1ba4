# SPDX-License-Identifier: Apache-2.0
"""Media players, sources, textures and the Media Plate: opening takes editor ticks."""

from __future__ import annotations

from pathlib import Path

from .generator import BEHAVIOURS as B
from .world import add_component, editor_of, root_of, types_of

TICKS_TO_OPEN = 3


def _player_class_init(self):
    self._state, self._url, self._time_s, self._left = "closed", "", 0.0, 0
    self._values["play_on_open"] = True
    editor_of(self).players.append(self)

    def advance(delta_s: float) -> None:
        if self.__dict__.get("_destroyed"):
            return
        if self._state == "preparing":
            self._left -= 1
            if self._left <= 0:
                found = Path(self._url).is_file()
                self._state = ("playing" if self.play_on_open else "ready") if found else "error"
                event = self.on_media_opened if found else self.on_media_open_failed
                event.broadcast(self._url)
        elif self._state == "playing":
            self._time_s += delta_s

    self._advance = advance


B.initialiser("MediaPlayer")(_player_class_init)


@B.method("MediaPlayer", "open_source")
def _open_source(self, media_source):
    if media_source is None or not media_source.file_path:
        return False
    path = media_source.file_path
    if path.startswith("./"):
        path = str(editor_of(self).project_dir / "Content" / path[2:])
    self._state, self._url, self._time_s, self._left = "preparing", path, 0.0, TICKS_TO_OPEN
    return True


@B.method("MediaPlayer", "close")
def _close(self):
    self._state, self._url = "closed", ""


@B.method("MediaPlayer", "play")
def _play(self):
    if self._state not in ("ready", "paused", "playing"):
        return False
    self._state = "playing"
    return True


@B.method("MediaPlayer", "pause")
def _pause(self):
    self._state = "paused"
    return True


@B.method("MediaPlayer", "rewind")
def _rewind(self):
    self._time_s = 0.0
    return self._state not in ("closed", "preparing", "error")


@B.method("MediaPlayer", "set_looping")
def _set_looping(self, looping):
    self._values["loop"] = looping
    return True


@B.method("MediaPlayer", "is_looping")
def _is_looping(self):
    return self._values.get("loop", False)


@B.method("MediaPlayer", "is_ready")
def _is_ready(self):
    return self._state in ("ready", "playing", "paused")


@B.method("MediaPlayer", "is_playing")
def _is_playing(self):
    return self._state == "playing"


@B.method("MediaPlayer", "is_preparing")
def _is_preparing(self):
    return self._state == "preparing"


@B.method("MediaPlayer", "is_closed")
def _is_closed(self):
    return self._state == "closed"


@B.method("MediaPlayer", "has_error")
def _has_error(self):
    return self._state == "error"


@B.method("MediaPlayer", "get_url")
def _get_url(self):
    return self._url


@B.method("FileMediaSource", "set_file_path")
def _set_file_path(self, path):
    content = str(editor_of(self).project_dir / "Content") + "/"
    # Paths under Content are kept relative to it, as the engine does.
    self._values["file_path"] = (
        "./" + path.removeprefix(content) if path.startswith(content) else path
    )


@B.method("MediaSource", "get_url")
def _source_url(self):
    return "file://" + self.file_path


@B.method("MediaTexture", "set_media_player")
def _set_media_player(self, new_media_player):
    self._values["media_player"] = new_media_player
    self._resource_stale = True


@B.method("MediaTexture", "get_media_player")
def _get_media_player(self):
    return self._values.get("media_player")


@B.method("MediaTexture", "update_resource")
def _update_resource(self):
    self._resource_stale = False


@B.initialiser("MediaPlate")
def _media_plate_init(self):
    root_of(self)
    plate = add_component(self, "MediaPlateComponent", name="MediaPlateComponent0")
    plate._player = types_of(self)["MediaPlayer"](plate)
    mesh = add_component(self, "StaticMeshComponent", root_of(self), "StaticMeshComponent0")
    self._values.update(media_plate_component=plate, static_mesh_component=mesh)


@B.method("MediaPlateComponent", "get_media_player")
def _plate_player(self):
    return self._player
