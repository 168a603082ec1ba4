# SPDX-License-Identifier: Apache-2.0
"""The cameras of a Level Sequence over a range of frames, read from the evaluated scene.

The sequence is opened, the playhead set, the bound components asked where they are: attachments,
constraints and blends count. Possessables and spawnables, of the sequence and of the shots and
sub-sequences under it. Reading is a generator: it yields between frames, so that a tick takes a
few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import unreal

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

from . import camera_reading, compat
from .level_cameras import unit_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceScope:
    """Which cameras of a sequence make the rig, and which of its frames the pictures show."""

    which: Literal["bindings", "cuts"] = "bindings"
    """All cameras that are bound, or only those that camera cuts show."""
    first_frame: int | None = None
    """Display frame of picture 0; None is the start of the playback range."""


def current_sequence() -> unreal.LevelSequence:
    """Return the sequence that is open in Sequencer. Raises SynCamError "unreal.no_sequence"."""
    sequence = unreal.LevelSequenceEditorBlueprintLibrary.get_current_level_sequence()
    if sequence is None:
        raise SynCamError(
            "unreal.no_sequence",
            "No Level Sequence is open in Sequencer.",
            fix="Open the sequence whose cameras you want",
        )
    return sequence


@contextmanager
def opened(sequence: unreal.LevelSequence) -> Iterator[None]:
    """Have a sequence open; what was open before, and its playhead, come back at the end."""
    library = unreal.LevelSequenceEditorBlueprintLibrary
    before = library.get_current_level_sequence()
    before_frame = compat.playhead() if before is not None else None
    if before != sequence and not library.open_level_sequence(sequence):
        raise SynCamError(
            "unreal.sequence_open",
            f"The sequence '{sequence.get_name()}' cannot be opened in Sequencer.",
        )
    try:
        yield
    finally:
        now = library.get_current_level_sequence()
        # Where the user closed or changed it meanwhile, what they did stands.
        if now == sequence and before is None:
            library.close_level_sequence()
        elif now == sequence:
            if before != sequence:
                library.open_level_sequence(before)
            compat.set_playhead(before_frame)


def check_open(sequence: unreal.LevelSequence) -> None:
    """Raise SynCamError where the sequence is not the one that Sequencer evaluates."""
    if unreal.LevelSequenceEditorBlueprintLibrary.get_current_level_sequence() != sequence:
        raise SynCamError(
            "unreal.sequence_closed",
            "The sequence was closed while its cameras were read or rendered.",
            fix="Open it and try again",
        )


def frames_of_pictures(
    sequence: unreal.LevelSequence, scope: SequenceScope, pictures: int, fps: Fraction
) -> list[float]:
    """Return the display frame, fractions included, that each picture shows.

    Raises SynCamError "unreal.sequence_range" when the pictures do not fit the playback range.
    """
    rate = sequence.get_display_rate()
    step = Fraction(rate.numerator, rate.denominator) / fps
    start, end = sequence.get_playback_start(), sequence.get_playback_end()
    first = start if scope.first_frame is None else scope.first_frame
    frames = [float(first + step * i) for i in range(pictures)]
    if first < start or frames[-1] > end - 1 + 1e-6:
        last = float(end - 1 - step * (pictures - 1))
        raise SynCamError(
            "unreal.sequence_range",
            f"{pictures} pictures at {float(fps):g} a second need frames {first} to "
            f"{frames[-1]:g}, but '{sequence.get_name()}' plays {start} to {end - 1}.",
            value=[first, frames[-1]],
            nearest=max(start, int(last)),
            fix="Lengthen the playback range, or start earlier",
        )
    return frames


def camera_components(
    sequence: unreal.LevelSequence, which: str = "bindings"
) -> list[unreal.CameraComponent]:
    """Return the camera components that the open sequence binds, each once, in binding order."""
    found: dict[str, unreal.CameraComponent] = {}
    for inner in _sequences_under(sequence):
        bindings = list(inner.get_bindings())
        if which == "cuts":
            bindings = _cut_bindings(inner)
        for binding in bindings:
            binding_id = sequence.get_portable_binding_id(sequence, binding)
            for thing in unreal.LevelSequenceEditorBlueprintLibrary.get_bound_objects(binding_id):
                for component in _cameras_in(thing):
                    found.setdefault(component.get_path_name(), component)
    return list(found.values())


def _cameras_in(thing: unreal.Object) -> list[unreal.CameraComponent]:
    if isinstance(thing, unreal.CameraComponent):
        return [thing]
    return camera_reading.cameras_of(thing) if isinstance(thing, unreal.Actor) else []


def _cut_bindings(sequence: unreal.LevelSequence) -> list[unreal.MovieSceneBindingProxy]:
    return [
        sequence.resolve_binding_id(section.get_camera_binding_id())
        for track in sequence.find_tracks_by_type(unreal.MovieSceneCameraCutTrack)
        for section in track.get_sections()
        if section.is_active()
    ]


def _sequences_under(sequence: unreal.LevelSequence) -> list[unreal.LevelSequence]:
    """Return the sequence and those of its shots and sub-sequences, outermost first, each once."""
    found, waiting = [], [sequence]
    while waiting:
        inner = waiting.pop(0)
        if inner in found:
            continue
        found.append(inner)
        for track in inner.find_tracks_by_type(unreal.MovieSceneSubTrack):
            for section in track.get_sections():
                if section.is_active() and section.get_sequence() is not None:
                    waiting.append(section.get_sequence())
    return found


class SequenceReading:
    """Reads a rig from a sequence, a few frames at a time; the playhead comes back to where it was.

        reading = SequenceReading(sequence, scope, pictures=17, fps=Fraction(15))
        while not reading.step(frames=4): ...      # one call a tick
        reading.rig

    `close()` ends it early. Raises SynCamError from `step`; the playhead is put back then too.
    """

    def __init__(
        self,
        sequence: unreal.LevelSequence,
        scope: SequenceScope,
        *,
        pictures: int,
        fps: Fraction,
        anchor: str = "",
        size_px: tuple[int, int] | None = None,
    ) -> None:
        self.sequence = sequence
        self.scene_frames = frames_of_pictures(sequence, scope, pictures, fps)
        self.rig: Rig | None = None
        self._scope, self._fps, self._anchor, self._size_px = scope, fps, anchor, size_px
        self._done = 0
        self._steps: Iterator[None] | None = self._read()

    @property
    def progress(self) -> float:
        """0 to 1."""
        return self._done / len(self.scene_frames)

    def step(self, frames: int = 4) -> bool:
        """Read some frames; return True when the rig is there."""
        try:
            for _ in range(frames):
                if self._steps is None or next(self._steps, "end") == "end":
                    self._steps = None
                    return True
        except BaseException:
            self._steps = None
            raise
        return False

    def close(self) -> None:
        """Stop reading and put the playhead back."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _read(self) -> Iterator[None]:
        with opened(self.sequence):
            yield from self._read_frames()

    def _read_frames(self) -> Iterator[None]:
        units_per_m = camera_reading.world_to_meters()
        compat.set_playhead(self.scene_frames[0])
        components = camera_components(self.sequence, self._scope.which)
        if not components:
            raise SynCamError(
                "rig.no_cameras",
                f"The sequence '{self.sequence.get_name()}' binds no camera.",
                value=0,
                nearest=1,
                fix="Add cameras to the sequence",
            )
        readings: list[list[camera_reading.CameraReading]] = [[] for _ in components]
        for frame in self.scene_frames:
            check_open(self.sequence)
            compat.set_playhead(frame)
            for track, component in zip(readings, components, strict=True):
                track.append(camera_reading.read_camera(component, units_per_m))
            self._done += 1
            yield
        names = camera_reading.unique_names([(r[0].label, r[0].path) for r in readings])
        self.rig = Rig(
            cameras=tuple(
                camera_reading.make_camera(name, track, self._size_px)
                for name, track in zip(names, readings, strict=True)
            ),
            anchor=camera_reading.anchor_index(names, self._anchor),
            fps=self._fps,
            source=self.sequence.get_path_name().split(".")[0],
            source_unit=unit_text(units_per_m),
        )
