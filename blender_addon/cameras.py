# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's cameras as a `Rig`: evaluated, normalised, in metres.

Nothing of the scene is changed but its current frame, which is put back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import bpy
from mathutils import Matrix

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

from .lens import Frame, Lens, intrinsics_of

CV_FROM_BLENDER = Matrix.Diagonal((1.0, -1.0, -1.0, 1.0))


def scene_fps(scene: bpy.types.Scene) -> Fraction:
    """Return the scene's frames a second, exactly (24/1.001 for 23.98)."""
    base = Fraction(scene.render.fps_base).limit_denominator(1001)
    return Fraction(scene.render.fps) / base


def picture_frame(scene: bpy.types.Scene) -> Frame:
    """Return the size of a render's picture, with the percentage applied."""
    render = scene.render
    share = render.resolution_percentage / 100.0
    return Frame(
        width_px=max(1, int(render.resolution_x * share)),
        height_px=max(1, int(render.resolution_y * share)),
        aspect_x=render.pixel_aspect_x,
        aspect_y=render.pixel_aspect_y,
    )


def lens_of_camera(data: bpy.types.Camera) -> Lens:
    return Lens(
        focal_mm=data.lens,
        sensor_width_mm=data.sensor_width,
        sensor_height_mm=data.sensor_height,
        sensor_fit=data.sensor_fit,
        shift_x=data.shift_x,
        shift_y=data.shift_y,
    )


