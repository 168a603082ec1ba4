# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a numpy scene into Blender: meshes, surfaces, lights, cameras (one view for each)."""

import os
import struct
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from render_rigs.blender.albedo import write_albedo
from render_rigs.mesh import MeshData
from render_rigs.scene import Actor, Lamp, Light
from render_rigs.textures import SIZE, SURFACES, texture

CAMERA_BASE = "rig"


def new_scene() -> "bpy.types.Scene":
    """An empty file with one scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def add_mesh(name: str, data: MeshData, texture_px: int | None = None) -> "bpy.types.Object":
    """Make one object of a ``MeshData``; ``texture_px`` makes coarser detail pictures."""
    mesh = bpy.data.meshes.new(name)
    faces = data.faces
    keep = faces >= 0
    counts = keep.sum(1).astype(np.int32)
    mesh.vertices.add(len(data.verts_m))
    mesh.vertices.foreach_set("co", data.verts_m.ravel())
    mesh.loops.add(int(counts.sum()))
    mesh.loops.foreach_set("vertex_index", faces[keep])
    mesh.polygons.add(len(faces))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    mesh.polygons.foreach_set("loop_start", starts)
    mesh.polygons.foreach_set("material_index", data.surface)
    mesh.polygons.foreach_set("use_smooth", data.smooth)
    uv = mesh.uv_layers.new(name="UVMap")
    uv.data.foreach_set("uv", data.uvs_m[keep].astype(np.float32).ravel())
    colors = mesh.color_attributes.new("Col", "FLOAT_COLOR", "CORNER")
    rgba = np.ones((int(counts.sum()), 4), np.float32)
    rgba[:, :3] = data.colors[keep]
    colors.data.foreach_set("color", rgba.ravel())
    mesh.update(calc_edges=True)
    mesh.validate()
    for surface in data.surfaces:
        mesh.materials.append(material(surface, texture_px or SIZE))
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def material(surface: str, texture_px: int = SIZE) -> "bpy.types.Material":
    """The surface's material: the mesh's colour times the tiled detail picture."""
    found = bpy.data.materials.get(surface)
    if found:
        return found
    spec = SURFACES[surface]
    made = bpy.data.materials.new(surface)
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.clear()
    out = nodes.new("ShaderNodeOutputMaterial")
    color = nodes.new("ShaderNodeAttribute")
    color.attribute_name = "Col"
    tint = color.outputs["Color"]
    if spec.tile_m != 1.0 or surface != "plain":
        coordinates = nodes.new("ShaderNodeUVMap")
        scale = nodes.new("ShaderNodeVectorMath")
        scale.operation = "SCALE"
        scale.inputs["Scale"].default_value = 1 / spec.tile_m
        links.new(coordinates.outputs["UV"], scale.inputs[0])
        picture = nodes.new("ShaderNodeTexImage")
        picture.image = _image(surface, texture_px)
        links.new(scale.outputs[0], picture.inputs["Vector"])
        twice = nodes.new("ShaderNodeVectorMath")
        twice.operation = "MULTIPLY"
        links.new(tint, twice.inputs[0])
        links.new(picture.outputs["Color"], twice.inputs[1])
        double = nodes.new("ShaderNodeVectorMath")
        double.operation = "SCALE"
        double.inputs["Scale"].default_value = 2.0
        links.new(twice.outputs[0], double.inputs[0])
        tint = double.outputs[0]
    if spec.emission:
        shader = nodes.new("ShaderNodeEmission")
        shader.inputs["Strength"].default_value = spec.emission
        links.new(tint, shader.inputs["Color"])
    elif spec.roughness >= 0.7 and not spec.metallic:
        shader = nodes.new("ShaderNodeBsdfDiffuse")
        links.new(tint, shader.inputs["Color"])
    else:
        shader = nodes.new("ShaderNodeBsdfPrincipled")
        shader.inputs["Roughness"].default_value = spec.roughness
        shader.inputs["Metallic"].default_value = spec.metallic
        links.new(tint, shader.inputs["Base Color"])
    links.new(shader.outputs[0], out.inputs["Surface"])
    write_albedo(nodes, links, tint)
    return made


def _image(surface: str, px: int) -> "bpy.types.Image":
    image = bpy.data.images.new(f"tex_{surface}", px, px, alpha=False, float_buffer=False)
    image.colorspace_settings.name = "Non-Color"
    pixels = np.ones((px, px, 4), np.float32)
    detail = texture(surface)
    step = SIZE // px
    pixels[..., :3] = detail.reshape(px, step, px, step, 3).mean((1, 3)) / 2
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image


def add_actor(actor: Actor, folder: Path, texture_px: int | None = None) -> "bpy.types.Object":
    """A subject whose vertices come from a point cache: frame k of the clip is Blender frame k."""
    thing = add_mesh(actor.name, actor.mesh, texture_px)
    path = Path(folder) / f"{actor.name}.pc2"
    write_pc2(path, actor.vertices_m)
    cache = thing.modifiers.new("clip", "MESH_CACHE")
    cache.cache_format = "PC2"
    cache.filepath = str(path)
    cache.frame_start = -1
    cache.interpolation = "LINEAR"
    return thing


def write_pc2(path: Path, vertices: np.ndarray) -> None:
    """Point cache 2: the first sample belongs to frame -1, one sample a frame."""
    samples, count, _ = vertices.shape
    with open(path, "wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, count, -1.0, 1.0, samples))
        file.write(np.ascontiguousarray(vertices, "<f4").tobytes())


def hdri_path(name: str) -> str:
    folder = Path(bpy.utils.resource_path("LOCAL"), "datafiles", "studiolights", "world")
    return str(folder / f"{name}.exr")


def add_light(light: Light) -> None:
    """World HDRI and sun; the camera may see a plain sky instead of the HDRI."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    # The light's importance map is made anew for each scene: a small one is 3 s cheaper.
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 128
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    out = nodes.new("ShaderNodeOutputWorld")
    background = nodes.new("ShaderNodeBackground")
    background.inputs["Strength"].default_value = light.hdri_strength
    picture = nodes.new("ShaderNodeTexEnvironment")
    picture.image = bpy.data.images.load(hdri_path(light.hdri), check_existing=True)
    coordinates = nodes.new("ShaderNodeTexCoord")
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value[2] = np.radians(light.hdri_turn_deg)
    links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs[0], picture.inputs["Vector"])
    links.new(picture.outputs["Color"], background.inputs["Color"])
    surface = background.outputs[0]
    if light.sky_color is not None:
        surface = _camera_sky(nodes, links, light, surface)
    links.new(surface, out.inputs["Surface"])
    if light.sun_strength > 0:
        sun = bpy.data.lights.new("sun", "SUN")
        sun.energy, sun.color = light.sun_strength, light.sun_color
        sun.angle = np.radians(light.sun_angle_deg)
        thing = bpy.data.objects.new("sun", sun)
        thing.rotation_euler = (
            np.radians(90 - light.sun_elevation_deg),
            0,
            np.radians(light.sun_azimuth_deg + 90),
        )
        bpy.context.scene.collection.objects.link(thing)


