# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the user in Blender: imported as they are, measured, set on a path, ray-cast."""

import re
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from render_rigs.assets import AssetError, Entry
from render_rigs.mesh import MeshData
from render_rigs.scene import Actor

PROBES = 16


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of a file."""

    things: list["bpy.types.Object"]
    actions: dict[str, "bpy.types.Action"]
    """By their names in the file; in the scene one may be called Walk.001 beside another's Walk."""
    cached: tuple[int, int]
    """First and last frame of the file's cached motion (USD)."""


def bring_in(entry: Entry) -> Imported:
    """Import a file into the current scene, without its lights, cameras and shapes of bones.

    Raises AssetError naming the file, for one that Blender cannot read or that has no surface.
    """
    scene = bpy.context.scene
    objects_before = set(bpy.data.objects)
    actions_before = {a.name for a in bpy.data.actions}
    range_before = scene.frame_start, scene.frame_end
    path = str(entry.path)
    try:
        suffix = entry.path.suffix.lower()
        if suffix == ".blend":
            with bpy.data.libraries.load(path, link=False) as (source, target):
                target.objects = list(source.objects)
                target.actions = list(source.actions)
            for thing in target.objects:
                if thing is not None:
                    scene.collection.objects.link(thing)
        elif suffix in (".glb", ".gltf"):
            bpy.ops.import_scene.gltf(filepath=path)
        elif suffix == ".fbx":
            (
                bpy.ops.wm.fbx_import
                if hasattr(bpy.ops.wm, "fbx_import")
                else bpy.ops.import_scene.fbx
            )(filepath=path)
        else:
            bpy.ops.wm.usd_import(filepath=path, set_frame_range=True)
    except (RuntimeError, OSError, UnicodeDecodeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise AssetError(f"{entry.file} skipped: {reason[-1] if reason else error!r}") from None
    cached = scene.frame_start, scene.frame_end
    scene.frame_start, scene.frame_end = range_before
    things = [t for t in bpy.data.objects if t not in objects_before]
    # What a bone is drawn as in the viewport is no part of the subject, whatever its file hid.
    shapes = {
        bone.custom_shape for thing in things if thing.pose is not None for bone in thing.pose.bones
    }
    for thing in list(things):
        if thing.type in ("LIGHT", "CAMERA", "LIGHT_PROBE", "SPEAKER") or thing in shapes:
            things.remove(thing)
            bpy.data.objects.remove(thing)
    if not any(t.type == "MESH" and len(t.data.polygons) for t in things):
        raise AssetError(f"{entry.file} skipped: it has no faces")
    actions = {
        _name_in_file(a.name, actions_before): a
        for a in bpy.data.actions
        if a.name not in actions_before
    }
    return Imported(things, actions, cached)


def _name_in_file(name: str, taken: set[str]) -> str:
    plain = re.sub(r"\.\d{3}$", "", name)
    return plain if plain in taken else name


def hang(entry: Entry, things, name: str) -> "bpy.types.Object":
    """Parent what was imported to an empty that carries our axes and metres."""
    holder = bpy.data.objects.new(f"{name}_axes", None)
    mover = bpy.data.objects.new(name, None)
    for one in (holder, mover):
        bpy.context.scene.collection.objects.link(one)
    matrix = np.eye(4)
    matrix[:3, :3] = entry.turn() * entry.scale
    matrix[:3, 3] = -(entry.turn() * entry.scale) @ np.asarray(entry.center_m, float)
    holder.matrix_world = Matrix(matrix.tolist())
    holder.parent = mover
    for thing in things:
        if thing.parent is None:
            thing.parent = holder
    return mover


def play(entry: Entry, imported: Imported, action: str, fps: int) -> None:
    """Loop the file's action for our word ``action``; a file without actions stays as it is.

    A USD file has no named actions: its one animation is a cache, and any name stands for it.
    Raises AssetError when the manifest names an action that the file has not.
    """
    wanted = entry.actions.get(action)
    if wanted is None:
        return
    caches = _caches(imported.things)
    pairs = [(thing, _action_of(thing, wanted, imported.actions)) for thing in imported.things]
    pairs = [(thing, found) for thing, found in pairs if found is not None]
    if not pairs and not caches:
        raise AssetError(
            f"{entry.file} skipped: no action {wanted!r}, it has {sorted(imported.actions)}"
        )
    # An action's frames are at its file's rate (glTF and FBX: at the importing scene's).
    scale = fps / (entry.fps or bpy.context.scene.render.fps)
    for cache in caches:
        _loop_cache(cache, imported.cached, 1 / scale)
    for thing, found in pairs:
        start, end = found.frame_range
        data = thing.animation_data or thing.animation_data_create()
        data.action = None
        for track in list(data.nla_tracks):
            data.nla_tracks.remove(track)
        strip = data.nla_tracks.new().strips.new("loop", -2, found)
        strip.scale = scale
        strip.repeat = max(1.0, 2000 / max((end - start) * scale, 1))


def _action_of(thing, wanted: str, actions: dict):
    """The action by that name for ``thing``: "Walk", or "Rig|Walk" as FBX files have it."""
    if thing.animation_data is None and thing.type != "ARMATURE":
        return None
    for name in (f"{thing.name}|{wanted}", wanted):
        if name in actions:
            return actions[name]
    return next((a for name, a in actions.items() if name.rsplit("|", 1)[-1] == wanted), None)


def _caches(things) -> set:
    """The cache files that move ``things`` or their surfaces."""
    movers = [
        mover
        for thing in things
        for mover in (*thing.constraints, *thing.modifiers)
        if mover.type in ("TRANSFORM_CACHE", "MESH_SEQUENCE_CACHE")
    ]
    return {mover.cache_file for mover in movers if mover.cache_file is not None}


def _loop_cache(cache, cached: tuple[int, int], rate: float) -> None:
    """Play a cache over and over, ``rate`` of its frames a frame."""
    start, end = cached
    cache.override_frame = True
    driver = cache.driver_add("frame").driver
    driver.type = "SCRIPTED"
    # From two frames before the first, as for actions; of the simple kind that needs no leave.
    driver.expression = f"{start} + fmod((frame + 2) * {rate!r}, {max(end - start, 1)})"


def evaluated_points(things) -> np.ndarray:
    """Vertices [N,3] of all meshes as they are at the current frame, in the world."""
    graph = bpy.context.evaluated_depsgraph_get()
    parts = []
    for thing in things:
        if thing.type != "MESH" or thing.hide_render:
            continue
        shown = thing.evaluated_get(graph)
        mesh = shown.to_mesh()
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
        world = np.array(shown.matrix_world)
        parts.append(points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
        shown.to_mesh_clear()
    return np.concatenate(parts)


def measure(entry: Entry, action: str, frames: int, fps: int) -> np.ndarray:
    """Probe points [T+2,P,3] of a subject on the spot, in metres and our axes.

    Raises AssetError for a file that cannot be used.
    """
    scene = _empty()
    scene.render.fps = 24
    imported = bring_in(entry)
    things = imported.things
    hang(entry, things, "measured")
    play(entry, imported, action, fps)
    scene.frame_set(0)
    order = np.argsort(evaluated_points(things)[:, 2], kind="stable")
    picked = order[np.linspace(0, len(order) - 1, PROBES).astype(int)]
    out = []
    for frame in range(-1, frames + 1):
        scene.frame_set(frame)
        out.append(evaluated_points(things)[picked])
    return np.array(out)


def add_native(actor: Actor, fps: int) -> list["bpy.types.Object"]:
    """Put a file's subject on its path: an empty with a key for every frame carries it."""
    imported = bring_in(actor.native)
    mover = hang(actor.native, imported.things, actor.name)
    play(actor.native, imported, actor.action, fps)
    path, heading = actor.info["path_m"], actor.info["path_heading_rad"]
    for index, (at, turn) in enumerate(zip(path, heading, strict=True)):
        mover.location = (float(at[0]), float(at[1]), float(actor.info["lift_m"]))
        mover.rotation_euler = (0, 0, float(turn))
        mover.keyframe_insert("location", frame=index - 1)
        mover.keyframe_insert("rotation_euler", frame=index - 1)
    return imported.things


def add_location(entry: Entry) -> list["bpy.types.Object"]:
    things = bring_in(entry).things
    hang(entry, things, "place")
    return things


def location_mesh(entry: Entry) -> MeshData:
    """The surfaces of a place as one mesh in our axes, for ray casts."""
    _empty()
    things = add_location(entry)
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    verts, faces, count = [], [], 0
    for thing in things:
        if thing.type != "MESH" or thing.hide_render:
            continue
        shown = thing.evaluated_get(graph)
        mesh = shown.to_mesh()
        mesh.calc_loop_triangles()
        points = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", points)
        corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        world = np.array(shown.matrix_world)
        verts.append(points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
        faces.append(corners.reshape(-1, 3) + count)
        count += len(verts[-1])
        shown.to_mesh_clear()
    corner = np.concatenate(faces)
    quads = np.concatenate([corner, np.full((len(corner), 1), -1)], 1)
    nothing = np.zeros((len(quads), 4, 3), np.float32)
    return MeshData(
        np.concatenate(verts),
        quads,
        nothing,
        nothing[..., :2],
        np.zeros(len(quads), np.int32),
        np.zeros(len(quads), bool),
        ["plain"],
    )


def _empty() -> "bpy.types.Scene":
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene
