# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips as strips in sync, in a scene of their own beside the artist's. Uses bpy."""

from __future__ import annotations

import math
from fractions import Fraction

import bpy

from syncam_engine.link.camera import Camera
from syncam_engine.link.fit import fit_camera

from . import cameras, compat
from .plates import KEY, Clip

CAMERA = "syncam_object"
"""Custom property of a strip: its camera object, whatever that is called by now."""
SCENE = "syncam_scene"
"""Custom property of a scene of strips: the artist's scene that they belong to."""

Shown = tuple[Clip, Camera, bpy.types.Object]
"""A clip, the camera that it was made for, and that camera's object."""


def edit_of(scene: bpy.types.Scene) -> bpy.types.Scene | None:
    """Return the scene that holds the strips of `scene`."""
    made = [s for s in bpy.data.scenes if "syncam_edit" in s and s.library is None]
    own = next((s for s in made if s.get(SCENE) == scene), None)
    return own or next(
        (s for s in made if s.get(SCENE) is None and s["syncam_edit"] == scene.name), None
    )


def show(scene: bpy.types.Scene, shown: list[Shown], fps: Fraction) -> None:
    """Show clips in the scene of strips of `scene`, made when there is none.

    A scene of its own: strips in the artist's scene would take the place of its renders, play at
    its rate and pass its view transform. Here they play at the clips' rate, unaltered, and as large
    as the part of the clips' pictures that is not bars.
    """
    edit = edit_of(scene)
    if edit is None:
        edit = bpy.data.scenes.new(f"{scene.name} SynCam Edit")
        edit.view_settings.view_transform = "Standard"
    edit["syncam_edit"], edit[SCENE] = scene.name, scene
    edit.render.fps = math.ceil(fps)
    edit.render.fps_base = float(edit.render.fps / fps)
    clip, camera, _ = shown[0]
    left, top, right, bottom = fit_camera(
        camera, clip.width_px, clip.height_px, clip.fit_rule
    ).plate
    # Strips lie in the middle at their own size: what is outside is cut off.
    edit.render.resolution_x = max(4, round((right - left) * clip.width_px))
    edit.render.resolution_y = max(4, round((bottom - top) * clip.height_px))
    edit.frame_start, edit.frame_end = 1, clip.frames
    _set_strips(edit, shown)


def follow_cameras(scene: bpy.types.Scene) -> list[str]:
    """Bring the strips in line with their cameras' names, mute those whose camera was deleted.
    Return what was muted, in sentences."""
    edit = edit_of(scene)
    if edit is None or edit.sequence_editor is None:
        return []
    strips, notes = compat.strips_of(edit.sequence_editor), []
    for strip in [strip for strip in strips if CAMERA in strip]:
        thing = strip[CAMERA]
        if thing is None or not thing.users_scene:
            strip.mute = True
            # Else this would keep a camera that was deleted in the file.
            del strip[CAMERA]
            fate = "its strip is muted, and goes at the next run."
            notes.append(f"Camera {strip[KEY]!r} was deleted: {fate}")
        elif strip[KEY] != cameras.rig_name(thing):
            strip[KEY] = strip.name = cameras.rig_name(thing)
    if notes:
        _choose_unmuted(strips)
    return notes


def _choose_unmuted(strips: bpy.types.StripsTopLevel) -> None:
    """Have the multicam strip show no camera that was deleted."""
    chooser = next((s for s in strips if s.type == "MULTICAM" and s.get(KEY) == "*"), None)
    shown = sorted(s.channel for s in strips if s.type == "MOVIE" and KEY in s and not s.mute)
    if chooser is not None and shown and chooser.multicam_source not in shown:
        chooser.multicam_source = shown[0]


def _set_strips(scene: bpy.types.Scene, shown: list[Shown]) -> None:
    """One movie strip a camera, one above the other, and a multicam strip that chooses among them.

    Strips of an earlier run make room; the chosen camera stays chosen.
    """
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = compat.strips_of(editor)
    old = [strip for strip in strips if strip.get(KEY)]
    base = min((strip.channel for strip in old), default=0)
    source = next((s.multicam_source for s in old if s.type == "MULTICAM"), 0)
    for strip in old:
        strips.remove(strip)
    taken = {strip.channel for strip in strips}
    if not base or any(channel in taken for channel in range(base, base + len(shown) + 1)):
        base = max(taken, default=0) + 1
    for row, (clip, _, thing) in enumerate(shown):
        strip = strips.new_movie(
            name=clip.camera, filepath=str(clip.path), channel=base + row, frame_start=1
        )
        strip[KEY], strip[CAMERA] = clip.camera, thing
        if bpy.data.filepath:
            strip.filepath = bpy.path.relpath(strip.filepath)
    chooser = compat.new_effect_strip(
        strips,
        name="SynCam cameras",
        kind="MULTICAM",
        channel=base + len(shown),
        frame_start=1,
        length=shown[0][0].frames,
    )
    chooser[KEY] = "*"
    chooser.multicam_source = source if base <= source < base + len(shown) else base
