# SPDX-License-Identifier: GPL-3.0-or-later
"""Media plates: a screen in front of its camera that shows its clip and fills its frame exactly.

A plate follows its camera by constraints, not by parenting, so that a scaled parent of the camera
does not stretch it. Its clip is on an image texture with source MOVIE, shown as it is: emission,
seen by the camera only, in the colour space that undoes the scene's view transform. The next run
updates the same objects and datablocks in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from syncam_engine.link.camera import Camera
from syncam_engine.link.fit import fit_camera

from . import compat, timing

COLLECTION = "SynCam"
KEY = "syncam_camera"
"""Custom property of a plate, its image and its materials: the camera's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One camera's result: what a plate, a background, a strip or a material shows."""

    camera: str
    path: Path
    frames: int
    width_px: int
    height_px: int
    frame_start: int
    """The scene frame of the clip's first picture."""
    frame_step: int = 1
    """Scene frames from one picture to the next."""
    job_id: str = ""
    digest: str = ""
    fit_rule: str = "crop"


def collection_of(scene: bpy.types.Scene) -> bpy.types.Collection:
    """Return the scene's SynCam collection, made when there is none."""
    for child in scene.collection.children:
        if child.library is None and child.get("syncam"):
            return child
    collection = bpy.data.collections.new(COLLECTION)
    collection["syncam"] = True
    collection.color_tag = "COLOR_05"
    scene.collection.children.link(collection)
    return collection


def find_plate(scene: bpy.types.Scene, camera_name: str) -> bpy.types.Object | None:
    for thing in scene.objects:
        if thing.library is None and thing.type == "MESH" and thing.get(KEY) == camera_name:
            return thing
    return None


def follow_rename(scene: bpy.types.Scene, thing: bpy.types.Object, name: str) -> None:
    """Have what shows camera `thing` go by `name`, which the camera may have been given since.

    Else the next run would put a second plate on the first.
    """
    if find_plate(scene, name) is not None:
        return
    plate = next((p for p in scene.objects if p.get(KEY) and _target_of(p) == thing), None)
    if plate is None or plate.library is not None:
        return
    old, plate.name = plate[KEY], f"SynCam Plate {name}"
    for owner in (plate, *bpy.data.images, *plate.data.materials):
        if owner is not None and owner.library is None and owner.get(KEY) == old:
            owner[KEY] = name


def _target_of(plate: bpy.types.Object) -> bpy.types.Object | None:
    return next((c.target for c in plate.constraints if c.type == "COPY_LOCATION"), None)


def movie_image(clip: Clip, scene: bpy.types.Scene) -> bpy.types.Image:
    """Return the camera's movie datablock, now on this clip; always the same datablock."""
    image = next(
        (i for i in bpy.data.images if i.get(KEY) == clip.camera and i.source == "MOVIE"), None
    )
    if image is None or image.library is not None:
        image = bpy.data.images.load(str(clip.path), check_existing=False)
        image.source = "MOVIE"
        image[KEY] = clip.camera
    else:
        image.filepath = str(clip.path)
        image.reload()
    image.name = f"SynCam {clip.camera}"
    image["syncam_job"], image["syncam_digest"] = clip.job_id, clip.digest
    # A movie has no colour space before its first picture is read.
    _ = image.size[0]
    make_relative(image)
    compat.set_colorspace(image, compat.unaltered_colorspace(scene))
    return image


def make_relative(image: bpy.types.Image) -> None:
    """Store the path relative to the saved .blend; unsaved, or across drives, it is absolute."""
    if not bpy.data.filepath:
        return
    try:
        image.filepath = bpy.path.relpath(bpy.path.abspath(image.filepath))
    except ValueError:
        return


def play(owner: bpy.types.ID, path: str, clip: Clip) -> None:
    """Play a clip at its pace from its scene frame on, holding its last picture.

    `path` leads from the owner (a node tree, a camera's data) to the image user.
    """
    user = owner.path_resolve(path)
    user.frame_start = clip.frame_start
    user.frame_duration = clip.frames * clip.frame_step
    user.use_cyclic = False
    user.use_auto_refresh = True
    owner.driver_remove(f"{path}.frame_offset")
    user.frame_offset = 0
    expression = timing.offset_expression(clip.frame_start, clip.frame_step, clip.frames)
    if expression is not None:
        owner.driver_add(f"{path}.frame_offset").driver.expression = expression


