# SPDX-License-Identifier: Apache-2.0
"""The cameras of the level: selected, all, or those with a tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import unreal

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

from . import camera_reading

CAMERA_CLASSES = ("CameraActor", "CineCameraActor")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelScope:
    """Which cameras of the level make the rig."""

    which: Literal["selected", "all", "tag"] = "selected"
    tag: str = "SynCam"


def find_cameras(scope: LevelScope) -> list[unreal.CameraComponent]:
    """Return the camera components in scope, ordered by label, then path.

    Raises SynCamError ("rig.no_cameras", "unreal.world_partition").
    """
    actors = unreal.get_editor_subsystem(unreal.EditorActorSubsystem)
    if scope.which == "selected":
        chosen = list(actors.get_selected_level_actors())
    else:
        chosen = list(actors.get_all_level_actors())
        check_world_partition(chosen)
        if scope.which == "tag":
            chosen = [actor for actor in chosen if actor.actor_has_tag(scope.tag)]
    found = [component for actor in chosen for component in camera_reading.cameras_of(actor)]
    if not found:
        said = {
            "selected": "None of the selected actors has a camera.",
            "all": "The level has no camera.",
            "tag": f"No actor with the tag {scope.tag!r} has a camera.",
        }
        fix = {
            "selected": "Select the cameras in the Outliner",
            "all": "Place Cine Camera Actors in the level",
            "tag": f"Add the tag {scope.tag!r} to the cameras",
        }
        raise SynCamError(
            "rig.no_cameras", said[scope.which], value=0, nearest=1, fix=fix[scope.which]
        )
    return sorted(found, key=lambda c: (camera_reading.label_of(c), c.get_path_name()))


def check_world_partition(loaded: list[unreal.Actor]) -> None:
    """Raise SynCamError where a World Partition level holds cameras that are not loaded."""
    world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
    settings = world.get_world_settings() if world is not None else None
    if settings is None or settings.get_editor_property("world_partition") is None:
        return
    if not hasattr(unreal, "WorldPartitionBlueprintLibrary"):
        return  # Nothing can be asked of what is unloaded; the panel shows which cameras it read.
    described = unreal.WorldPartitionBlueprintLibrary.get_actor_descs() or []
    here = {actor.get_name() for actor in loaded}
    missing = sorted(
        str(desc.label)
        for desc in described
        if desc.native_class is not None
        and desc.native_class.get_name() in CAMERA_CLASSES
        and str(desc.name) not in here
    )
    if missing:
        raise SynCamError(
            "unreal.world_partition",
            f"{len(missing)} camera(s) of this World Partition level are not loaded: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}.",
            value=missing,
            fix="Load their region in the World Partition window, or select the cameras you want",
        )


def read_level_rig(
    scope: LevelScope, *, anchor: str = "", size_px: tuple[int, int] | None = None
) -> Rig:
    """Return the rig of the level's cameras as they stand. `anchor` is a camera's name or ""."""
    units_per_m = camera_reading.world_to_meters()
    readings = [camera_reading.read_camera(c, units_per_m) for c in find_cameras(scope)]
    names = camera_reading.unique_names([(r.label, r.path) for r in readings])
    cameras = [
        camera_reading.make_camera(name, [reading], size_px)
        for name, reading in zip(names, readings, strict=True)
    ]
    return Rig(
        cameras=tuple(cameras),
        anchor=camera_reading.anchor_index(names, anchor),
        source=level_name(),
        source_unit=unit_text(units_per_m),
    )


def level_name() -> str:
    """Return the path of the editor's level, such as /Game/Maps/Stage."""
    world = unreal.get_editor_subsystem(unreal.UnrealEditorSubsystem).get_editor_world()
    return world.get_path_name().split(".")[0] if world is not None else ""


def unit_text(units_per_m: float) -> str:
    """Return what a person calls the scene's unit."""
    return "centimetre" if units_per_m == 100.0 else f"1/{units_per_m:g} metre"
