# SPDX-License-Identifier: Apache-2.0
"""Level Sequences: bindings, tracks, sections, channels, and the evaluation of the open sequence.

Opening a sequence spawns its spawnables; setting the playhead evaluates transform and float tracks
of the root and of the shots and sub-sequences under it. Ends of ranges are exclusive.
"""

from __future__ import annotations

import itertools
from typing import Any

from .editor import destroy
from .generator import BEHAVIOURS as B
from .world import editor_of, root_of, types_of

_guids = itertools.count(1)


class Binding:
    """One binding of a sequence: what it possesses, or the template that it spawns."""

    def __init__(self, sequence: Any, name: str, thing: Any, spawnable: bool) -> None:
        self.sequence, self.name, self.thing, self.spawnable = sequence, name, thing, spawnable
        self.guid = next(_guids)
        self.tracks: list[Any] = []
        self.parent: Binding | None = None


def proxy_of(binding: Binding) -> Any:
    types = types_of(binding.sequence)
    made = types["MovieSceneBindingProxy"](guid_of(binding), binding.sequence)
    made._binding = binding
    return made


def guid_of(binding: Binding) -> Any:
    made = types_of(binding.sequence)["Guid"]()
    made._values.update(a=7, b=0, c=0, d=binding.guid)
    return made


@B.method("Guid", "to_string")
def _guid_to_string(self):
    return "".join(f"{self._values.get(part, 0):08X}" for part in "abcd")


@B.method("MovieSceneBindingProxy", "get_id")
def _proxy_get_id(self):
    return guid_of(self._binding)


@B.initialiser("MovieSceneSequence")
def _sequence_init(self):
    rate = types_of(self)["FrameRate"]
    self._bindings, self._tracks = [], []
    self._display_rate, self._start, self._end = rate(30, 1), 0, 150


@B.method("MovieSceneSequence", "get_display_rate")
def _get_display_rate(self):
    return self._display_rate


@B.method("MovieSceneSequence", "set_display_rate")
def _set_display_rate(self, display_rate):
    self._display_rate = display_rate


@B.method("MovieSceneSequence", "get_playback_start")
def _get_playback_start(self):
    return self._start


@B.method("MovieSceneSequence", "get_playback_end")
def _get_playback_end(self):
    return self._end


@B.method("MovieSceneSequence", "set_playback_start")
def _set_playback_start(self, start_frame):
    self._start = start_frame


@B.method("MovieSceneSequence", "set_playback_end")
def _set_playback_end(self, end_frame):
    self._end = end_frame


@B.method("MovieSceneSequence", "get_bindings")
def _get_bindings(self):
    return [proxy_of(b) for b in self._bindings]


@B.method("MovieSceneSequence", "get_possessables")
def _get_possessables(self):
    return [proxy_of(b) for b in self._bindings if not b.spawnable]


@B.method("MovieSceneSequence", "get_spawnables")
def _get_spawnables(self):
    return [proxy_of(b) for b in self._bindings if b.spawnable]


@B.method("MovieSceneSequence", "add_possessable")
def _add_possessable(self, object_to_possess):
    actor = isinstance(object_to_possess, types_of(self)["Actor"])
    name = object_to_possess._label if actor else object_to_possess.get_name()
    made = Binding(self, name, object_to_possess, False)
    if not actor:
        made.parent = next((b for b in self._bindings if b.thing is object_to_possess._outer), None)
    self._bindings.append(made)
    return proxy_of(made)


@B.method("MovieSceneSequence", "add_spawnable_from_instance")
def _add_spawnable_from_instance(self, object_to_spawn):
    template = clone_actor(object_to_spawn)
    template._outer = self
    made = Binding(self, object_to_spawn._label, template, True)
    self._bindings.append(made)
    return proxy_of(made)


@B.method("MovieSceneSequence", "add_spawnable_from_class")
def _add_spawnable_from_class(self, class_to_spawn):
    template = class_to_spawn()
    template._outer = self
    made = Binding(self, class_to_spawn.__name__, template, True)
    self._bindings.append(made)
    return proxy_of(made)


def clone_actor(actor: Any) -> Any:
    """Return an unplaced copy: the same class, component values and transforms."""
    made = type(actor)()
    made._label = actor._label
    for new, old in zip(made._components, actor._components, strict=True):
        new._values.update({k: v for k, v in old._values.items() if k not in ("camera_component",)})
        new._relative = old._relative.copy()
        new.__dict__["_materials"] = dict(old.__dict__.get("_materials", {}))
    return made


