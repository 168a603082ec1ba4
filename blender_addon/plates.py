# SPDX-License-Identifier: GPL-3.0-or-later
"""Media plates: a screen in front of its camera that shows its clip and fills its frame exactly.

A plate follows its camera by a constraint, not by parenting, so that a scaled parent of the camera
does not stretch it, and its lens by drivers. Its clip is on an image texture with source MOVIE,
shown as it is: emission, seen by the camera only, in the colour space that undoes the scene's view
transform. The next run updates the same objects and datablocks in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from syncam_engine.link.camera import Camera
from syncam_engine.link.fit import fit_camera

from . import cameras, compat, lens, timing

COLLECTION = "SynCam"
KEY = "syncam_camera"
"""Custom property of a plate, its image and its materials: the camera's name."""
TARGET = "syncam_target"
"""Custom property of a movie datablock: which of a camera's targets shows it."""
HIDDEN = "syncam_hidden"
"""Custom property of a plate that was hidden because its camera is gone."""


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


def plates_in(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return [o for o in scene.objects if o.library is None and o.type == "MESH" and KEY in o]


def find_plate(scene: bpy.types.Scene, thing: bpy.types.Object) -> bpy.types.Object | None:
    """Return the plate of camera object `thing`, whatever the two are called by now; else one that
    was left by a camera of its name."""
    present = plates_in(scene)
    own = next((plate for plate in present if target_of(plate) == thing), None)
    return own or next(
        (p for p in present if is_left(p) and p[KEY] == cameras.rig_name(thing)), None
    )


def target_of(plate: bpy.types.Object) -> bpy.types.Object | None:
    """Return the camera that a plate follows."""
    kinds = ("CHILD_OF", "COPY_LOCATION")
    return next((c.target for c in plate.constraints if c.type in kinds and c.target), None)


def is_left(plate: bpy.types.Object) -> bool:
    """Whether a plate's camera was deleted. One that is in no scene is kept by what names it."""
    camera = target_of(plate)
    return camera is None or not camera.users_scene


def follow_cameras(scene: bpy.types.Scene) -> list[str]:
    """Bring the plates in line with their cameras' names, hide those whose camera was deleted, show
    them when it is there again. Return what was hidden, in sentences."""
    notes = []
    for plate in plates_in(scene):
        if is_left(plate):
            if HIDDEN not in plate:
                plate[HIDDEN] = [plate.hide_viewport, plate.hide_render]
                plate.hide_viewport = plate.hide_render = True
                notes.append(
                    f"Camera {plate[KEY]!r} was deleted, so its plate is hidden; its clip is kept."
                )
            continue
        _show_again(plate)
        name = cameras.rig_name(target_of(plate))
        if plate[KEY] != name:
            _name(plate, name)
    return notes


def _show_again(plate: bpy.types.Object) -> None:
    if HIDDEN in plate:
        plate.hide_viewport, plate.hide_render = map(bool, plate[HIDDEN])
        del plate[HIDDEN]


def _name(plate: bpy.types.Object, name: str) -> None:
    """Have a plate and what it shows go by its camera's name."""
    plate[KEY], plate.name, plate.data.name = name, f"SynCam Plate {name}", f"SynCam Plate {name}"
    for material in plate.data.materials:
        if material is None or material.library is not None or KEY not in material:
            continue
        if material.name.startswith("SynCam "):
            material.name = f"SynCam {name}"
        material[KEY] = name
        image = shown_by(material.node_tree)
        if image is not None and image.library is None and KEY in image:
            image[KEY], image.name = name, f"SynCam {name}"


def shown_by(tree: bpy.types.NodeTree | None) -> bpy.types.Image | None:
    """Return the image that a plate's or a screen's material shows."""
    texture = tree.nodes.get("SynCam") if tree is not None else None
    return texture.image if texture is not None and texture.type == "TEX_IMAGE" else None


def movie_image(
    shown: bpy.types.Image | None, clip: Clip, scene: bpy.types.Scene, target: str
) -> bpy.types.Image:
    """Return the movie datablock of one target of a camera, now on this clip.

    `shown` is what the target shows now, updated in place. Each target has a datablock of its own:
    a run for one of them leaves the others their clips.
    """
    image = shown
    is_own = (
        image is not None
        and image.library is None
        and image.source == "MOVIE"
        and KEY in image
        and image.get(TARGET, "PLATES") == target
    )
    if is_own:
        image.filepath = str(clip.path)
        image.reload()
    else:
        image = bpy.data.images.load(str(clip.path), check_existing=False)
        image.source = "MOVIE"
    suffix = "" if target == "PLATES" else f" {target.capitalize()}"
    image.name = f"SynCam {clip.camera}{suffix}"
    image[KEY], image[TARGET] = clip.camera, target
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

    `camera` is its reading at the clip's frames.
    """
    plate = find_plate(scene, thing)
    if plate is None:
        mesh = bpy.data.meshes.new(f"SynCam Plate {clip.camera}")
        plate = bpy.data.objects.new(f"SynCam Plate {clip.camera}", mesh)
        collection_of(scene).objects.link(plate)
        plate.show_name = False
        for ray in ("diffuse", "glossy", "transmission", "volume_scatter", "shadow"):
            setattr(plate, f"visible_{ray}", False)
    elif _is_shared(plate.data):
        # A duplicate of another camera's plate must not change what that one shows.
        plate.data = bpy.data.meshes.new(f"SynCam Plate {clip.camera}")
    _show_again(plate)
    _shape(plate.data, thing.data, camera, clip)
    _follow(plate, thing)
    _follow_lens(plate, thing, camera, distance)
    materials = plate.data.materials
    if not materials or materials[0] is None or _is_shared(materials[0]):
        materials.clear()
        materials.append(bpy.data.materials.new(f"SynCam {clip.camera}"))
    _screen(materials[0], clip, scene)
    _name(plate, cameras.rig_name(thing))
    return plate


def _is_shared(owned: bpy.types.ID) -> bool:
    """Whether another object uses a datablock too, or a library owns it."""
    return owned.library is not None or owned.users - owned.use_fake_user > 1


def _picture_of(camera: Camera) -> lens.Frame:
    """Return the render's picture that a camera was read with."""
    K = camera.K_at(0)
    return lens.Frame(
        width_px=camera.width_px, height_px=camera.height_px, aspect_x=K[1][1] / K[0][0]
    )


def _shape(mesh: bpy.types.Mesh, data: bpy.types.Camera, camera: Camera, clip: Clip) -> None:
    """A rectangle of the frame's shape, as large as a lens as long as its sensor sees at distance
    1; in Blender's axes."""
    fitted = fit_camera(camera, clip.width_px, clip.height_px, clip.fit_rule)
    # A crop shows less than the camera's frame: the plate covers what the model saw.
    left, top, right, bottom = fitted.source
    own, frame = cameras.lens_of_camera(data), _picture_of(camera)
    corners = [
        (*lens.on_sensor(own, frame, u, v), 0.0)
        for u, v in ((left, bottom), (right, bottom), (right, top), (left, top))
    ]
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
    """Place the plate in its camera's axes, free of the camera's scale."""
    for constraint in list(plate.constraints):
        if constraint.type in ("COPY_LOCATION", "COPY_ROTATION"):
            plate.constraints.remove(constraint)  # of a plate that an earlier version made
    constraint = next((c for c in plate.constraints if c.type == "CHILD_OF"), None)
    if constraint is None:
        constraint = plate.constraints.new("CHILD_OF")
    constraint.use_scale_x = constraint.use_scale_y = constraint.use_scale_z = False
    constraint.target = camera
    constraint.set_inverse_pending = False
    constraint.inverse_matrix.identity()


def _follow_lens(
    plate: bpy.types.Object, thing: bpy.types.Object, camera: Camera, distance: float
) -> None:
    """Have the plate fill its camera's frame whatever the lens and its shift are at a frame."""
    data = thing.data
    # Out of the clip range it would not be seen.
    distance = min(max(distance, data.clip_start * 1.01), data.clip_end * 0.99)
    own = cameras.lens_of_camera(data)
    sensor = "height" if own.sensor_fit == "VERTICAL" else "width"
    plate.rotation_euler, plate.rotation_mode = (0.0, 0.0, 0.0), "XYZ"
    size = distance * lens.sensor_mm(own) / own.focal_mm
    plate.location = (own.shift_x * size, own.shift_y * size, -distance)
    plate.scale = (size, size, 1.0)
    # A camera that was deleted has no lens: its plate shrinks to nothing, and no driver fails.
    grown = f"{distance!r} * sensor / max(focal, 0.001)"
    for path, index, expression in (
        ("scale", 0, grown),
        ("scale", 1, grown),
        ("location", 0, f"shift * {grown}"),
        ("location", 1, f"shift * {grown}"),
    ):
        plate.driver_remove(path, index)
        driver = plate.driver_add(path, index).driver
        read = {"sensor": f"sensor_{sensor}", "focal": "lens", "shift": f"shift_{'xy'[index]}"}
        for name, field in read.items():
            variable = driver.variables.new()
            variable.name = name
            variable.targets[0].id = thing
            variable.targets[0].data_path = f"data.{field}"
        driver.expression = expression


def _screen(material: bpy.types.Material, clip: Clip, scene: bpy.types.Scene) -> None:
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
    texture.image = movie_image(_unshared(texture.image, material), clip, scene, "PLATES")
    play(tree, 'nodes["SynCam"].image_user', clip)
    emission = tree.nodes.get("SynCam Emission")
    if emission is not None:
        emission.inputs["Strength"].default_value = 2.0**-scene.view_settings.exposure


def _unshared(
    image: bpy.types.Image | None, material: bpy.types.Material
) -> bpy.types.Image | None:
    """Return the image where no other material of ours shows it, as in a full copy of a scene."""
    others = (m for m in bpy.data.materials if KEY in m and m != material)
    return None if any(shown_by(other.node_tree) == image for other in others) else image


def keep_unaltered(scene: bpy.types.Scene) -> None:
    """Follow a change of the scene's view transform; touches nothing when all is right."""
    wanted = compat.unaltered_colorspace(scene)
    for image in bpy.data.images:
        if image.library is None and image.get(KEY) and image.source == "MOVIE":
            compat.set_colorspace(image, wanted)
