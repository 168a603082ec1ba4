# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in Blender's Python: a skinned figure as .blend and .glb, measured as a subject and shown."""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

from render_rigs.assets import Entry
from render_rigs.blender import library

HEIGHT_M = 1.75


def skinned_box() -> None:
    """A box of a person's height on one bone, which is drawn as a ball of two metres."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, HEIGHT_M / 2))
    box = bpy.context.object
    box.scale = (0.4, 0.6, HEIGHT_M)
    bpy.ops.object.transform_apply(location=True, rotation=False, scale=True)
    bpy.ops.object.armature_add(location=(0, 0, 0))
    armature = bpy.context.object
    bone = armature.data.bones[0].name
    group = box.vertex_groups.new(name=bone)
    group.add(range(len(box.data.vertices)), 1.0, "REPLACE")
    box.modifiers.new("skin", "ARMATURE").object = armature
    box.parent = armature
    bpy.ops.mesh.primitive_ico_sphere_add(radius=1.0)
    armature.pose.bones[bone].custom_shape = bpy.context.object


def main() -> None:
    folder = Path(sys.argv[1])
    skinned_box()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "figure.blend"))
    skinned_box()
    bpy.data.objects.remove(bpy.context.object)  # a file of a modeller knows no balls
    bpy.ops.export_scene.gltf(filepath=str(folder / "plain.glb"))
    for name in ("figure.blend", "plain.glb"):
        entry = Entry(file=name, folder=str(folder))
        points = library.measure(entry, "walk", 3, 15)
        library._empty()
        things = library.bring_in(entry).things
        shown = [t.name for t in things if t.type == "MESH" and not t.hide_render]
        told = {"file": name, "low_m": float(np.min(points[..., 2])), "shown": shown}
        print("@" + json.dumps({**told, "high_m": float(np.max(points[..., 2]))}))


if __name__ == "__main__":
    main()
