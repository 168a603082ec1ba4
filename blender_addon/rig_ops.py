# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the rig: which cameras, new ones, rig files, mending what is outside."""

from __future__ import annotations

import math
from dataclasses import replace

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper
from mathutils import Matrix, Vector

from syncam_engine.link import poses, rig_json
from syncam_engine.link.errors import SynCamError

from . import cameras, checks, job_request, lens, rig_math, session, settings, viewport
from .cameras import CV_FROM_BLENDER


class SYNCAM_OT_rig_use(bpy.types.Operator):
    """Choose which of the scene's cameras the rig uses"""

    bl_idname = "syncam.rig_use"
    bl_label = "Use Cameras"
    bl_options = {"REGISTER", "UNDO"}

    which: EnumProperty(
        items=(
            ("ALL", "All", "Every camera of the scene"),
            ("NONE", "None", "No camera"),
            ("SELECTED", "Selected", "The selected cameras"),
            (
                "MARKERS",
                "Bound to Markers",
                "The cameras that timeline markers switch to, in order",
            ),
        )
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        settings.sync_rig(scene)
        if self.which == "MARKERS":
            bound = cameras.marker_cameras(scene)
            if not bound:
                self.report({"ERROR"}, "No timeline marker is bound to a camera.")
                return {"CANCELLED"}
            rig = scene.syncam.rig
            for target, thing in enumerate(bound):
                at = next((i for i, item in enumerate(rig) if item.camera == thing), None)
                if at is not None:
                    rig.move(at, target)
            for item in rig:
                item.use = item.camera in bound
            return {"FINISHED"}
        for item in scene.syncam.rig:
            item.use = self.which == "ALL" or (
                self.which == "SELECTED" and item.camera.select_get()
            )
        return {"FINISHED"}


class SYNCAM_OT_rig_move(bpy.types.Operator):
    """Move this camera in the rig's order"""

    bl_idname = "syncam.rig_move"
    bl_label = "Move Camera"
    bl_options = {"REGISTER", "UNDO"}

    direction: EnumProperty(items=(("UP", "Up", ""), ("DOWN", "Down", "")))

    def execute(self, context: bpy.types.Context) -> set[str]:
        own = context.scene.syncam
        to = own.rig_index + (-1 if self.direction == "UP" else 1)
        if not 0 <= to < len(own.rig):
            return {"CANCELLED"}
        own.rig.move(own.rig_index, to)
        own.rig_index = to
        return {"FINISHED"}


class _OnCamera:
    """Operators on one camera of the scene, by its name."""

    camera: StringProperty(name="Camera")

    def camera_or_report(self, scene: bpy.types.Scene) -> bpy.types.Object | None:
        thing = cameras.find_camera(scene, self.camera)
        if thing is None:
            self.report({"ERROR"}, f"The scene has no camera {self.camera!r}.")
        return thing


class SYNCAM_OT_rig_anchor(_OnCamera, bpy.types.Operator):
    """Make this camera the anchor: its view is the others' reference"""

    bl_idname = "syncam.rig_anchor"
    bl_label = "Make Anchor"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        thing = self.camera_or_report(context.scene)
        if thing is None:
            return {"CANCELLED"}
        context.scene.syncam.anchor = thing
        return {"FINISHED"}


class SYNCAM_OT_rig_screen(_OnCamera, bpy.types.Operator):
    """Choose the object whose material shows this camera's clip; without a name, none"""

    bl_idname = "syncam.rig_screen"
    bl_label = "Choose Screen"
    bl_options = {"REGISTER", "UNDO"}

    object: StringProperty(name="Object", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        thing = self.camera_or_report(scene)
        if thing is None:
            return {"CANCELLED"}
        screen = scene.objects.get(self.object) if self.object else None
        if self.object and (screen is None or screen.type != "MESH"):
            said = f"is a {screen.type.lower()}, not a mesh" if screen else "is not in the scene"
            self.report({"ERROR"}, f"{self.object!r} {said}; a clip is shown on a mesh.")
            return {"CANCELLED"}
        settings.sync_rig(scene)
        next(item for item in scene.syncam.rig if item.camera == thing).screen = screen
        return {"FINISHED"}


class SYNCAM_OT_rig_look(_OnCamera, bpy.types.Operator):
    """Look through this camera"""

    bl_idname = "syncam.rig_look"
    bl_label = "Look Through"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        thing = self.camera_or_report(context.scene)
        if thing is None:
            return {"CANCELLED"}
        context.scene.camera = thing
        for area in context.screen.areas if context.screen else ():
            if area.type == "VIEW_3D":
                area.spaces.active.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}


class SYNCAM_OT_rig_add(bpy.types.Operator):
    """Add cameras around the selection, or around the 3-D cursor"""

    bl_idname = "syncam.rig_add"
    bl_label = "Add Rig"
    bl_options = {"REGISTER", "UNDO"}

    shape: EnumProperty(
        name="Shape",
        items=(
            ("ARC", "Arc", "Evenly on an arc that looks at the centre"),
            ("HEMISPHERE", "Hemisphere", "At random on a hemisphere, as the models are trained"),
            ("LINE", "Line", "Side by side, all looking the same way"),
        ),
    )
    count: IntProperty(name="Cameras", default=4, soft_min=1, soft_max=32)
    radius: FloatProperty(
        name="Radius",
        description="From the centre to the cameras; without a value 5 m",
        soft_min=0.01,
        subtype="DISTANCE",
        options={"SKIP_SAVE"},
    )
    elevation: FloatProperty(
        name="Elevation", default=math.radians(15), min=0, max=math.radians(89), subtype="ANGLE"
    )
    span: FloatProperty(name="Span", default=math.radians(60), min=0, max=math.tau, subtype="ANGLE")
    azimuth: FloatProperty(name="Azimuth", default=math.radians(-90), subtype="ANGLE")
    hfov: FloatProperty(
        name="Field of View",
        default=math.radians(52.67),
        min=math.radians(5),
        max=math.radians(150),
        subtype="ANGLE",
    )
    seed: IntProperty(name="Seed", default=1, min=0)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        unit_m = scene.unit_settings.scale_length
        if not self.properties.is_property_set("radius"):
            self.radius = 5.0 / unit_m
        try:
            settings.check_range("count", self.count, 1, 32)
            settings.check_range("radius", self.radius, 1e-6, 1e6)
            made = rig_math.new_poses(
                self.shape,
                self.count,
                center_m=tuple(x * unit_m for x in _centre_of_selection(context)),
                radius_m=self.radius * unit_m,
                elevation_deg=math.degrees(self.elevation),
                span_deg=math.degrees(self.span),
                azimuth_deg=math.degrees(self.azimuth),
                seed=self.seed,
            )
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        things = [
            add_camera(scene, f"{self.shape.capitalize()} {k + 1}", pose, unit_m)
            for k, pose in enumerate(made)
        ]
        for thing in things:
            thing.data.sensor_fit = "HORIZONTAL"
            thing.data.angle = self.hfov
        if scene.camera is None:
            scene.camera = things[0]
        settings.sync_rig(scene)
        for item in scene.syncam.rig:
            item.use = item.camera in things
        scene.syncam.anchor = things[len(things) // 2]
        return {"FINISHED"}


def _centre_of_selection(context: bpy.types.Context) -> Vector:
    """The middle of the selected objects' bounds, cameras and lights left out; else the cursor."""
    corners = [
        thing.matrix_world @ Vector(corner)
        for thing in context.selected_objects
        if thing.type not in ("CAMERA", "LIGHT", "EMPTY")
        for corner in thing.bound_box
    ]
    if not corners:
        return context.scene.cursor.location.copy()
    return Vector([(min(c[k] for c in corners) + max(c[k] for c in corners)) / 2 for k in range(3)])


def add_camera(
    scene: bpy.types.Scene, name: str, c2w_cv_m: poses.Matrix4, unit_m: float
) -> bpy.types.Object:
    thing = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    matrix = Matrix(c2w_cv_m) @ CV_FROM_BLENDER
    matrix.translation /= unit_m
    thing.matrix_world = matrix
    # Blender's own are meant for metres.
    thing.data.clip_start /= unit_m
    thing.data.clip_end /= unit_m
    scene.collection.objects.link(thing)
    return thing


class SYNCAM_OT_rig_export(bpy.types.Operator, ExportHelper):
    """Write the rig to a file: intrinsics and poses, OpenCV axes, metres"""

    bl_idname = "syncam.rig_export"
    bl_label = "Export Rig"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, state = context.scene, session.get()
        try:
            used, anchor = job_request.choose_cameras(scene, None)
            envelope = state.envelope_or_none(scene.syncam.preset)
            frames = job_request.frames_of(scene, envelope)
            rig = cameras.read_rig(scene, context.view_layer, used, anchor=anchor, frames=frames)
            rig = replace(rig, fps=rig.fps / job_request.step_of(scene, envelope))
            rig_json.write_rig(rig, bpy.path.abspath(self.filepath))
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        except OSError as error:
            self.report({"ERROR"}, f"{self.filepath} cannot be written: {error.strerror}.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(used)} cameras are in {self.filepath}.")
        return {"FINISHED"}


class SYNCAM_OT_rig_import(bpy.types.Operator, ImportHelper):
    """Make cameras of a rig file"""

    bl_idname = "syncam.rig_import"
    bl_label = "Import Rig"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        try:
            rig = rig_json.read_rig(bpy.path.abspath(self.filepath))
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        unit_m = scene.unit_settings.scale_length
        step = max(1, round(cameras.scene_fps(scene) / rig.fps))
        first = settings.first_frame(scene)
        things = []
        for camera in rig.cameras:
            thing = add_camera(scene, camera.name, camera.c2w_cv_m_at(0), unit_m)
            things.append(thing)
            frame = lens.Frame(width_px=camera.width_px, height_px=camera.height_px)
            for k in range(camera.frame_count):
                read = lens.lens_of(camera.K_at(k), frame)
                thing.data.lens, thing.data.sensor_width = read.focal_mm, read.sensor_width_mm
                thing.data.sensor_fit = read.sensor_fit
                thing.data.shift_x, thing.data.shift_y = read.shift_x, read.shift_y
                if camera.frame_count > 1:
                    matrix = Matrix(camera.c2w_cv_m_at(k)) @ CV_FROM_BLENDER
                    matrix.translation /= unit_m
                    thing.rotation_mode = "QUATERNION"
                    thing.matrix_world = matrix
                    for path in ("location", "rotation_quaternion"):
                        thing.keyframe_insert(path, frame=first + k * step)
                    thing.data.keyframe_insert("lens", frame=first + k * step)
        settings.sync_rig(scene)
        for item in scene.syncam.rig:
            item.use = item.camera in things
        scene.syncam.anchor = things[rig.anchor]
        if scene.camera is None:
            scene.camera = things[rig.anchor]
        # The last pose keyed is the one that is shown: evaluate the frame that it is.
        scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
        self.report({"INFO"}, f"{len(things)} cameras were made.")
        return {"FINISHED"}


class SYNCAM_OT_rig_thumbnails(bpy.types.Operator):
    """Draw a small picture of what each camera sees"""

    bl_idname = "syncam.rig_thumbnails"
    bl_label = "Refresh Pictures"

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        settings.sync_rig(scene)
        session.get().chore = viewport.thumbnails(scene, viewport.listed_cameras(scene))
        if bpy.app.background:
            for _ in session.get().chore:
                pass
            session.get().chore = None
        return {"FINISHED"}


class SYNCAM_OT_fix(bpy.types.Operator):
    """Mend what is outside of what the model was trained on"""

    bl_idname = "syncam.fix"
    bl_label = "Fix"
    bl_options = {"REGISTER", "UNDO"}

    code: StringProperty(name="Code")
    camera: StringProperty(name="Camera")
    nearest: StringProperty(name="Nearest Value")

    def execute(self, context: bpy.types.Context) -> set[str]:
        state = session.get()
        try:
            done = checks.mend(
                context.scene,
                context.view_layer,
                self.code,
                self.camera,
                self.nearest,
                state.envelope_or_none(context.scene.syncam.preset),
            )
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        if not done:
            self.report({"ERROR"}, f"There is no way to mend {self.code!r} by itself.")
            return {"CANCELLED"}
        state.error = None
        checks.refresh(context.scene)
        return {"FINISHED"}


class SYNCAM_OT_dismiss(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "syncam.dismiss"
    bl_label = "Dismiss"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.get().error, session.get().notice = None, ""
        return {"FINISHED"}


CLASSES = (
    SYNCAM_OT_rig_use,
    SYNCAM_OT_rig_move,
    SYNCAM_OT_rig_anchor,
    SYNCAM_OT_rig_screen,
    SYNCAM_OT_rig_look,
    SYNCAM_OT_rig_add,
    SYNCAM_OT_rig_export,
    SYNCAM_OT_rig_import,
    SYNCAM_OT_rig_thumbnails,
    SYNCAM_OT_fix,
    SYNCAM_OT_dismiss,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
