# SPDX-License-Identifier: Apache-2.0
"""Actors put into the level and taken out again; the user's selection stays what it was."""

from __future__ import annotations

import unreal

from syncam_engine.link.errors import SynCamError

from . import compat

PLATE_TAG = "SynCam:"
"""What the tag of every plane begins with."""


def subsystem() -> unreal.EditorActorSubsystem:
    return unreal.get_editor_subsystem(unreal.EditorActorSubsystem)


def spawn(
    kind: type,
    location: unreal.Vector,
    rotation: unreal.Rotator | None = None,
    *,
    said: str,
    transient: bool = False,
) -> unreal.Actor:
    """Return a new actor of the level; a transient one is never saved.

    Raises SynCamError ("unreal.spawn") that names it as `said`.
    """
    editor = subsystem()
    selected = editor.get_selected_level_actors()
    actor = editor.spawn_actor_from_class(kind, location, rotation or unreal.Rotator(), transient)
    if actor is None:
        raise SynCamError("unreal.spawn", f"The editor did not place {said} in the level.")
    editor.set_selected_level_actors(selected)  # Spawning takes the selection.
    return actor


def remove(actor: unreal.Actor) -> None:
    """Take an actor out of the level; one that went with its level is no error."""
    if compat.is_alive(actor):
        subsystem().destroy_actor(actor)


def plates() -> list[unreal.Actor]:
    """Return every plane of SynCam's in the level."""
    return [
        actor
        for actor in subsystem().get_all_level_actors()
        if any(str(tag).startswith(PLATE_TAG) for tag in actor.tags)
    ]
