# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewport renders of a rig's cameras, one picture at a time so that no window freezes. Uses bpy.

The pictures are what the model is told: each fitted camera's own `K` and pose, at the model's size.
They are made on a copy of the scene without its plates, so nothing of the scene changes. With a
window they are drawn as the 3-D viewport shades them; without one, by Workbench.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import gpu
import numpy as np
from mathutils import Matrix

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.rig import Rig

from . import cameras, compat, thumbs
from .cameras import CV_FROM_BLENDER
from .lens import Frame, lens_of

if TYPE_CHECKING:
    from .session import Session

STAGE = "SynCam viewport renders"


def render_views(
    scene: bpy.types.Scene, rig: Rig, frames: list[int]
) -> Iterator[list[list[bytes]] | int]:
    """Yield how many pictures are made, after each; last the pictures: one list a camera.

    Each picture is 8-bit sRGB, rows from the top, at the size of the rig's cameras. Raises
    SynCamError when the scene went away meanwhile.
    """
    pictures: list[list[bytes]] = [[] for _ in rig.cameras]
    name, unit_m = scene.name, scene.unit_settings.scale_length
    # One that an undo or a saved file brought back shows the scene as it was then.
    strike()
    with tempfile.TemporaryDirectory(prefix="syncam-views-") as folder:
        try:
            made = 0
            for k, frame in enumerate(frames):
                for row, camera in enumerate(rig.cameras):
                    # By name at each step: an undo in between replaces every datablock.
                    stage = _stage_of(name)
                    if stage.frame_current != frame or row == 0:
                        stage.frame_set(frame)
                    picture = _draw(stage, camera, k, unit_m, Path(folder))
                    pictures[row].append(picture)
                    made += 1
                    yield made
        finally:
            strike()
    yield pictures


def listed_cameras(scene: bpy.types.Scene) -> list[str]:
    return [cameras.rig_name(item.camera) for item in scene.syncam.rig if item.camera]


def begin_missing_thumbnails(state: Session, scene: bpy.types.Scene) -> None:
    """Begin to draw the cameras of the list that have no picture yet, while the list is looked at.

    Each is tried once: the refresh button tries again.
    """
    view = _viewport_or_none()
    if view is None or not thumbs.was_looked_at() or scene.get("syncam_stage"):
        return
    # A rendered viewport would render each camera, which takes seconds and the artist's device.
    if view[0].shading.type == "RENDERED":
        return
    missing = [name for name in listed_cameras(scene) if thumbs.first_try(name)]
    if missing:
        state.chore = thumbnails(scene, missing)


def thumbnails(scene: bpy.types.Scene, listed: list[str]) -> Iterator[None]:
    """Draw what each of the listed cameras sees now, a camera a step.

    A camera sees past its own plate.
    """
    scene_name, clear_before = scene.name, scene.syncam.plate_distance
    frame = cameras.picture_frame(scene)
    width = 192
    height = max(32, min(256, round(width * frame.height_px / frame.width_px)))
    for name in listed:
        scene = bpy.data.scenes.get(scene_name)
        thing = cameras.find_camera(scene, name) if scene else None
        if thing is None or thing.data.type != "PERSP":
            continue
        try:
            rig = cameras.read_rig(scene, scene.view_layers[0], [thing])
        except SynCamError:
            # The list already shows what is wrong with this camera.
            continue
        camera = fit_camera(rig.cameras[0], width, height).camera
        view = None if bpy.app.background else _viewport_or_none()
        if view is None:
            return
        unit_m = scene.unit_settings.scale_length
        c2w = Matrix(camera.c2w_cv_m_at(0)) @ CV_FROM_BLENDER
        c2w.translation /= unit_m
        far = camera.far_m / unit_m
        near = min(max(camera.near_m / unit_m, clear_before * 1.01), far * 0.5)
        rgb = _draw_offscreen(scene, camera, camera.K_at(0), c2w, near, far, view)
        rgba8 = np.full((height, width, 4), 255, np.uint8)
        rgba8[..., :3] = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)[::-1]
        thumbs.set_icon(f"camera:{name}", rgba8)
        yield


def _stage_of(scene_name: str) -> bpy.types.Scene:
    """Return the copy of the scene that is drawn, made when it is not there."""
    for scene in bpy.data.scenes:
        if scene.get("syncam_stage") == scene_name:
            return scene
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        raise SynCamError(
            "scene.gone", f"The scene {scene_name!r} was removed while its cameras were rendered."
        )
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


def strike() -> None:
    """Take the copy down, and all that was made for it."""
    for scene in [s for s in bpy.data.scenes if s.get("syncam_stage")]:
        bpy.data.scenes.remove(scene)
    for thing in [o for o in bpy.data.objects if o.get("syncam_stage")]:
        data = thing.data
        bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(data)


def _draw(stage: bpy.types.Scene, camera: Camera, k: int, unit_m: float, folder: Path) -> bytes:
    K = camera.K_at(min(k, camera.frame_count - 1))
    c2w = Matrix(camera.c2w_cv_m_at(min(k, camera.frame_count - 1))) @ CV_FROM_BLENDER
    c2w.translation /= unit_m
    near, far = camera.near_m / unit_m, camera.far_m / unit_m
    view = None if bpy.app.background else _viewport_or_none()
    if view is not None:
        return _draw_offscreen(stage, camera, K, c2w, near, far, view)
    return _draw_workbench(stage, camera, K, c2w, near, far, folder)


def _viewport_or_none() -> tuple | None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                region = next(r for r in area.regions if r.type == "WINDOW")
                return area.spaces.active, region
    return None


def _draw_offscreen(stage, camera: Camera, K, c2w: Matrix, near, far, view) -> bytes:
    space, region = view
    width, height = camera.width_px, camera.height_px
    projection = Matrix(
        (
            (2 * K[0][0] / width, 0, 1 - 2 * K[0][2] / width, 0),
            (0, 2 * K[1][1] / height, 2 * K[1][2] / height - 1, 0),
            (0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)),
            (0, 0, -1, 0),
        )
    )
    shown = space.overlay.show_overlays
    offscreen = gpu.types.GPUOffScreen(width, height)
    try:
        space.overlay.show_overlays = False
        with offscreen.bind():
            offscreen.draw_view3d(
                stage,
                stage.view_layers[0],
                space,
                region,
                c2w.inverted(),
                projection,
                do_color_management=True,
                draw_background=True,
            )
            buffer = gpu.state.active_framebuffer_get().read_color(
                0, 0, width, height, 4, 0, "UBYTE"
            )
    finally:
        space.overlay.show_overlays = shown
        offscreen.free()
    buffer.dimensions = width * height * 4
    rgba = np.array(buffer, np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(rgba[::-1, :, :3]).tobytes()


def _draw_workbench(stage, camera: Camera, K, c2w: Matrix, near, far, folder: Path) -> bytes:
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
