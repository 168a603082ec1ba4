# SPDX-License-Identifier: Apache-2.0
"""The bridge's tests run on a stand-in `unreal` module; each test gets a fresh editor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BRIDGE = ROOT / "ue_bridge/SynCam/Content/Python"
for folder in (HERE, BRIDGE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import stand_in  # noqa: E402


@pytest.fixture(params=["5.5"])
def unreal(request, tmp_path):
    """A fresh stand-in, installed as `unreal`; parametrise indirectly for other versions."""
    module = stand_in.make_unreal(request.param, tmp_path / "Project")
    (tmp_path / "Project" / "Content").mkdir(parents=True)
    (tmp_path / "Project" / "Saved").mkdir()
    stand_in.install(module)
    yield module
    for name in [n for n in sys.modules if n == "unreal" or n.startswith("syncam_unreal")]:
        del sys.modules[name]


@pytest.fixture
def editor(unreal):
    return unreal._editor


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
