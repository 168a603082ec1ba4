# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips into the scene: plates, camera backgrounds, sequencer strips, materials. Uses bpy.

Each camera gets its own clip. What an earlier run made is updated in place.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import bpy

from syncam_engine.link.camera import Camera
from syncam_engine.link.rig_json import rig_from_dict

from . import cameras, compat, plates
from .jobs import JobRecord
from .plates import KEY, Clip


def clips_of(record: JobRecord) -> list[Clip]:
    """Return the record's clips as scenes show them; those whose file is missing are left out."""
    return [
        Clip(
            camera=clip["camera"],
            path=Path(clip["local"]),
            frames=clip["frames"],
            width_px=clip["width"],
            height_px=clip["height"],
            frame_start=record.frame_start,
            frame_step=record.frame_step,
            fit_rule=record.request.get("fit_rule", "crop"),
            job_id=record.job_id,
            digest=clip["digest"],
        )
        for clip in record.clips
        if clip.get("local") and Path(clip["local"]).is_file()
    ]


def find_camera(
    scene: bpy.types.Scene, reference: dict, *, same_session: bool
) -> bpy.types.Object | None:
    """Return a job's camera object: by its id in this session (a rename keeps it), else by name."""
    present = cameras.scene_cameras(scene)
    if same_session:
        for thing in present:
            if thing.session_uid == reference["uid"]:
                return thing
    return next((thing for thing in present if thing.name_full == reference["object"]), None)


def apply(
    record: JobRecord,
    scene: bpy.types.Scene,
    *,
    targets: list[str] | None = None,
    same_session: bool = True,
) -> list[str]:
    """Bring a job's clips into `scene`; return sentences about what could not be brought."""
    wanted = record.targets if targets is None else targets
    rig = {camera.name: camera for camera in rig_from_dict(record.request["rig"]).cameras}
    references = {reference["name"]: reference for reference in record.cameras}
    notes: list[str] = []
    found: list[tuple[Clip, Camera, bpy.types.Object | None, dict]] = []
    for clip in clips_of(record):
        reference = references[clip.camera]
        thing = find_camera(scene, reference, same_session=same_session)
        if thing is None:
            notes.append(
                f"Camera {clip.camera!r} is not in the scene any more; its clip is kept at "
                f"{clip.path}."
            )
        found.append((clip, rig[clip.camera], thing, reference))
    for clip, camera, thing, reference in found:
        if thing is not None:
            plates.follow_rename(scene, thing, clip.camera)
        if thing is not None and "PLATES" in wanted:
            plates.show(scene, thing, camera, clip, record.plate_distance)
        if thing is not None and "BACKGROUNDS" in wanted:
            if thing.data.library is not None:
                notes.append(
                    f"Camera {clip.camera!r} is linked from another file, so its background "
                    "cannot be set; its plate can."
                )
            else:
                _set_background(thing.data, plates.movie_image(clip, scene), clip)
        if "MATERIAL" in wanted and reference.get("screen"):
            screen = scene.objects.get(reference["screen"])
            if screen is None:
                notes.append(f"The object {reference['screen']!r} is not in the scene any more.")
            elif not _can_show(screen):
                notes.append(
                    f"The material of {screen.name!r} is linked from another file, so it cannot "
                    f"show the clip of camera {clip.camera!r}; give it a material of its own."
                )
            else:
                _set_material(screen, plates.movie_image(clip, scene), clip)
    if "SEQUENCER" in wanted and found:
        shown = [clip for clip, *_ in found]
        _set_strips(edit_scene(scene, shown[0], Fraction(*record.clips[0]["fps"])), shown)
    return notes


def _set_background(data: bpy.types.Camera, image: bpy.types.Image, clip: Clip) -> None:
    data.show_background_images = True
    index = next((i for i, b in enumerate(data.background_images) if b.image == image), None)
    if index is None:
        data.background_images.new().image = image
        index = len(data.background_images) - 1
    background = data.background_images[index]
    background.alpha = 1.0
    background.display_depth = "FRONT"
    background.frame_method = "CROP" if clip.fit_rule == "letterbox" else "FIT"
    plates.play(data, f"background_images[{index}].image_user", clip)


def _can_show(thing: bpy.types.Object) -> bool:
    """Whether an object's material, or its lack of one, can be changed in this file."""
    if thing.active_material is not None:
        return thing.active_material.library is None
    return thing.library is None and thing.data.library is None


def _set_material(thing: bpy.types.Object, image: bpy.types.Image, clip: Clip) -> None:
    """Show a clip as the colour and glow of an object's active material."""
    material = thing.active_material
    if material is None:
        material = bpy.data.materials.new(f"SynCam {thing.name}")
        thing.active_material = material
    tree = compat.enable_nodes(material)
    texture = tree.nodes.get("SynCam")
    if texture is None or texture.type != "TEX_IMAGE":
        texture = tree.nodes.new("ShaderNodeTexImage")
        texture.name = texture.label = "SynCam"
        texture.location = (-500, 300)
    texture.image = image
    material[KEY] = clip.camera
    shader = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
    if shader is not None and not texture.outputs[0].is_linked:
        tree.links.new(texture.outputs["Color"], shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = 1.0
        shader.inputs["Base Color"].default_value = (0.0, 0.0, 0.0, 1.0)
        for link in list(shader.inputs["Base Color"].links):
            tree.links.remove(link)
    plates.play(tree, 'nodes["SynCam"].image_user', clip)


def edit_scene(scene: bpy.types.Scene, clip: Clip, fps: Fraction) -> bpy.types.Scene:
    """Return the scene that holds the strips of `scene`, made when there is none.

    A scene of its own: strips in the artist's scene would take the place of its renders, play at
    its rate and pass its view transform. Here they play at the clips' rate, unaltered.
    """
    edit = next((s for s in bpy.data.scenes if s.get("syncam_edit") == scene.name), None)
    if edit is None:
        edit = bpy.data.scenes.new(f"{scene.name} SynCam Edit")
        edit["syncam_edit"] = scene.name
        edit.view_settings.view_transform = "Standard"
    edit.render.fps = math.ceil(fps)
    edit.render.fps_base = float(edit.render.fps / fps)
    edit.render.resolution_x, edit.render.resolution_y = clip.width_px, clip.height_px
    edit.frame_start, edit.frame_end = 1, clip.frames
    return edit


def _set_strips(scene: bpy.types.Scene, clips: list[Clip]) -> None:
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
    if not base or any(channel in taken for channel in range(base, base + len(clips) + 1)):
        base = max(taken, default=0) + 1
    for row, clip in enumerate(clips):
        strip = strips.new_movie(
            name=clip.camera, filepath=str(clip.path), channel=base + row, frame_start=1
        )
        strip[KEY] = clip.camera
        if bpy.data.filepath:
            strip.filepath = bpy.path.relpath(strip.filepath)
    chooser = compat.new_effect_strip(
        strips,
        name="SynCam cameras",
        kind="MULTICAM",
        channel=base + len(clips),
        frame_start=1,
        length=clips[0].frames,
    )
    chooser[KEY] = "*"
    chooser.multicam_source = source if base <= source < base + len(clips) else base
