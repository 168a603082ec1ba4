# SPDX-License-Identifier: Apache-2.0
"""Tracks, sections and channels of a Level Sequence. Ends of ranges are exclusive."""

from __future__ import annotations

import itertools
from typing import Any

from .generator import BEHAVIOURS as B
from .world import types_of

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
