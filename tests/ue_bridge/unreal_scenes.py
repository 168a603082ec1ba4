# SPDX-License-Identifier: Apache-2.0
"""Cameras and sequences that the bridge's tests put into the stand-in's editor."""

from __future__ import annotations

from pathlib import Path

BRIDGE = Path(__file__).resolve().parents[2] / "ue_bridge/SynCam/Content/Python"


def place_camera(unreal, label, location=(0.0, 0.0, 0.0), rotation=(0.0, 0.0, 0.0), **lens):
    """Put a cine camera into the level; `rotation` is roll, pitch, yaw in degrees.

    `lens`: focal_mm, width_mm, height_mm, offset_x_mm, offset_y_mm, squeeze, crop.
    """
    roll, pitch, yaw = rotation
    actors = unreal.get_editor_subsystem(unreal.EditorActorSubsystem)
    actor = actors.spawn_actor_from_class(
        unreal.CineCameraActor,
        unreal.Vector(*location),
        unreal.Rotator(roll=roll, pitch=pitch, yaw=yaw),
    )
    actor.set_actor_label(label)
    camera = actor.get_cine_camera_component()
    film = camera.filmback
    film.sensor_width = lens.get("width_mm", film.sensor_width)
    film.sensor_height = lens.get("height_mm", film.sensor_height)
    if "offset_x_mm" in lens:
        film.sensor_horizontal_offset = lens["offset_x_mm"]
        film.sensor_vertical_offset = lens["offset_y_mm"]
    camera.set_editor_property("filmback", film)
    glass = camera.lens_settings
    glass.squeeze_factor = lens.get("squeeze", 1.0)
    camera.set_editor_property("lens_settings", glass)
    crop = camera.crop_settings
    crop.aspect_ratio = lens.get("crop", 0.0)
    camera.set_editor_property("crop_settings", crop)
    camera.set_editor_property("current_focal_length", lens.get("focal_mm", 35.0))
    return actor


def place_ball(unreal, label, location, diameter_m=0.4):
    """Put a static mesh into the level; the stand-in's captures draw it as a ball."""
    actors = unreal.get_editor_subsystem(unreal.EditorActorSubsystem)
    actor = actors.spawn_actor_from_class(unreal.StaticMeshActor, unreal.Vector(*location))
    actor.set_actor_label(label)
    actor.set_actor_scale3d(unreal.Vector(diameter_m, diameter_m, diameter_m))
    return actor


def make_sequence(unreal, editor, name="Shot", end=90, rate=30):
    from stand_in.assets import add_asset

    sequence = add_asset(editor, "LevelSequence", f"/Game/Cine/{name}")
    sequence.set_display_rate(unreal.FrameRate(rate, 1))
    sequence.set_playback_start(0)
    sequence.set_playback_end(end)
    return sequence


def move(unreal, binding, start, end, frames):
    """Key a linear move of Location.X and a turn of Rotation.Z."""
    track = binding.add_track(unreal.MovieScene3DTransformTrack)
    section = track.add_section()
    section.set_range(0, 10000)
    channels = {str(c.channel_name): c for c in section.get_all_channels()}
    for name, values in (("Location.X", (start, end)), ("Rotation.Z", (0.0, 90.0))):
        for frame, value in zip((0, frames), values, strict=True):
            channels[name].add_key(unreal.FrameNumber(frame), value)
    return channels
