# SPDX-License-Identifier: Apache-2.0
"""The editor's side of the controller: cameras in, clips out, the log, dialogs, settings."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import unreal

from syncam_engine.link import json_text, rig_json
from syncam_engine.link.rig import Rig

from . import preconditions, request_making, results, rig_placing, sequence_cameras, views
from .assets import asset_name
from .camera_reading import names_of
from .level_cameras import LevelScope, find_cameras, read_level_rig
from .panel_state import SEQUENCE_SOURCES, JobRecord, PanelFields
from .playback import Playback
from .sequence_cameras import SequenceReading, SequenceScope

LOGGERS = {"log": unreal.log, "warning": unreal.log_warning, "error": unreal.log_error}


class LevelReading:
    """A level's cameras stand still: read at once, in the shape of a sequence's reading."""

    def __init__(self, fields: PanelFields, size_px: tuple[int, int]) -> None:
        self.rig: Rig | None = None
        self.scene_frames: list[float] = []
        self.progress = 0.0
        self._fields, self._size_px = fields, size_px

    def step(self, frames: int) -> bool:
        self.rig = read_level_rig(
            _level_scope(self._fields), anchor=self._fields.anchor, size_px=self._size_px
        )
        return True

    def close(self) -> None:
        return None


class UnrealHost:
    """See `host_protocol.Host`."""

    def __init__(self, *, dialogs: bool = True) -> None:
        self.dialogs = dialogs
        self.playbacks: dict[str, Playback] = {}
        """By take: the players are held here, or the editor would collect them."""
        self._shown: dict[str, results.Shown] = {}

    def check_ready(self, fields: PanelFields) -> None:
        preconditions.check_ready()
        results.check_style(fields.style)
        if fields.media_tracks == "yes":
            results.sequence_for_tracks()

    def camera_names(self, fields: PanelFields) -> list[str]:
        if fields.source in SEQUENCE_SOURCES:
            sequence = sequence_cameras.current_sequence()
            which = _sequence_scope(fields).which
            return names_of(sequence_cameras.camera_components(sequence, which))
        return names_of(find_cameras(_level_scope(fields)))

    def begin_reading(
        self, fields: PanelFields, pictures: int, fps: Fraction, size_px: tuple[int, int]
    ) -> LevelReading | SequenceReading:
        if fields.source not in SEQUENCE_SOURCES:
            return LevelReading(fields, size_px)
        return SequenceReading(
            sequence_cameras.current_sequence(),
            _sequence_scope(fields),
            pictures=pictures,
            fps=fps,
            anchor=fields.anchor,
            size_px=size_px,
        )

    def render_views(
        self, fields: PanelFields, fitted: Rig, wanted: list[int], scene_frames: list[float]
    ) -> Generator[int, None, list[bytes]]:
        if fields.source not in SEQUENCE_SOURCES:
            return views.level_views(_level_scope(fields), fitted, wanted)
        sequence = sequence_cameras.current_sequence()
        return views.sequence_views(sequence, _sequence_scope(fields), fitted, wanted, scene_frames)

    def show(self, job: JobRecord, fields: PanelFields) -> Iterator[float]:
        shown = results.Shown(take=job.take)
        self._shown[job.job_id] = shown
        take = results.Take(
            name=job.take,
            job_id=job.job_id,
            rig=rig_json.rig_from_dict(job.rig),
            clips=[
                results.Clip(
                    camera=clip["camera"],
                    path=Path(clip["path"]),
                    width_px=clip["width"],
                    height_px=clip["height"],
                    frames=clip["frames"],
                    fps=tuple(clip["fps"]),
                )
                for clip in job.clips
            ],
            fit_rule=job.fit_rule,
            distance_m=request_making.distance_of(fields),
            style=fields.style,
            media_track=fields.media_tracks == "yes",
            first_frame=job.first_frame,
        )
        return results.show_take(take, shown)

    def play(self, job: JobRecord) -> None:
        self.playbacks[job.take] = Playback(self._shown.pop(job.job_id))

    def tick(self, delta_s: float) -> None:
        """Move the opening of players on. Raises SynCamError for a clip that no player takes."""
        for playback in self.playbacks.values():
            playback.tick(delta_s)

    def forget_level(self) -> None:
        """The map changed: its planes are gone, so their players close."""
        for playback in self.playbacks.values():
            playback.stop()
        self.playbacks.clear()
        self._shown.clear()

    def may_show(self) -> bool:
        level = unreal.get_editor_subsystem(unreal.LevelEditorSubsystem)
        return not level.is_in_play_in_editor()

    def rig_file(self, take: str) -> Path:
        return folder() / "rigs" / f"{asset_name(take)}.json"

    def place_rig(self, path: Path) -> list[str]:
        return [actor.get_actor_label() for actor in rig_placing.place_rig_file(path)]

    def downloads(self, job_id: str) -> Path:
        return folder() / "clips" / job_id

    def log(self, level: str, text: str) -> None:
        LOGGERS[level](f"SynCam: {text}")

    def tell(self, title: str, text: str) -> None:
        if self.dialogs:
            unreal.EditorDialog.show_message(f"SynCam: {title}", text, unreal.AppMsgType.OK)

    def save(self, data: dict[str, Any]) -> None:
        path = folder() / "state.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".state.{os.getpid()}.json")
            partial.write_text(json.dumps(data, indent=1), "utf-8")
            partial.replace(path)
        except OSError as error:
            self.log("warning", f"The history cannot be written to '{path}': {error.strerror}.")

    def load(self) -> dict[str, Any]:
        """Return what `save` wrote last, or {} where there is none or it cannot be read."""
        path = folder() / "state.json"
        try:
            data = json_text.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self.log("warning", f"The history in '{path}' cannot be read: {error}.")
            return {}
        return data if isinstance(data, dict) else {}


def _level_scope(fields: PanelFields) -> LevelScope:
    return LevelScope(which=fields.source, tag=fields.tag)


def _sequence_scope(fields: PanelFields) -> SequenceScope:
    return SequenceScope(
        which="cuts" if fields.source == "cuts" else "bindings",
        first_frame=request_making.whole_number(fields.first_frame, "first frame"),
    )


def folder() -> Path:
    """Return Saved/SynCam of the project."""
    return preconditions.saved_dir() / "SynCam"
