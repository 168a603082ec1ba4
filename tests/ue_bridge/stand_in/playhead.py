# SPDX-License-Identifier: Apache-2.0
"""The open sequence: spawning, the playhead, evaluation of transform and float tracks.

Opening a sequence spawns its spawnables; setting the playhead evaluates the root and the shots and
sub-sequences under it.
"""

from __future__ import annotations

from typing import Any

from .editor import destroy
from .generator import BEHAVIOURS as B
from .sequencer import clone_actor, objects_of
from .tracks import channel_value
from .world import editor_of, root_of, types_of


def _inside(section: Any, frame: float) -> bool:
    start, end = section._range
    return (start is None or frame >= start) and (end is None or frame < end)


def sub_sections(sequence: Any) -> list[Any]:
    kind = types_of(sequence)["MovieSceneSubTrack"]
    return [s for t in sequence._tracks if isinstance(t, kind) for s in t._sections]


def all_sequences(sequence: Any) -> list[Any]:
    found = [sequence]
    for section in sub_sections(sequence):
        inner = section._values.get("sub_sequence")
        if inner is not None:
            found += all_sequences(inner)
    return found


def open_sequence(editor: Any, sequence: Any) -> None:
    close_sequence(editor)
    editor.sequence_root = sequence
    for inner in all_sequences(sequence):
        for binding in inner._bindings:
            if binding.spawnable and binding.guid not in editor.spawned:
                actor = editor.add_actor(clone_actor(binding.thing), binding.name)
                editor.spawned[binding.guid] = actor
    set_frame(editor, float(sequence._start))


def close_sequence(editor: Any) -> None:
    editor.sequence_root = None
    for actor in editor.spawned.values():
        if actor in editor.actors:
            editor.actors.remove(actor)
            destroy(actor)
    editor.spawned = {}


def set_frame(editor: Any, frame: float) -> None:
    editor.frame = frame
    if editor.sequence_root is not None:
        evaluate(editor, editor.sequence_root, frame)


def evaluate(editor: Any, sequence: Any, frame: float) -> None:
    types = types_of(sequence)
    for binding in sequence._bindings:
        for thing in objects_of(editor, binding):
            for track in binding.tracks:
                for section in track._sections:
                    if not _inside(section, frame):
                        continue
                    if isinstance(section, types["MovieScene3DTransformSection"]):
                        _place(thing, [channel_value(c, frame) for c in section._channels])
                    elif isinstance(section, types["MovieSceneFloatSection"]):
                        value = channel_value(section._channels[0], frame)
                        thing.set_editor_property(_snake(track._property), value)
    for section in sub_sections(sequence):
        inner = section._values.get("sub_sequence")
        if inner is not None and _inside(section, frame):
            evaluate(editor, inner, frame - (section._range[0] or 0) + inner._start)


def _place(thing: Any, values: list[float]) -> None:
    types = types_of(thing)
    component = root_of(thing) if isinstance(thing, types["Actor"]) else thing
    x, y, z, roll, pitch, yaw, sx, sy, sz = values
    component._relative = types["Transform"](
        types["Vector"](x, y, z), types["Rotator"](roll, pitch, yaw), types["Vector"](sx, sy, sz)
    )


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


LIBRARY = "LevelSequenceEditorBlueprintLibrary"


@B.method(LIBRARY, "open_level_sequence")
def _open_level_sequence(cls, level_sequence):
    open_sequence(editor_of(cls), level_sequence)
    return True


@B.method(LIBRARY, "close_level_sequence")
def _close_level_sequence(cls):
    close_sequence(editor_of(cls))


@B.method(LIBRARY, "get_current_level_sequence")
def _get_current_level_sequence(cls):
    return editor_of(cls).sequence_root


@B.method(LIBRARY, "refresh_current_level_sequence")
def _refresh_current_level_sequence(cls):
    set_frame(editor_of(cls), editor_of(cls).frame)


@B.method(LIBRARY, "set_global_position")
def _set_global_position(cls, playback_params, time_unit):
    frame = playback_params.frame
    set_frame(editor_of(cls), frame.frame_number.value + frame.sub_frame)


@B.method(LIBRARY, "get_global_position")
def _get_global_position(cls, time_unit):
    types = types_of(cls)
    frame = editor_of(cls).frame
    made = types["MovieSceneSequencePlaybackParams"]()
    made.frame = types["FrameTime"](types["FrameNumber"](int(frame // 1)), frame % 1)
    return made


@B.method(LIBRARY, "get_bound_objects")
def _get_bound_objects(cls, object_binding):
    return objects_of(editor_of(cls), object_binding._binding)
