# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a scene that viewport renders are made of, without its plates. Uses bpy.

Nothing of the scene itself changes. A window draws the copy as its 3-D viewport is shaded
(`viewport.py`); a child process renders it with Workbench.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

from . import compat
from .cameras import CV_FROM_BLENDER
from .lens import Frame, lens_of

STAGE = "SynCam viewport renders"


def render_workbench(scene_name: str, rig: Rig, frames: list[int]) -> Iterator[bytes]:
    """Yield each frame's pictures, camera by camera: 8-bit sRGB, rows from the top.

    Raises SynCamError when the scene is not there.
    """
    stage = stage_of(scene_name)
    unit_m = stage.unit_settings.scale_length
    with tempfile.TemporaryDirectory(prefix="syncam-views-") as folder:
        for k, frame in enumerate(frames):
            stage.frame_set(frame)
            for camera in rig.cameras:
                yield _render(stage, camera, k, unit_m, Path(folder))
    strike()


def pose_of(camera: Camera, k: int, unit_m: float) -> tuple[Matrix, float, float]:
    """Return camera-to-world in Blender's axes and units at picture `k`, and near and far."""
    c2w = Matrix(camera.c2w_cv_m_at(min(k, camera.frame_count - 1))) @ CV_FROM_BLENDER
    c2w.translation /= unit_m
    return c2w, camera.near_m / unit_m, camera.far_m / unit_m


def stage_of(scene_name: str) -> bpy.types.Scene:
    """Return the copy of the scene that is drawn, made when it is not there."""
    for scene in bpy.data.scenes:
        if scene.get("syncam_stage") == scene_name:
            return scene
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        raise scene_gone(scene_name)
    stage = scene.copy()
    stage.name = STAGE
    stage["syncam_stage"] = scene_name
    # Bound cameras would take the place of ours at every frame.
    stage.timeline_markers.clear()
    for layer in stage.view_layers:
        for child in layer.layer_collection.children:
            if child.collection.get("syncam"):
                child.exclude = True
    stage.view_settings.view_transform = "Standard"
    stage.view_settings.look = "None"
    # Workbench's studio light gives back about 0.6 of a surface's colour.
    stage.view_settings.exposure, stage.view_settings.gamma = 0.7, 1.0
    stage.render.engine = "BLENDER_WORKBENCH"
    stage.render.resolution_percentage = 100
    stage.render.pixel_aspect_x = stage.render.pixel_aspect_y = 1.0
    stage.render.use_compositing = stage.render.use_sequencer = False
    stage.render.use_border = stage.render.use_multiview = False
    stage.render.film_transparent = False
    stage.render.use_file_extension = True
    compat.set_tga_output(stage.render)
    shading = stage.display.shading
    shading.light, shading.color_type = "STUDIO", "MATERIAL"
    # Shadows cost ten times the rest of the picture.
    shading.show_shadows = False
    shading.background_type = "WORLD"
    stage.display.render_aa = "5"
    data = bpy.data.cameras.new(STAGE)
    eye = bpy.data.objects.new(STAGE, data)
    eye["syncam_stage"] = scene_name
    stage.collection.objects.link(eye)
    stage.camera = eye
    return stage


def scene_gone(name: str) -> SynCamError:
    return SynCamError(
        "scene.gone", f"The scene {name!r} was removed while its cameras were rendered."
    )


def strike() -> None:
    """Take the copy down, and all that was made for it."""
    for scene in [s for s in bpy.data.scenes if s.get("syncam_stage")]:
        bpy.data.scenes.remove(scene)
    for thing in [o for o in bpy.data.objects if o.get("syncam_stage")]:
        data = thing.data
        bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(data)


def _render(stage: bpy.types.Scene, camera: Camera, k: int, unit_m: float, folder: Path) -> bytes:
    K = camera.K_at(min(k, camera.frame_count - 1))
    c2w, near, far = pose_of(camera, k, unit_m)
    lens = lens_of(K, Frame(width_px=camera.width_px, height_px=camera.height_px))
    eye = stage.camera
    eye.matrix_world = c2w
    eye.data.lens, eye.data.sensor_width = lens.focal_mm, lens.sensor_width_mm
    eye.data.sensor_fit = lens.sensor_fit
    eye.data.shift_x, eye.data.shift_y = lens.shift_x, lens.shift_y
    eye.data.clip_start, eye.data.clip_end = near, far
    render = stage.render
    render.resolution_x, render.resolution_y = camera.width_px, camera.height_px
    # Without square pixels the picture is stretched as the camera's own is.
    aspect = K[0][0] / K[1][1]
    render.pixel_aspect_x, render.pixel_aspect_y = max(1.0, aspect), max(1.0, 1.0 / aspect)
    render.filepath = str(folder / "picture.tga")
    bpy.ops.render.render(write_still=True, scene=stage.name)
    return read_tga(Path(render.filepath).read_bytes(), camera.width_px, camera.height_px)


def read_tga(data: bytes, width: int, height: int) -> bytes:
    """Return an uncompressed 24-bit TGA's pixels as RGB rows from the top."""
    start = 18 + data[0]
    pixels = np.frombuffer(data, np.uint8, width * height * 3, start).reshape(height, width, 3)
    from_top = bool(data[17] & 0x20)
    rows = pixels if from_top else pixels[::-1]
    return np.ascontiguousarray(rows[..., ::-1]).tobytes()
