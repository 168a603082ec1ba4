# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewport renders of a rig's cameras, one picture at a time so that no window freezes. Uses bpy.

The pictures are what the model is told: each fitted camera's own `K` and pose, at the model's size.
They are drawn as a 3-D viewport of the window shades them; where there is none, a child process
renders them with Workbench (`child_render.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import bpy
import gpu
import numpy as np
from mathutils import Matrix

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.rig import Rig

from . import cameras, child_render, thumbs
from .stage import pose_of, scene_gone, stage_of, strike

if TYPE_CHECKING:
    from .session import Session


def render_views(
    scene: bpy.types.Scene, rig: Rig, frames: list[int]
) -> Iterator[list[list[bytes]] | int]:
    """Yield how many pictures are made, at each step; last the pictures: one list a camera.

    Each picture is 8-bit sRGB, rows from the top, at the size of the rig's cameras. Raises
    SynCamError when the scene went away meanwhile, or the child process fails.
    """
    name = scene.name
    pictures = yield from _draw_views(name, scene.unit_settings.scale_length, rig, frames)
    if pictures is None:
        scene = bpy.data.scenes.get(name)
        if scene is None:
            raise scene_gone(name)
        yield from child_render.render_views(scene, rig, frames)
    else:
        yield pictures


def _draw_views(name: str, unit_m: float, rig: Rig, frames: list[int]) -> Iterator[int]:
    """Draw the pictures in a window, one a step, and return them: None without a 3-D viewport."""
    pictures: list[list[bytes]] = [[] for _ in rig.cameras]
    # One that an undo or a saved file brought back shows the scene as it was then.
    strike()
    try:
        made = 0
        for k, frame in enumerate(frames):
            for row, camera in enumerate(rig.cameras):
                # Looked for at each step: the artist may close the viewport meanwhile.
                view = viewport_or_none()
                if view is None:
                    return None
                # By name at each step: an undo in between replaces every datablock.
                stage = stage_of(name)
                if stage.frame_current != frame or row == 0:
                    stage.frame_set(frame)
                K = camera.K_at(min(k, camera.frame_count - 1))
                pose = pose_of(camera, k, unit_m)
                pictures[row].append(_draw_offscreen(stage, camera, K, *pose, view))
                made += 1
                yield made
    finally:
        strike()
    return pictures


def listed_cameras(scene: bpy.types.Scene) -> list[str]:
    return [cameras.rig_name(item.camera) for item in scene.syncam.rig if item.camera]


def begin_missing_thumbnails(state: Session, scene: bpy.types.Scene) -> None:
    """Begin to draw the cameras of the list that have no picture yet, while the list is looked at.

    Each is tried once: the refresh button tries again.
    """
    view = viewport_or_none()
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
        view = viewport_or_none()
        if view is None:
            return
        unit_m = scene.unit_settings.scale_length
        c2w, near, far = pose_of(camera, 0, unit_m)
        near = min(max(near, clear_before * 1.01), far * 0.5)
        rgb = _draw_offscreen(scene, camera, camera.K_at(0), c2w, near, far, view)
        rgba8 = np.full((height, width, 4), 255, np.uint8)
        rgba8[..., :3] = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)[::-1]
        thumbs.set_icon(f"camera:{name}", rgba8)
        yield


def viewport_or_none() -> tuple | None:
    """Return (space, region) of an open 3-D viewport; a Blender without windows has none."""
    if bpy.app.background:
        return None
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