@B.method("MovieSceneSequence", "get_tracks")
def _get_tracks(self):
    return list(self._tracks)


@B.method("MovieSceneSequence", "find_tracks_by_type")
def _find_tracks_by_type(self, track_type):
    return [t for t in self._tracks if isinstance(t, track_type)]


@B.method("MovieSceneSequence", "add_track")
def _add_track(self, track_type):
    self._tracks.append(track_type(self))
    return self._tracks[-1]


@B.method("MovieSceneSequence", "remove_track")
def _remove_track(self, track):
    self._tracks.remove(track)
    return True


@B.method("MovieSceneSequence", "get_binding_id")
def _get_binding_id(self, binding):
    made = types_of(self)["MovieSceneObjectBindingID"]()
    made._binding = binding._binding
    return made


@B.method("MovieSceneSequence", "get_portable_binding_id")
def _get_portable_binding_id(self, destination_sequence, binding):
    return _get_binding_id(self, binding)


@B.method("MovieSceneSequence", "resolve_binding_id")
def _resolve_binding_id(self, object_binding_id):
    return proxy_of(object_binding_id._binding)


@B.method("MovieSceneSequence", "locate_bound_objects")
def _locate_bound_objects(self, binding, context):
    return objects_of(editor_of(self), binding._binding)


def objects_of(editor: Any, binding: Binding) -> list[Any]:
    if binding.spawnable:
        return [editor.spawned[binding.guid]] if binding.guid in editor.spawned else []
    return [] if binding.thing.__dict__.get("_destroyed") else [binding.thing]


# Binding proxies ------------------------------------------------------------------------------


@B.method("MovieSceneBindingProxy", "is_valid")
def _proxy_is_valid(self):
    return hasattr(self, "_binding") and self._binding in self._binding.sequence._bindings


@B.method("MovieSceneBindingProxy", "get_name")
def _proxy_get_name(self):
    return self._binding.name


@B.method("MovieSceneBindingProxy", "get_display_name")
def _proxy_get_display_name(self):
    return self._binding.name


@B.method("MovieSceneBindingProxy", "set_display_name")
def _proxy_set_display_name(self, display_name):
    self._binding.name = str(display_name)


@B.method("MovieSceneBindingProxy", "get_object_template")
def _proxy_get_object_template(self):
    return self._binding.thing if self._binding.spawnable else None


@B.method("MovieSceneBindingProxy", "get_possessed_object_class")
def _proxy_get_possessed_object_class(self):
    return type(self._binding.thing)


@B.method("MovieSceneBindingProxy", "get_parent")
def _proxy_get_parent(self):
    if self._binding.parent is None:
        return types_of(self)["MovieSceneBindingProxy"]()
    return proxy_of(self._binding.parent)


@B.method("MovieSceneBindingProxy", "get_tracks")
def _proxy_get_tracks(self):
    return list(self._binding.tracks)


@B.method("MovieSceneBindingProxy", "find_tracks_by_type")
def _proxy_find_tracks_by_type(self, track_type):
    return [t for t in self._binding.tracks if isinstance(t, track_type)]


@B.method("MovieSceneBindingProxy", "add_track")
def _proxy_add_track(self, track_type):
    self._binding.tracks.append(track_type(self._binding.sequence))
    return self._binding.tracks[-1]


@B.method("MovieSceneBindingProxy", "remove")
def _proxy_remove(self):
    self._binding.sequence._bindings.remove(self._binding)


# Tracks, sections, channels -------------------------------------------------------------------

SECTION_OF = {
    "MovieSceneCameraCutTrack": "MovieSceneCameraCutSection",
    "MovieScene3DTransformTrack": "MovieScene3DTransformSection",
    "MovieSceneFloatTrack": "MovieSceneFloatSection",
    "MovieSceneSkeletalAnimationTrack": "MovieSceneSkeletalAnimationSection",
    "MovieSceneMediaTrack": "MovieSceneMediaSection",
    "MovieSceneSubTrack": "MovieSceneSubSection",
    "MovieSceneCinematicShotTrack": "MovieSceneCinematicShotSection",
}
TRANSFORM_CHANNELS = tuple(f"{p}.{a}" for p in ("Location", "Rotation", "Scale") for a in "XYZ")


