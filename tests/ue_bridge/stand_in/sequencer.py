# SPDX-License-Identifier: Apache-2.0
"""Level Sequences: their bindings, and the proxies by which Python speaks of them."""

from __future__ import annotations

import itertools
from typing import Any

from .generator import BEHAVIOURS as B
from .world import editor_of, types_of

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
