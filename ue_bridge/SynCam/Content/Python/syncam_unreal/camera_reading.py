# SPDX-License-Identifier: Apache-2.0
"""One camera component of the editor's world, read into plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import unreal

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix4

from . import compat, conventions, lens

DEFAULT_WORLD_TO_METERS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReading:
    """A camera at one instant. `path` is stable inside the level; `label` is what people see."""

    path: str
    label: str
    c2w_cv_m: Matrix4
    lens: lens.Lens
    near_m: float


def world_to_meters() -> float:
    """Return how many world units are one metre in the editor's world."""
    world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
    settings = world.get_world_settings() if world is not None else None
    value = settings.get_editor_property("world_to_meters") if settings is not None else 0.0
    return value if value > 0.0 else DEFAULT_WORLD_TO_METERS


def cameras_of(actor: unreal.Actor) -> list[unreal.CameraComponent]:
    """Return the camera components of an actor: one for a camera actor, any number for a rig."""
    return list(actor.get_components_by_class(unreal.CameraComponent))


def label_of(component: unreal.CameraComponent) -> str:
    """Return the actor's label; with the component's name when the actor has several cameras."""
    actor = component.get_owner()
    if actor is None:
        return component.get_name()
    label = actor.get_actor_label()
    return label if len(cameras_of(actor)) == 1 else f"{label}.{component.get_name()}"


def read_camera(component: unreal.CameraComponent, units_per_m: float) -> CameraReading:
    """Read a camera's world transform and lens. Raises SynCamError "camera.*" naming the camera."""
    if not compat.is_alive(component):
        raise SynCamError(
            "unreal.camera_gone",
            "A camera was deleted, or its level was closed, while it was read.",
            fix="Refresh the cameras",
        )
    label = label_of(component)
    if component.projection_mode != unreal.CameraProjectionMode.PERSPECTIVE:
        raise SynCamError(
            "camera.orthographic",
            f"Camera {label!r} is orthographic; the model knows perspective cameras only.",
            value="orthographic",
            nearest="perspective",
            fix="Set its Projection Mode to Perspective",
        )
    seen = read_lens(component)
    lens.check_lens(label, seen)
    return CameraReading(
        path=component.get_path_name(),
        label=label,
        c2w_cv_m=pose_of(component, units_per_m),
        lens=seen,
        near_m=_near_m(component, units_per_m),
    )


def pose_of(component: unreal.CameraComponent, units_per_m: float) -> Matrix4:
    """Return the `c2w_cv_m` of a camera where it stands now."""
    placed = component.get_world_transform()
    at, turned = placed.translation, placed.rotation
    return conventions.camera_to_world_cv_m(
        (at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w), units_per_m
    )


def read_lens(component: unreal.CameraComponent) -> lens.Lens:
    """Return the lens of a cine camera, or of a plain camera from its angle and aspect."""
    keep = _kept_axis(component)
    if not isinstance(component, unreal.CineCameraComponent):
        return lens.lens_of_field_of_view(
            component.field_of_view, component.aspect_ratio, component.constrain_aspect_ratio, keep
        )
    film = component.filmback
    return lens.Lens(
        sensor_width_mm=film.sensor_width,
        sensor_height_mm=film.sensor_height,
        # The offsets came to Python with some 5.x; before, there are none to read.
        offset_x_mm=getattr(film, "sensor_horizontal_offset", 0.0),
        offset_y_mm=getattr(film, "sensor_vertical_offset", 0.0),
        focal_length_mm=component.current_focal_length,
        squeeze=component.lens_settings.squeeze_factor or 1.0,
        crop_aspect=component.crop_settings.aspect_ratio,
        constrain_aspect=component.constrain_aspect_ratio,
        keep=keep,
    )


def _kept_axis(component: unreal.CameraComponent) -> str:
    # Without an override the viewport's own rule holds; the engine's default keeps the X angle.
    if not getattr(component, "override_aspect_ratio_axis_constraint", False):
        return "x"
    constraint = component.aspect_ratio_axis_constraint
    names = unreal.AspectRatioAxisConstraint
    if constraint == names.ASPECT_RATIO_MAINTAIN_YFOV:
        return "y"
    return "major" if constraint == names.ASPECT_RATIO_MAJOR_AXIS_FOV else "x"


def _near_m(component: unreal.CameraComponent, units_per_m: float) -> float:
    cine = isinstance(component, unreal.CineCameraComponent)
    if cine and component.override_custom_near_clipping_plane:
        return max(component.custom_near_clipping_plane / units_per_m, 1e-4)
    return 0.1


def names_of(components: list[unreal.CameraComponent]) -> list[str]:
    """Return what a rig of these components calls its cameras."""
    return unique_names([(label_of(c), c.get_path_name()) for c in components])


def unique_names(labelled: list[tuple[str, str]]) -> list[str]:
    """Return a name for each (label, path): the label, and the object's name where two share it."""
    counts: dict[str, int] = {}
    for label, _path in labelled:
        counts[label] = counts.get(label, 0) + 1
    names = [
        label if counts[label] == 1 else f"{label} [{_object_of(path)}]" for label, path in labelled
    ]
    # Two levels may hold objects of one name; only then is the whole path said.
    return [
        name if names.count(name) == 1 else f"{label} [{path}]"
        for name, (label, path) in zip(names, labelled, strict=True)
    ]


def anchor_index(names: list[str], anchor: str) -> int:
    """Return which camera is the anchor; "" is the first. Raises SynCamError ("rig.anchor")."""
    if not anchor:
        return 0
    if anchor not in names:
        raise SynCamError(
            "rig.anchor",
            f"The anchor camera {anchor!r} is none of the rig's: {', '.join(names)}.",
            value=anchor,
            nearest=names[0],
            fix="Empty the anchor camera",
        )
    return names.index(anchor)


def _object_of(path: str) -> str:
    parts = path.rsplit(":", 1)[-1].split(".")
    return parts[-2] if len(parts) > 1 else parts[-1]


def make_camera(
    name: str, readings: list[CameraReading], size_px: tuple[int, int] | None = None
) -> Camera:
    """Return the rig's camera of readings at one or more instants, static where nothing changed.

    `size_px` is the picture's size for cameras that do not constrain their aspect.
    """
    first = readings[0]
    if first.lens.constrain_aspect or size_px is None:
        width, height = lens.picture_size_px(lens.aspect_of(first.lens))
    else:
        width, height = size_px
    K = [lens.intrinsics_of(reading.lens, width, height) for reading in readings]
    poses = [reading.c2w_cv_m for reading in readings]
    return Camera(
        name=name,
        width_px=width,
        height_px=height,
        K=K[0] if all(k == K[0] for k in K) else tuple(K),
        c2w_cv_m=poses[0] if all(pose == poses[0] for pose in poses) else tuple(poses),
        near_m=first.near_m,
    )