@B.initialiser("MovieSceneTrack")
def _track_init(self):
    self._sections = []


@B.method("MovieSceneTrack", "add_section")
def _add_section(self):
    made = types_of(self)[SECTION_OF[type(self).__name__]](self)
    self._sections.append(made)
    return made


@B.method("MovieSceneTrack", "get_sections")
def _get_sections(self):
    return list(self._sections)


@B.method("MovieSceneTrack", "set_display_name")
def _track_set_display_name(self, name):
    self._display_name = str(name)


@B.method("MovieSceneTrack", "get_display_name")
def _track_get_display_name(self):
    return self.__dict__.get("_display_name", type(self).__name__)


@B.method("MovieScenePropertyTrack", "set_property_name_and_path")
def _set_property_name_and_path(self, property_name, property_path):
    self._property = str(property_name)


@B.initialiser("MovieSceneSection")
def _section_init(self):
    self._range = (None, None)
    names = {
        "MovieScene3DTransformSection": TRANSFORM_CHANNELS,
        "MovieSceneFloatSection": ("Float",),
    }
    kind = {"MovieScene3DTransformSection": "MovieSceneScriptingDoubleChannel"}
    kind = kind.get(type(self).__name__, "MovieSceneScriptingFloatChannel")
    self._channels = []
    for name in names.get(type(self).__name__, ()):
        channel = types_of(self)[kind](self)
        channel._values["channel_name"] = type(self)._gen.types["Name"](name)
        channel._keys, channel._default = [], 1.0 if name.startswith("Scale") else 0.0
        self._channels.append(channel)


@B.method("MovieSceneSection", "set_range")
def _set_range(self, start_frame, end_frame):
    self._range = (start_frame, end_frame)


@B.method("MovieSceneSection", "has_start_frame")
def _has_start_frame(self):
    return self._range[0] is not None


@B.method("MovieSceneSection", "has_end_frame")
def _has_end_frame(self):
    return self._range[1] is not None


@B.method("MovieSceneSection", "get_start_frame")
def _get_start_frame(self):
    return self._range[0]


@B.method("MovieSceneSection", "get_end_frame")
def _get_end_frame(self):
    return self._range[1]


@B.method("MovieSceneSection", "is_active")
def _is_active(self):
    return self.__dict__.get("_active", True)


@B.method("MovieSceneSection", "get_all_channels")
def _get_all_channels(self):
    return list(self._channels)


@B.method("MovieSceneCameraCutSection", "set_camera_binding_id")
def _set_camera_binding_id(self, camera_binding_id):
    self._camera = camera_binding_id


@B.method("MovieSceneCameraCutSection", "get_camera_binding_id")
def _get_camera_binding_id(self):
    return self._camera


@B.method("MovieSceneSubSection", "set_sequence")
def _set_sequence(self, sequence):
    self._values["sub_sequence"] = sequence


@B.method("MovieSceneSubSection", "get_sequence")
def _get_sequence(self):
    return self._values.get("sub_sequence")


def _channel_behaviours(owner: str, key_type: str) -> None:
    def add_key(self, time, new_value, sub_frame, time_unit, interpolation):
        self._keys.append((time.value + sub_frame, new_value))
        self._keys.sort()
        return types_of(self)[key_type](self)

    def set_default(self, default_value):
        self._default = default_value

    def get_num_keys(self):
        return len(self._keys)

    for name, call in (
        ("add_key", add_key),
        ("set_default", set_default),
        ("get_num_keys", get_num_keys),
    ):
        B.method(owner, name)(call)


_channel_behaviours("MovieSceneScriptingDoubleChannel", "MovieSceneScriptingDoubleKey")
_channel_behaviours("MovieSceneScriptingFloatChannel", "MovieSceneScriptingFloatKey")


def channel_value(channel: Any, frame: float) -> float:
    keys = channel._keys
    if not keys:
        return channel._default
    if frame <= keys[0][0]:
        return keys[0][1]
    for (t0, v0), (t1, v1) in itertools.pairwise(keys):
        if frame <= t1:
            return v0 + (v1 - v0) * (frame - t0) / (t1 - t0)
    return keys[-1][1]


# The open sequence ----------------------------------------------------------------------------


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
