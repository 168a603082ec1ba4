# SPDX-License-Identifier: GPL-3.0-or-later
"""People and a dog: one smooth skin over a small skeleton, walking by keyframes.

A figure is a list of bones with a radius at each end. The skin is the voxel union of tapered
capsules along the bones; each vertex follows its nearest bones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bmesh
import bpy
from mathutils import Matrix, Vector
from mathutils.geometry import intersect_point_line
from plaza_parts import Colour, material

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Bone:
    name: str
    parent: str
    head: Point
    tail: Point
    radius_head: float
    radius_tail: float
    wear: str
    """Which of the figure's colours it shows."""
    flat: float = 1.0
    """Front-to-back thickness as a share of the width (along Y)."""


def _pair(name: str, parent: str, head: Point, tail: Point, r0: float, r1: float, wear: str):
    """A left bone and its mirror."""
    for side, sign in (("L", 1), ("R", -1)):
        yield Bone(
            f"{name}.{side}",
            parent if "." not in parent else f"{parent[:-2]}.{side}",
            (sign * head[0], *head[1:]),
            (sign * tail[0], *tail[1:]),
            r0,
            r1,
            wear,
        )


# People face -Y and are 1.74 m tall.
PERSON = [
    Bone("hips", "", (0, 0, 0.92), (0, 0, 1.06), 0.155, 0.145, "legs", 0.72),
    Bone("chest", "hips", (0, 0, 1.06), (0, 0.01, 1.36), 0.145, 0.165, "top", 0.68),
    Bone("neck", "chest", (0, 0.01, 1.40), (0, 0.0, 1.53), 0.065, 0.055, "skin"),
    Bone("head", "neck", (0, -0.012, 1.585), (0, -0.006, 1.645), 0.092, 0.102, "skin"),
    *_pair("shoulder", "chest", (0.06, 0.01, 1.40), (0.175, 0.01, 1.405), 0.075, 0.068, "top"),
    *_pair("arm", "shoulder.x", (0.185, 0.01, 1.39), (0.252, 0.02, 1.13), 0.062, 0.05, "top"),
    *_pair("forearm", "arm.x", (0.252, 0.02, 1.13), (0.292, -0.02, 0.90), 0.05, 0.038, "top"),
    *_pair("hand", "forearm.x", (0.298, -0.025, 0.86), (0.302, -0.045, 0.77), 0.042, 0.035, "skin"),
    *_pair("thigh", "hips", (0.09, 0, 0.90), (0.095, -0.01, 0.50), 0.098, 0.07, "legs"),
    *_pair("shin", "thigh.x", (0.095, -0.01, 0.50), (0.095, 0.02, 0.11), 0.068, 0.05, "legs"),
    *_pair("foot", "shin.x", (0.095, 0.03, 0.055), (0.1, -0.13, 0.042), 0.05, 0.045, "shoes"),
]

DOG = [
    Bone("body", "", (0, 0.32, 0.50), (0, -0.20, 0.52), 0.115, 0.145, "fur"),
    Bone("neck", "body", (0, -0.26, 0.58), (0, -0.42, 0.74), 0.085, 0.07, "fur"),
    Bone("head", "neck", (0, -0.45, 0.79), (0, -0.52, 0.77), 0.082, 0.07, "fur"),
    Bone("muzzle", "head", (0, -0.57, 0.75), (0, -0.66, 0.73), 0.05, 0.04, "pale"),
    *_pair("ear", "head", (0.055, -0.43, 0.85), (0.085, -0.42, 0.74), 0.03, 0.022, "dark"),
    Bone("tail", "body", (0, 0.42, 0.55), (0, 0.62, 0.78), 0.04, 0.022, "fur"),
    *_pair("fore", "body", (0.09, -0.2, 0.46), (0.09, -0.2, 0.24), 0.06, 0.04, "fur"),
    *_pair("forepaw", "fore.x", (0.09, -0.2, 0.24), (0.09, -0.22, 0.035), 0.038, 0.034, "pale"),
    *_pair("hind", "body", (0.09, 0.3, 0.46), (0.09, 0.34, 0.24), 0.08, 0.042, "fur"),
    *_pair("hindpaw", "hind.x", (0.09, 0.34, 0.24), (0.09, 0.3, 0.035), 0.04, 0.034, "pale"),
]


def _skin(name: str, bones: Sequence[Bone], voxel: float) -> bpy.types.Mesh:
    """Return the voxel union of the bones' capsules."""
    mesh = bmesh.new()
    for bone in bones:
        head, tail = Vector(bone.head), Vector(bone.tail)
        steps = max(2, math.ceil((tail - head).length / (0.35 * bone.radius_head)))
        for k in range(steps + 1):
            share = k / steps
            radius = bone.radius_head * (1 - share) + bone.radius_tail * share
            matrix = Matrix.Translation(head.lerp(tail, share)) @ Matrix.Diagonal(
                (1.0, bone.flat, 1.0, 1.0)
            )
            bmesh.ops.create_icosphere(mesh, subdivisions=3, radius=radius, matrix=matrix)
    rough = bpy.data.meshes.new(f"{name} rough")
    mesh.to_mesh(rough)
    mesh.free()
    thing = bpy.data.objects.new("rough", rough)
    bpy.context.scene.collection.objects.link(thing)
    remesh = thing.modifiers.new("Remesh", "REMESH")
    remesh.mode, remesh.voxel_size, remesh.use_smooth_shade = "VOXEL", voxel, True
    smooth = thing.modifiers.new("Smooth", "SMOOTH")
    smooth.factor, smooth.iterations = 0.5, 4
    graph = bpy.context.evaluated_depsgraph_get()
    skin = bpy.data.meshes.new_from_object(thing.evaluated_get(graph))
    skin.name = name
    bpy.data.objects.remove(thing)
    bpy.data.meshes.remove(rough)
    return skin


