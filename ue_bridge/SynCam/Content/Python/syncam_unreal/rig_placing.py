# SPDX-License-Identifier: Apache-2.0
"""Cameras of a rig file into the level, as Cine Camera Actors that read back as the same rig."""

from __future__ import annotations

from pathlib import Path

import unreal

from syncam_engine.link import rig_json
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError

from . import actors, camera_reading, conventions, lens, preconditions
from .undo import Undo

SENSOR_WIDTH_MM = 23.76


def place_rig_file(path: Path) -> list[unreal.CineCameraActor]:
    """Add the rig's cameras to the level and select them; a moving camera stands as at frame 0.

    Raises SynCamError and leaves nothing behind where one cannot be placed.
    """
    preconditions.check_not_playing()
    rig = rig_json.read_rig(path)
    units = camera_reading.world_to_meters()
    undo = Undo()
    placed = []
    try:
        with unreal.ScopedEditorTransaction("SynCam: cameras of a rig file"):
            for camera in rig.cameras:
                placed.append(_place(undo, camera, units))
    except BaseException:
        undo.undo()
        raise
    actors.subsystem().set_selected_level_actors(placed)
    return placed


def _place(undo: Undo, camera: Camera, units: float) -> unreal.CineCameraActor:
    location, (roll, pitch, yaw) = conventions.unreal_placement(camera.c2w_cv_m_at(0), units)
    actor = actors.spawn(
        unreal.CineCameraActor,
        unreal.Vector(*location),
        unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw),
        said=f"camera {camera.name!r}",
    )
    undo.on_undo(lambda: actors.remove(actor))
    actor.set_actor_label(camera.name)
    actor.set_folder_path("SynCam/Rig")
    set_lens(actor.get_cine_camera_component(), lens_of_camera(camera))
    return actor


def lens_of_camera(camera: Camera) -> lens.Lens:
    """Return the lens that gives this camera's `K`, on a sensor of SENSOR_WIDTH_MM.

    Raises SynCamError ("camera.skew") for a `K` that no Unreal lens has.
    """
    K = camera.K_at(0)
    if abs(K[0][1]) > 1e-6:
        raise SynCamError(
            "camera.skew",
            f"Camera {camera.name!r} has a skew of {K[0][1]:g} px; Unreal's lenses have none.",
            value=K[0][1],
            nearest=0.0,
        )
    focal_mm = K[0][0] * SENSOR_WIDTH_MM / camera.width_px
    height_mm = focal_mm * camera.height_px / K[1][1]
    return lens.Lens(
        sensor_width_mm=SENSOR_WIDTH_MM,
        sensor_height_mm=height_mm,
        focal_length_mm=focal_mm,
        offset_x_mm=(camera.width_px / 2.0 - K[0][2]) * SENSOR_WIDTH_MM / camera.width_px,
        offset_y_mm=(K[1][2] - camera.height_px / 2.0) * height_mm / camera.height_px,
    )


def set_lens(component: unreal.CineCameraComponent, wanted: lens.Lens) -> None:
    """Set filmback and focal length; squeeze 1, no crop, focus off, aspect constrained."""
    film = component.filmback
    film.sensor_width, film.sensor_height = wanted.sensor_width_mm, wanted.sensor_height_mm
    if hasattr(film, "sensor_horizontal_offset"):
        film.sensor_horizontal_offset = wanted.offset_x_mm
        film.sensor_vertical_offset = wanted.offset_y_mm
    component.set_editor_property("filmback", film)
    glass = component.lens_settings
    # The engine clamps the focal length into the lens's own range.
    glass.min_focal_length = min(glass.min_focal_length, wanted.focal_length_mm)
    glass.max_focal_length = max(glass.max_focal_length, wanted.focal_length_mm)
    glass.squeeze_factor = 1.0
    component.set_editor_property("lens_settings", glass)
    crop = component.crop_settings
    crop.aspect_ratio = 0.0
    component.set_editor_property("crop_settings", crop)
    focus = component.focus_settings
    focus.focus_method = unreal.CameraFocusMethod.DISABLE
    component.set_editor_property("focus_settings", focus)
    component.set_editor_property("current_focal_length", wanted.focal_length_mm)
    component.set_editor_property("constrain_aspect_ratio", True)