def show(
    scene: bpy.types.Scene,
    thing: bpy.types.Object,
    camera: Camera,
    clip: Clip,
    distance: float,
) -> bpy.types.Object:
    """Make or update the plate of camera object `thing`; `distance` is in scene units.

    `camera` is its reading at the clip's first frame.
    """
    image = movie_image(clip, scene)
    plate = find_plate(scene, clip.camera)
    if plate is None:
        mesh = bpy.data.meshes.new(f"SynCam Plate {clip.camera}")
        plate = bpy.data.objects.new(f"SynCam Plate {clip.camera}", mesh)
        plate[KEY] = clip.camera
        collection_of(scene).objects.link(plate)
        plate.show_name = False
        for ray in ("diffuse", "glossy", "transmission", "volume_scatter", "shadow"):
            setattr(plate, f"visible_{ray}", False)
    _shape(plate.data, camera, clip, distance)
    _follow(plate, thing)
    if not plate.data.materials or plate.data.materials[0] is None:
        plate.data.materials.clear()
        plate.data.materials.append(bpy.data.materials.new(f"SynCam {clip.camera}"))
    _screen(plate.data.materials[0], image, clip, scene)
    return plate


def _shape(mesh: bpy.types.Mesh, camera: Camera, clip: Clip, distance: float) -> None:
    """A rectangle at `distance` before the camera that fills its frame, in Blender's axes."""
    fitted = fit_camera(camera, clip.width_px, clip.height_px, clip.fit_rule)
    # A crop shows less than the camera's frame: the plate covers what the model saw.
    left, top, right, bottom = fitted.source
    K = camera.K_at(0)
    corners = []
    for u, v in ((left, bottom), (right, bottom), (right, top), (left, top)):
        x = (u * camera.width_px - K[0][2]) / K[0][0] * distance
        y = (v * camera.height_px - K[1][2]) / K[1][1] * distance
        corners.append((x, -y, -distance))
    u0, v0, u1, v1 = fitted.plate
    uvs = ((u0, 1 - v1), (u1, 1 - v1), (u1, 1 - v0), (u0, 1 - v0))
    if len(mesh.vertices) != 4 or len(mesh.polygons) != 1:
        mesh.clear_geometry()
        mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    else:
        mesh.vertices.foreach_set("co", [x for corner in corners for x in corner])
    layer = mesh.uv_layers.active or mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", [x for uv in uvs for x in uv])
    mesh.update()


def _follow(plate: bpy.types.Object, camera: bpy.types.Object) -> None:
    for kind in ("COPY_LOCATION", "COPY_ROTATION"):
        constraint = next((c for c in plate.constraints if c.type == kind), None)
        if constraint is None:
            constraint = plate.constraints.new(kind)
        constraint.target = camera


def _screen(
    material: bpy.types.Material, image: bpy.types.Image, clip: Clip, scene: bpy.types.Scene
) -> None:
    """Emission to the camera's own rays, transparent to all others: a screen lights nothing."""
    tree = compat.enable_nodes(material)
    texture = next((n for n in tree.nodes if n.type == "TEX_IMAGE" and n.name == "SynCam"), None)
    if texture is None:
        tree.nodes.clear()
        texture = tree.nodes.new("ShaderNodeTexImage")
        texture.name = texture.label = "SynCam"
        texture.extension = "EXTEND"
        texture.location = (-400, 200)
        emission = tree.nodes.new("ShaderNodeEmission")
        emission.name = "SynCam Emission"
        emission.location = (-100, 200)
        clear = tree.nodes.new("ShaderNodeBsdfTransparent")
        clear.location = (-100, 50)
        rays = tree.nodes.new("ShaderNodeLightPath")
        rays.location = (-100, 550)
        mix = tree.nodes.new("ShaderNodeMixShader")
        mix.location = (150, 200)
        output = tree.nodes.new("ShaderNodeOutputMaterial")
        output.location = (350, 200)
        tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
        tree.links.new(rays.outputs["Is Camera Ray"], mix.inputs[0])
        tree.links.new(clear.outputs[0], mix.inputs[1])
        tree.links.new(emission.outputs[0], mix.inputs[2])
        tree.links.new(mix.outputs[0], output.inputs["Surface"])
    material[KEY] = clip.camera
    texture.image = image
    play(tree, 'nodes["SynCam"].image_user', clip)
    emission = tree.nodes.get("SynCam Emission")
    if emission is not None:
        emission.inputs["Strength"].default_value = 2.0**-scene.view_settings.exposure


def keep_unaltered(scene: bpy.types.Scene) -> None:
    """Follow a change of the scene's view transform; touches nothing when all is right."""
    wanted = compat.unaltered_colorspace(scene)
    for image in bpy.data.images:
        if image.library is None and image.get(KEY) and image.source == "MOVIE":
            compat.set_colorspace(image, wanted)