def scene_cameras(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Return the scene's camera objects in name order, linked and overridden ones too."""
    return sorted(
        (thing for thing in scene.objects if thing.type == "CAMERA"), key=lambda o: o.name_full
    )


def rig_name(thing: bpy.types.Object) -> str:
    """Return a camera's name in rigs and lists: a linked camera's tells its library, so that it and
    a local camera or override of the same name are two."""
    return thing.name_full if thing.library else thing.name


def find_camera(scene: bpy.types.Scene, name: str) -> bpy.types.Object | None:
    """Return the scene's camera called `name` in rigs, else by its plain name, or None."""
    present = scene_cameras(scene)
    exact = next((thing for thing in present if rig_name(thing) == name), None)
    return exact or next((thing for thing in present if thing.name == name), None)


def marker_cameras(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Return the cameras bound to timeline markers, in the order of their first frame."""
    bound = sorted((m for m in scene.timeline_markers if m.camera), key=lambda m: m.frame)
    return list(dict.fromkeys(m.camera for m in bound))


def camera_at_frame(scene: bpy.types.Scene, frame: int) -> bpy.types.Object | None:
    """Return the camera that looks at `frame`: the last marker's up to there, else the scene's."""
    bound = [m for m in scene.timeline_markers if m.camera]
    if not bound:
        return scene.camera
    before = [m for m in bound if m.frame <= frame]
    marker = max(before, key=lambda m: m.frame) if before else min(bound, key=lambda m: m.frame)
    return marker.camera


def check_kind(thing: bpy.types.Object) -> None:
    """Refuse cameras that are no pinhole. Raises SynCamError naming the camera."""
    if thing.type != "CAMERA":
        raise SynCamError(
            "camera.none", f"{thing.name!r} is a {thing.type.lower()}, no camera.", value=thing.type
        )
    kind = {"ORTHO": "orthographic", "PANO": "panoramic", "CUSTOM": "custom"}.get(thing.data.type)
    if kind:
        raise SynCamError(
            f"camera.{kind}",
            f"Camera {thing.name!r} is {kind}; SynCam needs a perspective camera.",
            value=kind,
            nearest="perspective",
            fix="Exclude the camera",
        )


def read_rig(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    cameras: Sequence[bpy.types.Object],
    *,
    anchor: int = 0,
    frames: Sequence[int] = (),
) -> Rig:
    """Return the rig of `cameras` at the scene frames `frames` (none: the current one).

    The lens and pose are the evaluated ones, at each frame; a camera that stays still gets one
    pose. Raises SynCamError that names the camera.
    """
    if not cameras:
        raise SynCamError(
            "rig.empty",
            f"The scene {scene.name!r} has no camera to generate from; it needs at least one.",
            value=0,
            nearest=1,
            fix="Add a camera",
        )
    for thing in cameras:
        check_kind(thing)
    wanted = list(frames) or [scene.frame_current]
    poses: dict[str, list] = {thing.name_full: [] for thing in cameras}
    lenses: dict[str, list] = {thing.name_full: [] for thing in cameras}
    frame, unit_m = picture_frame(scene), scene.unit_settings.scale_length
    kept = (scene.frame_current, scene.frame_subframe, scene.camera)
    try:
        for number in wanted:
            if number != scene.frame_current or scene.frame_subframe:
                scene.frame_set(number)
            view_layer.update()
            graph = view_layer.depsgraph
            for thing in cameras:
                evaluated = thing.evaluated_get(graph)
                poses[thing.name_full].append(_pose_of(thing.name, evaluated.matrix_world, unit_m))
                lenses[thing.name_full].append(intrinsics_of(lens_of_camera(evaluated.data), frame))
    finally:
        if (scene.frame_current, scene.frame_subframe) != kept[:2]:
            scene.frame_set(kept[0], subframe=kept[1])
        # A marker bound to another camera switches the scene's at frame_set.
        if scene.camera != kept[2]:
            scene.camera = kept[2]
    return Rig(
        cameras=tuple(
            Camera(
                name=rig_name(thing),
                width_px=frame.width_px,
                height_px=frame.height_px,
                K=_one_or_all(lenses[thing.name_full]),
                c2w_cv_m=_one_or_all(poses[thing.name_full]),
                near_m=max(1e-6, thing.data.clip_start * unit_m),
                far_m=max(thing.data.clip_end, thing.data.clip_start * 2.0) * unit_m,
            )
            for thing in cameras
        ),
        anchor=anchor,
        fps=scene_fps(scene),
        source=_text(bpy.path.basename(bpy.data.filepath)) or "unsaved scene",
        source_unit="metre" if abs(unit_m - 1.0) < 1e-9 else f"{unit_m:g} metre",
    )


def _text(path: str) -> str:
    """Return a path as text that can be sent: a file's name may have bytes that are no Unicode."""
    return path.encode("utf-8", "replace").decode("utf-8")


def _pose_of(name: str, matrix_world: Matrix, unit_m: float) -> tuple:
    """Return the 4x4 camera-to-world with OpenCV axes in metres, free of scale."""
    values = [x for row in matrix_world for x in row]
    if not all(math.isfinite(x) for x in values):
        raise SynCamError(
            "camera.pose",
            f"Camera {name!r} has a pose that is not finite (NaN or infinity); "
            "it must be finite numbers.",
            value=str([list(row) for row in matrix_world]),
            fix="Clear the camera's location, rotation and scale",
        )
    if min(column.length for column in matrix_world.to_3x3().col) < 1e-8:
        raise SynCamError(
            "camera.pose",
            f"Camera {name!r} has a scale of 0, so it looks nowhere; its scale must not be 0.",
            value=0,
            nearest=1,
            fix="Set its scale to 1",
        )
    # Scale, mirroring and shear of parents fall away: the viewing direction and up stay.
    rotation = matrix_world.to_3x3()
    back = rotation.col[2].normalized()
    right = rotation.col[1].cross(back).normalized()
    square = Matrix((right, back.cross(right), back)).transposed().to_4x4()
    c2w = Matrix.Translation(matrix_world.translation) @ square @ CV_FROM_BLENDER
    return tuple(
        tuple(x * unit_m if column == 3 and row < 3 else x for column, x in enumerate(line))
        for row, line in enumerate(c2w)
    )


def _one_or_all(matrices: list) -> tuple:
    first = matrices[0]
    still = all(
        abs(a - b) < 1e-7
        for other in matrices[1:]
        for row_a, row_b in zip(first, other, strict=True)
        for a, b in zip(row_a, row_b, strict=True)
    )
    return first if still else tuple(matrices)
