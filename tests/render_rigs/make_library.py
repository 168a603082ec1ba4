# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in Blender's Python: a small library of a user's own, with two bad files in it."""

import json
import sys
from pathlib import Path

import bpy


def animated_box() -> None:
    """A long box, 3 units tall along file Z, that nods: an action named Nod."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, 1.5))
    box = bpy.context.object
    box.scale = (2.0, 0.8, 3.0)
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    surface = bpy.data.materials.new("red")
    if bpy.app.version < (5, 0, 0):
        surface.use_nodes = True
    surface.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (
        0.8,
        0.02,
        0.02,
        1,
    )
    box.data.materials.append(surface)
    for frame, angle in ((0, 0.0), (12, 0.3), (24, 0.0)):
        box.rotation_euler = (0, angle, 0)
        box.keyframe_insert("rotation_euler", frame=frame)
    box.animation_data.action.name = "Nod"
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 0, 24


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True)
    animated_box()
    bpy.ops.export_scene.gltf(filepath=str(out / "nodder.glb"))
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "nodder.blend"))
    bpy.ops.export_scene.fbx(filepath=str(out / "nodder.fbx"), bake_anim_simplify_factor=0)
    bpy.ops.wm.usd_export(filepath=str(out / "nodder.usdc"), export_animation=True)
    (out / "broken.glb").write_bytes(b"glTF but not really")
    entry = {"scale": 0.5, "forward": "X", "up": "Z", "actions": {"walk": "Nod"}, "speed_mps": 0.8}
    (out / "assets.json").write_text(
        json.dumps(
            {
                "entries": [
                    {**entry, "file": "nodder.glb", "caption": "a red nodder"},
                    {**entry, "file": "nodder.blend", "caption": "a red nodder"},
                    {**entry, "file": "nodder.fbx", "caption": "a red nodder"},
                    {**entry, "file": "nodder.usdc", "caption": "a red nodder"},
                    {**entry, "file": "broken.glb", "caption": "a broken thing"},
                    {**entry, "file": "missing.fbx"},
                    {**entry, "file": "nodder.glb", "caption": "held out", "split": "test"},
                ]
            }
        )
    )
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_plane_add(size=60)
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 14, 1))
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "yard.blend"))
    (out / "locations.json").write_text(
        json.dumps(
            {"entries": [{"file": "yard.blend", "caption": "a test yard", "preposition": "across"}]}
        )
    )


if __name__ == "__main__":
    main()
