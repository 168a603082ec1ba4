# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips into the scene: plates, camera backgrounds, sequencer strips, materials. Uses bpy.

Each camera gets its own clip. What an earlier run made is updated in place.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import bpy

from syncam_engine.link.camera import Camera
from syncam_engine.link.rig_json import rig_from_dict

from . import cameras, compat, plates, settings, strips
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
    notes += follow_cameras(scene)
    for clip, camera, thing, reference in found:
        if thing is not None and "PLATES" in wanted:
            unit_m = scene.unit_settings.scale_length
            plates.show(scene, thing, camera, clip, record.plate_distance / unit_m)
        if thing is not None and "BACKGROUNDS" in wanted:
            if thing.data.library is not None:
                notes.append(
                    f"Camera {clip.camera!r} is linked from another file, so its background "
                    "cannot be set; its plate can."
                )
            else:
                _set_background(thing.data, clip, scene)
        if "MATERIAL" in wanted:
            screen = settings.screen_of(scene, thing) if thing is not None else None
            screen = screen or scene.objects.get(reference.get("screen", ""))
            if screen is None and reference.get("screen"):
                notes.append(f"The object {reference['screen']!r} is not in the scene any more.")
            elif screen is None:
                notes.append(
                    f"Camera {clip.camera!r} has no object whose material could show its clip; "
                    "choose one in the rig's box and apply the job again."
                )
            elif not _can_show(screen):
                notes.append(
                    f"The material of {screen.name!r} is linked from another file, so it cannot "
                    f"show the clip of camera {clip.camera!r}; give it a material of its own."
                )
            else:
                _set_material(screen, clip, scene)
    if "SEQUENCER" in wanted and found:
        shown = [(clip, camera, thing) for clip, camera, thing, _ in found if thing is not None]
        if shown:
            strips.show(scene, shown, Fraction(*record.clips[0]["fps"]))
    return notes


def follow_cameras(scene: bpy.types.Scene) -> list[str]:
    """Bring what shows clips in line with cameras that were renamed or deleted since; return what
    was hidden, in sentences. Touches nothing when all is right."""
    return [*plates.follow_cameras(scene), *strips.follow_cameras(scene)]


def _set_background(data: bpy.types.Camera, clip: Clip, scene: bpy.types.Scene) -> None:
    data.show_background_images = True
    index = _background_of(data, clip.camera)
    if index is None:
        data.background_images.new()
        index = len(data.background_images) - 1
    background = data.background_images[index]
    background.image = plates.movie_image(background.image, clip, scene, "BACKGROUNDS")
    background.alpha = 1.0
    background.display_depth = "FRONT"
    background.frame_method = "CROP" if clip.fit_rule == "letterbox" else "FIT"
    plates.play(data, f"background_images[{index}].image_user", clip)


def _background_of(data: bpy.types.Camera, name: str) -> int | None:
    """Return the place of the background that an earlier run made for the camera object `name`.

    Objects that share their camera's data have one each there; a single one's may have been
    renamed since.
    """
    ours = {
        i: background.image[KEY]
        for i, background in enumerate(data.background_images)
        if background.image is not None
        and background.image.library is None
        and KEY in background.image
    }
    named = next((i for i, shown in ours.items() if shown == name), None)
    if named is not None or len(ours) != 1 or data.users > 1:
        return named
    return next(iter(ours))


def _can_show(thing: bpy.types.Object) -> bool:
    """Whether an object's material, or its lack of one, can be changed in this file."""
    if thing.active_material is not None:
        return thing.active_material.library is None
    return thing.library is None and thing.data.library is None


def _set_material(thing: bpy.types.Object, clip: Clip, scene: bpy.types.Scene) -> None:
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
    texture.image = plates.movie_image(texture.image, clip, scene, "MATERIAL")
    material[KEY] = clip.camera
    shader = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
    if shader is not None and not texture.outputs[0].is_linked:
        tree.links.new(texture.outputs["Color"], shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = 1.0
        shader.inputs["Base Color"].default_value = (0.0, 0.0, 0.0, 1.0)
        for link in list(shader.inputs["Base Color"].links):
            tree.links.remove(link)
    plates.play(tree, 'nodes["SynCam"].image_user', clip)
