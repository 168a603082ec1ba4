# SPDX-License-Identifier: GPL-3.0-or-later
"""The things that stand on the plaza: paving, facades, fountain, trees, lamps, people.

Units: metres. Every function takes the collection to link into; everything random takes `rng`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import bmesh
import bpy
from mathutils import Matrix, Vector

Colour = tuple[float, float, float]


def material(
    name: str, colour: Colour, roughness: float = 0.8, metallic: float = 0.0, glow: float = 0.0
) -> bpy.types.Material:
    """Return a plain material; the viewport shows the same colour."""
    found = bpy.data.materials.get(name)
    if found:
        return found
    made = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True
    made.diffuse_color = (*colour, 1.0)
    made.roughness, made.metallic = roughness, metallic
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    if glow:
        shader.inputs["Emission Color"].default_value = (*colour, 1.0)
        shader.inputs["Emission Strength"].default_value = glow
    return made


def add_mesh(
    collection: bpy.types.Collection,
    name: str,
    mesh: bmesh.types.BMesh,
    materials: Sequence[bpy.types.Material],
    smooth: bool = False,
) -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    if smooth:
        for face in mesh.faces:
            face.smooth = True
    mesh.to_mesh(data)
    mesh.free()
    for one in materials:
        data.materials.append(one)
    thing = bpy.data.objects.new(name, data)
    collection.objects.link(thing)
    return thing


def box(
    mesh: bmesh.types.BMesh, low: Sequence[float], high: Sequence[float], slot: int = 0
) -> None:
    """Add an axis-aligned box from corner `low` to `high`."""
    centre = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    size = [b - a for a, b in zip(low, high, strict=True)]
    matrix = Matrix.Translation(centre) @ Matrix.Diagonal((*size, 1.0))
    made = bmesh.ops.create_cube(mesh, size=1.0, matrix=matrix)
    for face in {f for v in made["verts"] for f in v.link_faces}:
        face.material_index = slot


def lathe(
    mesh: bmesh.types.BMesh, profile: Sequence[tuple[float, float]], sides: int, slot: int = 0
) -> None:
    """Turn a profile of (radius, height) about Z."""
    rings = [
        [
            mesh.verts.new(
                (r * math.cos(2 * math.pi * k / sides), r * math.sin(2 * math.pi * k / sides), z)
            )
            for k in range(sides)
        ]
        for r, z in profile
    ]
    for lower, upper in itertools.pairwise(rings):
        for k in range(sides):
            other = (k + 1) % sides
            face = mesh.faces.new((lower[k], lower[other], upper[other], upper[k]))
            face.material_index = slot


def add_paving(collection: bpy.types.Collection, radius: float) -> None:
    """Rings of wedge-shaped stones about the centre, and a square of slabs beyond them."""
    stones = [
        material("Paving light", (0.52, 0.47, 0.40)),
        material("Paving warm", (0.44, 0.36, 0.28)),
        material("Paving dark", (0.27, 0.25, 0.24)),
    ]
    rng = random.Random(7)
    mesh = bmesh.new()
    ring, inner = 0, 0.0
    while inner < radius:
        outer = inner + 0.75
        sides = max(8, round(2 * math.pi * outer / 1.1))
        band = 2 if ring % 5 == 4 else None
        for k in range(sides):
            a0 = 2 * math.pi * (k + 0.5 * (ring % 2)) / sides + 0.012 / outer
            a1 = 2 * math.pi * (k + 1 + 0.5 * (ring % 2)) / sides - 0.012 / outer
            z = rng.uniform(0.0, 0.008)
            corners = [
                (inner + 0.012, a0),
                (outer - 0.012, a0),
                (outer - 0.012, a1),
                (inner + 0.012, a1),
            ]
            face = mesh.faces.new(
                [mesh.verts.new((r * math.cos(a), r * math.sin(a), z)) for r, a in corners]
            )
            face.material_index = band if band is not None else rng.choice((0, 0, 1))
        inner, ring = outer, ring + 1
    add_mesh(collection, "Paving", mesh, stones)
    joint = bmesh.new()
    box(joint, (-60, -60, -0.2), (60, 60, -0.01))
    add_mesh(collection, "Ground", joint, [material("Joints", (0.16, 0.15, 0.14))])


def add_facade(
    collection: bpy.types.Collection,
    rng: random.Random,
    *,
    width: float,
    floors: int,
    wall: Colour,
    matrix: Matrix,
) -> bpy.types.Object:
    """One house front along X, its street side at -Y, with windows, shutters, a shop and a roof."""
    slots = [
        material(f"Wall {wall[0]:.2f} {wall[1]:.2f} {wall[2]:.2f}", wall, 0.9),
        material("Window glass", (0.05, 0.08, 0.11), 0.08),
        material("Stone trim", (0.62, 0.58, 0.50)),
        material(
            *rng.choice(
                (
                    ("Shutters green", (0.07, 0.17, 0.12)),
                    ("Shutters blue", (0.10, 0.18, 0.28)),
                    ("Shutters brown", (0.20, 0.10, 0.05)),
                )
            )
        ),
        material("Roof tiles", (0.36, 0.13, 0.07)),
        material(
            *rng.choice(
                (
                    ("Awning red", (0.50, 0.06, 0.05)),
                    ("Awning ochre", (0.62, 0.36, 0.07)),
                    ("Awning teal", (0.04, 0.27, 0.28)),
                )
            )
        ),
    ]
    mesh = bmesh.new()
    storey, ground = 3.1, 3.7
    height = ground + storey * floors
    box(mesh, (-width / 2, 0, 0), (width / 2, 7, height))
    box(mesh, (-width / 2, -0.12, 0), (width / 2, 0, 0.5), 2)
    box(mesh, (-width / 2, -0.14, ground), (width / 2, 0, ground + 0.22), 2)
    box(mesh, (-width / 2 - 0.1, -0.35, height), (width / 2 + 0.1, 7.1, height + 0.3), 2)
    # The roof: a gable along X.
    top = height + 0.3
    ends = [
        [mesh.verts.new((x, y, z)) for y, z in ((-0.5, top), (3.5, top + 2.2), (7.3, top))]
        for x in (-width / 2 - 0.1, width / 2 + 0.1)
    ]
    for a, b in ((0, 1), (1, 2)):
        mesh.faces.new((ends[0][a], ends[1][a], ends[1][b], ends[0][b])).material_index = 4
    for end in ends:
        mesh.faces.new(end).material_index = 0
    bays = max(2, round(width / 2.6))
    for bay in range(bays):
        x = -width / 2 + (bay + 0.5) * width / bays
        for floor in range(floors):
            z = ground + floor * storey + 0.95
            box(mesh, (x - 0.62, -0.07, z - 0.12), (x + 0.62, 0, z + 1.87), 2)
            box(mesh, (x - 0.5, -0.09, z), (x + 0.5, -0.02, z + 1.75), 1)
            box(mesh, (x - 0.025, -0.11, z), (x + 0.025, -0.03, z + 1.75), 2)
            if rng.random() < 0.8:
                for side in (-1, 1):
                    low, high = sorted((x + side * 0.53, x + side * 1.0))
                    box(mesh, (low, -0.13, z - 0.02), (high, -0.05, z + 1.77), 3)
            if floor == 0 and rng.random() < 0.5:
                box(mesh, (x - 0.95, -0.75, z - 0.22), (x + 0.95, 0, z - 0.1), 2)
                for step in range(9):
                    at = x - 0.9 + step * 0.225
                    box(mesh, (at - 0.015, -0.72, z - 0.1), (at + 0.015, -0.69, z + 0.75), 3)
                box(mesh, (x - 0.95, -0.74, z + 0.75), (x + 0.95, -0.67, z + 0.8), 3)
        # The ground floor: shop windows under awnings, one door.
        is_door = bay == bays // 2
        half = 0.6 if is_door else 0.95
        box(mesh, (x - half - 0.1, -0.07, 0.0 if is_door else 0.55), (x + half + 0.1, 0, 2.9), 2)
        box(
            mesh,
            (x - half, -0.1, 0.05 if is_door else 0.65),
            (x + half, -0.02, 2.75),
            3 if is_door else 1,
        )
        if not is_door:
            corners = [
                (x - 1.15, -0.05, 3.2),
                (x + 1.15, -0.05, 3.2),
                (x + 1.15, -1.05, 2.75),
                (x - 1.15, -1.05, 2.75),
                (x + 1.15, -1.05, 2.5),
                (x - 1.15, -1.05, 2.5),
            ]
            v = [mesh.verts.new(c) for c in corners]
            mesh.faces.new(v[:4]).material_index = 5
            mesh.faces.new((v[3], v[2], v[4], v[5])).material_index = 5
    bmesh.ops.recalc_face_normals(mesh, faces=mesh.faces)
    thing = add_mesh(collection, "House", mesh, slots)
    thing.matrix_world = matrix
    return thing


def add_fountain(collection: bpy.types.Collection, location: Sequence[float]) -> None:
    stone = material("Fountain stone", (0.60, 0.57, 0.52), 0.7)
    water = material("Water", (0.06, 0.20, 0.24), 0.05)
    mesh = bmesh.new()
    lathe(
        mesh,
        [
            (1.75, 0.0),
            (1.75, 0.14),
            (1.55, 0.14),
            (1.5, 0.5),
            (1.62, 0.58),
            (1.62, 0.66),
            (1.36, 0.66),
            (1.34, 0.2),
            (0.3, 0.2),
        ],
        40,
    )
    lathe(
        mesh,
        [
            (0.34, 0.2),
            (0.2, 0.5),
            (0.15, 1.0),
            (0.22, 1.25),
            (0.75, 1.45),
            (0.78, 1.52),
            (0.68, 1.52),
            (0.16, 1.36),
            (0.1, 1.8),
            (0.16, 1.9),
            (0.3, 2.0),
            (0.31, 2.05),
            (0.06, 2.02),
            (0.03, 2.2),
            (0.0, 2.22),
        ],
        28,
    )
    bmesh.ops.recalc_face_normals(mesh, faces=mesh.faces)
    basin = add_mesh(collection, "Fountain", mesh, [stone], smooth=False)
    basin.location = location
    mesh = bmesh.new()
    lathe(mesh, [(1.35, 0.52), (0.0, 0.52)], 40)
    lathe(mesh, [(0.69, 1.5), (0.0, 1.5)], 28)
    # Eight thin falls from the upper bowl.
    for k in range(8):
        a = 2 * math.pi * k / 8
        for (r0, z0), (r1, z1) in zip(
            ((0.72, 1.52), (0.88, 1.45), (0.98, 1.1), (1.03, 0.53)),
            ((0.88, 1.45), (0.98, 1.1), (1.03, 0.53)),
            strict=False,
        ):
            corners = [
                (r0, a - 0.06, z0),
                (r0, a + 0.06, z0),
                (r1, a + 0.06, z1),
                (r1, a - 0.06, z1),
            ]
            mesh.faces.new(
                [mesh.verts.new((r * math.cos(t), r * math.sin(t), z)) for r, t, z in corners]
            )
            mesh.faces.ensure_lookup_table()
            mesh.faces[-1].material_index = 1
    falls = material("Falling water", (0.42, 0.60, 0.66), 0.15)
    surface = add_mesh(collection, "Water", mesh, [water, falls], smooth=True)
    surface.location = location


def tree_mesh(rng: random.Random, height: float) -> bpy.types.Mesh:
    """A trunk with a few boughs and a crown of leafy clumps."""
    mesh = bmesh.new()
    lathe(mesh, [(0.17, 0), (0.12, 0.4), (0.10, height * 0.45), (0.05, height * 0.7)], 9)
    for _ in range(26):
        direction = Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 0.7)))
        direction.normalize()
        at = Vector((0, 0, height * 0.72)) + direction * rng.uniform(0.3, 0.95) * height * 0.24
        size = rng.uniform(0.13, 0.2) * height
        made = bmesh.ops.create_icosphere(
            mesh, subdivisions=2, radius=size, matrix=Matrix.Translation(at)
        )
        shade = rng.choice((1, 1, 2))
        for vert in made["verts"]:
            vert.co += Vector((rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-1, 1))) * (
                size * 0.16
            )
            for face in vert.link_faces:
                face.material_index = shade
    data = bpy.data.meshes.new("Tree")
    mesh.to_mesh(data)
    mesh.free()
    for one in (
        material("Bark", (0.15, 0.09, 0.05)),
        material("Leaves", (0.10, 0.22, 0.045)),
        material("Leaves light", (0.19, 0.31, 0.06)),
    ):
        data.materials.append(one)
    return data


def planter_mesh() -> bpy.types.Mesh:
    mesh = bmesh.new()
    lathe(mesh, [(0.62, 0.0), (0.7, 0.45), (0.7, 0.5), (0.6, 0.5), (0.58, 0.4), (0.0, 0.4)], 8)
    data = bpy.data.meshes.new("Planter")
    mesh.to_mesh(data)
    mesh.free()
    data.materials.append(material("Terracotta", (0.43, 0.17, 0.09)))
    return data


def lamp_mesh() -> bpy.types.Mesh:
    mesh = bmesh.new()
    lathe(
        mesh,
        [(0.2, 0), (0.2, 0.1), (0.1, 0.25), (0.06, 0.6), (0.045, 3.1), (0.1, 3.2), (0.03, 3.25)],
        12,
    )
    lathe(mesh, [(0.1, 3.25), (0.17, 3.5), (0.19, 3.62)], 12, 1)
    lathe(mesh, [(0.24, 3.62), (0.1, 3.78), (0.02, 3.9), (0.0, 3.92)], 12)
    data = bpy.data.meshes.new("Lamp")
    mesh.to_mesh(data)
    mesh.free()
    data.materials.append(material("Iron", (0.03, 0.035, 0.035), 0.5, 0.6))
    data.materials.append(material("Lamp glass", (1.0, 0.86, 0.60), 0.3, glow=2.5))
    return data


def bench_mesh() -> bpy.types.Mesh:
    mesh = bmesh.new()
    for k in range(4):
        box(mesh, (-0.8, -0.22 + k * 0.12, 0.43), (0.8, -0.12 + k * 0.12, 0.47))
    for k in range(3):
        box(mesh, (-0.8, 0.25, 0.55 + k * 0.12), (0.8, 0.28, 0.64 + k * 0.12))
    for x in (-0.65, 0.65):
        box(mesh, (x - 0.03, -0.2, 0), (x + 0.03, -0.14, 0.43), 1)
        box(mesh, (x - 0.03, 0.2, 0), (x + 0.03, 0.26, 0.9), 1)
        box(mesh, (x - 0.03, -0.2, 0.38), (x + 0.03, 0.26, 0.43), 1)
    data = bpy.data.meshes.new("Bench")
    mesh.to_mesh(data)
    mesh.free()
    data.materials.append(material("Bench wood", (0.32, 0.17, 0.07)))
    data.materials.append(material("Iron", (0.03, 0.035, 0.035)))
    return data


def place(
    collection: bpy.types.Collection,
    data: bpy.types.Mesh,
    location: Sequence[float],
    turn_deg: float = 0.0,
    scale: float = 1.0,
) -> bpy.types.Object:
    """Stand a shared mesh somewhere, turned about Z."""
    thing = bpy.data.objects.new(data.name, data)
    thing.location = location
    thing.rotation_euler.z = math.radians(turn_deg)
    thing.scale = (scale,) * 3
    collection.objects.link(thing)
    return thing