def _distance(point: Vector, bone: Bone) -> float:
    """Distance from a point to a bone's surface; negative inside."""
    head, tail = Vector(bone.head), Vector(bone.tail)
    nearest, share = intersect_point_line(point, head, tail)
    share = min(1.0, max(0.0, share))
    nearest = head.lerp(tail, share)
    radius = bone.radius_head * (1 - share) + bone.radius_tail * share
    return (point - nearest).length - radius


def add_figure(
    collection: bpy.types.Collection,
    name: str,
    bones: Sequence[Bone],
    colours: dict[str, Colour],
    voxel: float,
) -> bpy.types.Object:
    """Return the armature of a figure with its skin; stands at the origin, faces -Y."""
    skin = _skin(name, bones, voxel)
    slots = list(colours)
    for slot in slots:
        skin.materials.append(material(f"{name} {slot}", colours[slot], 0.75))
    body = bpy.data.objects.new(name, skin)
    collection.objects.link(body)
    groups = {bone.name: body.vertex_groups.new(name=bone.name) for bone in bones}
    nearest_wear = []
    for vertex in skin.vertices:
        ranked = sorted(((_distance(vertex.co, bone), bone) for bone in bones), key=lambda p: p[0])
        best = ranked[0][0]
        near = [(bone, 1.0 / (0.012 + d - best) ** 2) for d, bone in ranked[:3]]
        total = sum(weight for _, weight in near)
        for bone, weight in near:
            if weight / total > 0.04:
                groups[bone.name].add([vertex.index], weight / total, "REPLACE")
        nearest_wear.append(ranked[0][1].wear)
    for face in skin.polygons:
        wears = [nearest_wear[v] for v in face.vertices]
        wear = max(set(wears), key=wears.count)
        if wear == "skin" and "hair" in colours:
            centre = face.center
            if centre.z > 1.68 or (centre.z > 1.56 and centre.y > 0.015):
                wear = "hair"
        face.material_index = slots.index(wear)
    frame = bpy.data.armatures.new(f"{name} rig")
    rig = bpy.data.objects.new(f"{name} rig", frame)
    collection.objects.link(rig)
    rig.hide_viewport = False
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in bones:
        made = frame.edit_bones.new(bone.name)
        made.head, made.tail = bone.head, bone.tail
        if bone.parent:
            made.parent = frame.edit_bones[bone.parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    frame.display_type = "WIRE"
    rig.hide_render = True
    body.parent = rig
    body.modifiers.new("Armature", "ARMATURE").object = rig
    for bone in rig.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return rig


def _turn(rig: bpy.types.Object, name: str, degrees: float, frame: int) -> None:
    """Swing a bone about the figure's left-right axis; positive swings its tail forward."""
    bone = rig.pose.bones[name]
    axis = bone.bone.matrix_local.to_3x3().inverted() @ Vector((1.0, 0.0, 0.0))
    bone.rotation_quaternion = Matrix.Rotation(math.radians(-degrees), 3, axis).to_quaternion()
    bone.keyframe_insert("rotation_quaternion", frame=frame)


def walk(
    rig: bpy.types.Object,
    path: Sequence[tuple[float, float]],
    frames: tuple[int, int],
    fps: float,
    stride_m: float = 1.35,
    swing: dict[str, tuple[float, float]] | None = None,
) -> None:
    """Walk along a straight line from path[0] to path[1]; `swing` maps bones to (degrees, phase).

    Phase is in turns of the step cycle.
    """
    start, end = Vector((*path[0], 0)), Vector((*path[1], 0))
    heading = end - start
    rig.rotation_euler.z = math.atan2(heading.x, -heading.y)
    for frame in range(frames[0], frames[1] + 1, 2):
        share = (frame - frames[0]) / max(1, frames[1] - frames[0])
        rig.location = start.lerp(end, share)
        cycle = heading.length * share / stride_m
        rig.location.z = 0.012 * math.cos(4 * math.pi * cycle) - 0.012
        rig.keyframe_insert("location", frame=frame)
        for bone, (degrees, phase) in (swing or {}).items():
            bend = math.sin(2 * math.pi * (cycle + phase))
            if bone.startswith("shin"):
                # A knee bends one way only.
                bend = min(0.0, -0.15 - max(0.0, bend))
            _turn(rig, bone, degrees * bend, frame)


PERSON_SWING = {
    "thigh.L": (27, 0.0),
    "thigh.R": (27, 0.5),
    "shin.L": (38, 0.75 + 0.5),
    "shin.R": (38, 0.25 + 0.5),
    "arm.L": (22, 0.5),
    "arm.R": (22, 0.0),
    "forearm.L": (8, 0.5),
    "forearm.R": (8, 0.0),
}
DOG_SWING = {
    "fore.L": (26, 0.0),
    "fore.R": (26, 0.5),
    "hind.L": (26, 0.5),
    "hind.R": (26, 0.0),
    "tail": (14, 0.2),
}
