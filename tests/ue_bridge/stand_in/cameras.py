# SPDX-License-Identifier: Apache-2.0
"""Cine cameras: what the engine derives from filmback, crop, squeeze and focal length."""

from __future__ import annotations

import math
from typing import Any

from .generator import BEHAVIOURS as B
from .world import types_of, world_transform


@B.initialiser("CameraComponent")
def _camera_init(self):
    types = types_of(self)
    self._values.update(
        constrain_aspect_ratio=False,
        projection_mode=types["CameraProjectionMode"].PERSPECTIVE,
        aspect_ratio=16.0 / 9.0,
        aspect_ratio_axis_constraint=types["AspectRatioAxisConstraint"].ASPECT_RATIO_MAINTAIN_XFOV,
    )


@B.initialiser("CineCameraComponent")
def _cine_init(self):
    types = types_of(self)
    self._values.update(
        filmback=types["CameraFilmbackSettings"](sensor_width=23.76, sensor_height=13.365),
        lens_settings=types["CameraLensSettings"](
            min_focal_length=4.0,
            max_focal_length=1000.0,
            min_f_stop=1.2,
            max_f_stop=22.0,
            minimum_focus_distance=15.0,
            squeeze_factor=1.0,
            diaphragm_blade_count=7,
        ),
        focus_settings=types["CameraFocusSettings"](focus_method=types["CameraFocusMethod"].MANUAL),
        current_focal_length=35.0,
        current_aperture=2.8,
        constrain_aspect_ratio=True,
    )


@B.getter("CameraFilmbackSettings", "sensor_aspect_ratio")
def _sensor_aspect_ratio(self):
    return self.sensor_width / self.sensor_height if self.sensor_height else 0.0


@B.setter("CineCameraComponent", "current_focal_length")
def _set_focal_length(self, value):
    lens = self.lens_settings
    self._values["current_focal_length"] = min(
        max(value, lens.min_focal_length), lens.max_focal_length
    )


def cropped_sensor(camera: Any) -> tuple[float, float]:
    """Return the width and height in mm that are used after the plate crop."""
    film, crop = camera.filmback, camera.crop_settings.aspect_ratio
    width, height = film.sensor_width, film.sensor_height
    if crop > 0.0 and height > 0.0:
        aspect = width / height * camera.lens_settings.squeeze_factor
        if crop < aspect:
            width *= crop / aspect
        elif crop > aspect:
            height *= aspect / crop
    return width, height


@B.getter("CineCameraComponent", "aspect_ratio")
def _aspect_ratio(self):
    width, height = cropped_sensor(self)
    return width / height * self.lens_settings.squeeze_factor if height else 0.0


@B.method("CineCameraComponent", "get_horizontal_field_of_view")
def _hfov(self):
    width, _ = cropped_sensor(self)
    squeeze = self.lens_settings.squeeze_factor
    return math.degrees(2 * math.atan(width * squeeze / (2 * self.current_focal_length)))


@B.method("CineCameraComponent", "get_vertical_field_of_view")
def _vfov(self):
    return math.degrees(2 * math.atan(cropped_sensor(self)[1] / (2 * self.current_focal_length)))


@B.method("CineCameraComponent", "get_horizontal_projection_offset")
def _h_offset(self):
    return 2 * self.filmback.sensor_horizontal_offset / cropped_sensor(self)[0]


@B.method("CineCameraComponent", "get_vertical_projection_offset")
def _v_offset(self):
    return 2 * self.filmback.sensor_vertical_offset / cropped_sensor(self)[1]


@B.getter("CineCameraComponent", "field_of_view")
def _field_of_view(self):
    return _hfov(self)


@B.method("CameraComponent", "set_projection_mode")
def _set_projection_mode(self, projection_mode):
    self._values["projection_mode"] = projection_mode


@B.method("CameraComponent", "set_constraint_aspect_ratio")
def _set_constrain(self, constrain_aspect_ratio):
    self._values["constrain_aspect_ratio"] = constrain_aspect_ratio


@B.method("CameraComponent", "get_camera_view")
def _get_camera_view(self, delta_time):
    view = types_of(self)["MinimalViewInfo"]()
    placed = world_transform(self)
    view.location, view.rotation = placed.translation, placed.rotation.rotator()
    view.fov, view.aspect_ratio = self.field_of_view, self.aspect_ratio
    view._offsets = (0.0, 0.0)
    if hasattr(type(self), "get_horizontal_projection_offset"):
        view._offsets = (_h_offset(self), _v_offset(self))
    return view


@B.method("MinimalViewInfo", "calculate_projection_matrix")
def _projection_matrix(self):
    types = types_of(self)
    scale = 1.0 / math.tan(math.radians(self.fov) / 2)
    plane = types["Plane"]
    off_x, off_y = self.__dict__.get("_offsets", (0.0, 0.0))
    return types["Matrix"](
        plane(scale, 0.0, 0.0, 0.0),
        plane(0.0, scale * self.aspect_ratio, 0.0, 0.0),
        plane(-off_x, -off_y, 0.0, 1.0),
        plane(0.0, 0.0, 10.0, 0.0),
    )
