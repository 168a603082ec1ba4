# SPDX-License-Identifier: GPL-3.0-or-later
"""Build examples/plaza.blend: a small plaza, a walker with a dog, a waiting woman, four cameras.

Run with a Python that has bpy:  BPY_PYTHON examples/make_plaza.py [--out FILE] [--stills DIR]

Use bpy 4.2 for the file that is committed: later versions read it, earlier ones do not read theirs.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from pathlib import Path

import bpy
from mathutils import Matrix, Vector

sys.path.insert(0, str(Path(__file__).resolve().parent))
import plaza_figures as figures
import plaza_parts as parts

SUBJECT = Vector((0.0, 0.0, 0.9))
FRAMES = (1, 65)
FPS = 30


def collection(name: str) -> bpy.types.Collection:
    made = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(made)
    return made


def build_place() -> None:
    rng = random.Random(11)
    square = collection("Plaza")
    parts.add_paving(square, 15.0)
    walls = [
        (0.70, 0.45, 0.24),
        (0.72, 0.60, 0.42),
        (0.60, 0.30, 0.22),
        (0.55, 0.56, 0.50),
        (0.74, 0.52, 0.36),
        (0.50, 0.38, 0.30),
    ]
    houses = collection("Houses")
    for side in range(4):
        turn = Matrix.Rotation(math.radians(90 * side), 4, "Z")
        at = -15.0
        while at < 14.5:
            width = rng.uniform(5.5, 8.0)
            matrix = turn @ Matrix.Translation((at + width / 2, 15.0, 0))
            parts.add_facade(
                houses,
                rng,
                width=width,
                floors=rng.choice((2, 2, 3)),
                wall=rng.choice(walls),
                matrix=matrix,
            )
            at += width
    things = collection("Things")
    parts.add_fountain(things, (-1.6, 3.4, 0))
    trees = [parts.tree_mesh(rng, height) for height in (4.2, 4.8)]
    planter, lamp, bench = parts.planter_mesh(), parts.lamp_mesh(), parts.bench_mesh()
    for k in range(8):
        angle = math.radians(22.5 + 45 * k)
        spot = (11.2 * math.cos(angle), 11.2 * math.sin(angle), 0)
        parts.place(things, planter, spot)
        parts.place(things, trees[k % 2], (*spot[:2], 0.3), 40 * k, rng.uniform(0.9, 1.15))
    for k in range(4):
        angle = math.radians(45 + 90 * k)
        parts.place(things, lamp, (8.8 * math.cos(angle), 8.8 * math.sin(angle), 0))
        angle += math.radians(20)
        parts.place(
            things,
            bench,
            (9.2 * math.cos(angle), 9.2 * math.sin(angle), 0),
            math.degrees(angle) - 90,
        )


def build_figures() -> None:
    people = collection("Figures")
    walker = figures.add_figure(
        people,
        "Walker",
        figures.PERSON,
        {
            "top": (0.62, 0.09, 0.06),
            "legs": (0.05, 0.08, 0.17),
            "shoes": (0.09, 0.05, 0.03),
            "skin": (0.62, 0.38, 0.26),
            "hair": (0.05, 0.03, 0.02),
        },
        0.024,
    )
    figures.walk(walker, ((-1.5, -0.75), (1.5, 0.35)), FRAMES, FPS, 1.3, figures.PERSON_SWING)
    dog = figures.add_figure(
        people,
        "Dog",
        figures.DOG,
        {"fur": (0.42, 0.24, 0.10), "pale": (0.66, 0.54, 0.38), "dark": (0.16, 0.08, 0.04)},
        0.018,
    )
    figures.walk(dog, ((-0.6, -1.15), (2.4, -0.05)), FRAMES, FPS, 0.8, figures.DOG_SWING)
    waiting = figures.add_figure(
        people,
        "Waiting",
        figures.PERSON,
        {
            "top": (0.78, 0.60, 0.16),
            "legs": (0.27, 0.24, 0.22),
            "shoes": (0.30, 0.05, 0.05),
            "skin": (0.48, 0.28, 0.18),
            "hair": (0.10, 0.05, 0.03),
        },
        0.024,
    )
    waiting.location = (-0.9, 1.3, 0)
    waiting.rotation_euler.z = math.radians(25)
    waiting.scale = (0.95,) * 3
    for name, degrees in (("arm.L", 14), ("forearm.L", 62), ("arm.R", -4), ("thigh.L", 5)):
        bone = waiting.pose.bones[name]
        axis = bone.bone.matrix_local.to_3x3().inverted() @ Vector((1.0, 0.0, 0.0))
        bone.rotation_quaternion = Matrix.Rotation(math.radians(-degrees), 3, axis).to_quaternion()


def build_light() -> None:
    world = bpy.data.worlds.new("Sky")
    bpy.context.scene.world = world
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    world.color = (0.45, 0.62, 0.85)
    tree = world.node_tree
    background = tree.nodes["Background"]
    background.inputs["Strength"].default_value = 0.85
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    for element, (at, colour) in zip(
        (*ramp.color_ramp.elements, ramp.color_ramp.elements.new(0.25)),
        ((0.0, (0.90, 0.80, 0.66, 1)), (1.0, (0.16, 0.36, 0.78, 1)), (0.25, (0.52, 0.70, 0.93, 1))),
        strict=True,
    ):
        element.position, element.color = at, colour
    tree.links.new(coordinates.outputs["Generated"], split.inputs[0])
    tree.links.new(split.outputs["Z"], ramp.inputs[0])
    tree.links.new(ramp.outputs[0], background.inputs["Color"])
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.data.color = 4.2, math.radians(2), (1.0, 0.90, 0.76)
    sun.rotation_euler = (math.radians(48), math.radians(8), math.radians(-38))
    bpy.context.scene.collection.objects.link(sun)


def on_hemisphere(radius: float, azimuth_deg: float, elevation_deg: float) -> Vector:
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    return SUBJECT + radius * Vector(
        (math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e))
    )


def look_at(eye: Vector, target: Vector, roll_deg: float = 0.0) -> Matrix:
    turn = (eye - target).to_track_quat("Z", "Y").to_matrix().to_4x4()
    return Matrix.Translation(eye) @ turn @ Matrix.Rotation(math.radians(roll_deg), 4, "Z")


def build_cameras(hfov_deg: float) -> None:
    """One plain, one tracked under a scaled parent, one rolled with lens shift, one moving."""
    rig = collection("Cameras")

    def camera(name: str) -> bpy.types.Object:
        thing = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        thing.data.sensor_width = 36.0
        thing.data.lens = 18.0 / math.tan(math.radians(hfov_deg) / 2)
        thing.data.display_size = 0.6
        rig.objects.link(thing)
        return thing

    wide = camera("Wide")
    wide.matrix_world = look_at(on_hemisphere(5.2, -88, 14), SUBJECT)
    bpy.context.scene.camera = wide

    target = bpy.data.objects.new("Look here", None)
    target.location, target.empty_display_size = SUBJECT, 0.3
    rig.objects.link(target)
    crane = bpy.data.objects.new("Crane", None)
    crane.location, crane.scale = (3.0, -2.0, 0.4), (1.8, 1.3, 0.7)
    crane.rotation_euler.z = math.radians(20)
    crane.empty_display_type, crane.empty_display_size = "CUBE", 0.4
    rig.objects.link(crane)
    tracked = camera("Tracked")
    tracked.parent = crane
    bpy.context.view_layer.update()
    tracked.location = crane.matrix_world.inverted() @ on_hemisphere(4.7, -58, 24)
    track = tracked.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"

    rolled = camera("Rolled")
    rolled.matrix_world = look_at(on_hemisphere(5.1, -118, 12), SUBJECT, 90)
    rolled.data.shift_x, rolled.data.shift_y = 0.06, -0.04

    dolly = camera("Dolly")
    for frame in range(FRAMES[0], FRAMES[1] + 1, 8):
        share = (frame - FRAMES[0]) / (FRAMES[1] - FRAMES[0])
        dolly.matrix_world = look_at(on_hemisphere(4.9 - 0.5 * share, -38 + 26 * share, 9), SUBJECT)
        dolly.keyframe_insert("location", frame=frame)
        dolly.keyframe_insert("rotation_euler", frame=frame)


def build(hfov_deg: float) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = "Plaza"
    scene.unit_settings.system = "METRIC"
    scene.render.resolution_x, scene.render.resolution_y = 1280, 768
    scene.render.fps = FPS
    scene.frame_start, scene.frame_end = FRAMES
    scene.cycles.samples = 24
    build_place()
    build_figures()
    build_light()
    build_cameras(hfov_deg)
    scene.frame_set(FRAMES[0])
    for thing in scene.objects:
        if thing.type == "ARMATURE":
            thing.hide_set(True)
    bpy.ops.outliner.orphans_purge(do_recursive=True)


def render_stills(folder: Path) -> None:
    """One small Cycles picture a camera, to look at."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_percentage = 40
    scene.frame_set(17)
    for thing in [o for o in scene.objects if o.type == "CAMERA"]:
        scene.camera = thing
        scene.render.filepath = str(folder / f"{thing.name}.png")
        bpy.ops.render.render(write_still=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("plaza.blend"))
    parser.add_argument("--stills", type=Path, help="also render a picture of each camera there")
    parser.add_argument(
        "--hfov", type=float, default=52.67, help="horizontal field of view, degrees"
    )
    args = parser.parse_args()
    build(args.hfov)
    bpy.ops.wm.save_as_mainfile(filepath=str(args.out.resolve()), compress=True, copy=True)
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB, {len(bpy.data.objects)} objects")
    if args.stills:
        render_stills(args.stills.resolve())


if __name__ == "__main__":
    main()