def _camera_sky(nodes, links, light, lit):
    """A gradient from horizon to zenith for camera rays, with soft clouds."""
    ray = nodes.new("ShaderNodeLightPath")
    coordinates = nodes.new("ShaderNodeTexCoord")
    split = nodes.new("ShaderNodeSeparateXYZ")
    links.new(coordinates.outputs["Generated"], split.inputs[0])
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].position = 0.0
    ramp.color_ramp.elements[0].color = (*(light.horizon_color or light.sky_color), 1)
    ramp.color_ramp.elements[1].position = 0.55
    ramp.color_ramp.elements[1].color = (*light.sky_color, 1)
    links.new(split.outputs["Z"], ramp.inputs["Fac"])
    sky = nodes.new("ShaderNodeBackground")
    links.new(ramp.outputs["Color"], sky.inputs["Color"])
    mix = nodes.new("ShaderNodeMixShader")
    links.new(ray.outputs["Is Camera Ray"], mix.inputs["Fac"])
    links.new(lit, mix.inputs[1])
    links.new(sky.outputs[0], mix.inputs[2])
    return mix.outputs[0]


def add_lamp(lamp: Lamp, number: int) -> None:
    if lamp.size_m:
        data = bpy.data.lights.new(f"lamp{number}", "AREA")
        data.size = lamp.size_m
    else:
        data = bpy.data.lights.new(f"lamp{number}", "POINT")
        data.shadow_soft_size = 0.1
    data.energy, data.color = lamp.power_w, lamp.color
    thing = bpy.data.objects.new(f"lamp{number}", data)
    thing.location = lamp.at_m
    bpy.context.scene.collection.objects.link(thing)


def add_cameras(cameras) -> None:
    """One Blender camera and one multiview view for each ``syncam_engine.link`` camera.

    Raises ValueError for an intrinsic matrix that a Blender camera cannot have (skew).
    """
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = cameras[0].width_px, cameras[0].height_px
    scene.render.resolution_percentage = 100
    scene.render.use_multiview = True
    scene.render.views_format = "MULTIVIEW"
    for view in list(scene.render.views)[2:]:
        scene.render.views.remove(view)
    for view in scene.render.views:
        view.use = False
    for number, camera in enumerate(cameras, 1):
        data = bpy.data.cameras.new(f"{CAMERA_BASE}_c{number:02d}")
        thing = bpy.data.objects.new(f"{CAMERA_BASE}_c{number:02d}", data)
        scene.collection.objects.link(thing)
        data.clip_start, data.clip_end = camera.near_m, camera.far_m
        for frame in range(camera.frame_count):
            set_camera(thing, camera, frame)
            if camera.frame_count > 1:
                _key_camera(thing, data, frame)
        view = scene.render.views.new(f"c{number:02d}")
        view.camera_suffix = f"_c{number:02d}"
        if number == 1:
            scene.camera = thing


def set_camera(thing, camera, frame: int) -> None:
    """Give a Blender camera the pose and lens of ``camera`` at a frame.

    fx = lens * width / sensor_width.
    """
    K = camera.K_at(frame)
    if abs(K[0][1]) > 1e-9:
        raise ValueError(f"camera {camera.name} has skew {K[0][1]}, Blender has none")
    width, height = camera.width_px, camera.height_px
    data = thing.data
    data.sensor_fit = "HORIZONTAL"
    data.sensor_width = 23.76
    data.lens = K[0][0] / width * data.sensor_width
    data.shift_x = (width / 2 - K[0][2]) / width
    data.shift_y = (K[1][2] - height / 2) / width
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    thing.matrix_world = Matrix((np.array(camera.c2w_cv_m_at(frame)) @ flip).tolist())


def _key_camera(thing, data, frame: int) -> None:
    thing.rotation_mode = "QUATERNION"
    thing.keyframe_insert("location", frame=frame)
    thing.keyframe_insert("rotation_quaternion", frame=frame)
    data.keyframe_insert("lens", frame=frame)


def scratch_folder() -> str:
    """Memory where there is some (frames are read back at once), else the temporary folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")
