# SPDX-License-Identifier: Apache-2.0
"""The subsystems and libraries that find, spawn and ask about what is in the level."""

from __future__ import annotations

from typing import Any

from .generator import BEHAVIOURS as B
from .objects import require_alive
from .world import editor_of, root_of, set_world_transform, types_of


def _subsystem(module: Any, kind: type) -> Any:
    editor = module._editor
    if kind not in editor.subsystems:
        editor.subsystems[kind] = kind()
    return editor.subsystems[kind]


@B.function("get_editor_subsystem")
def _get_editor_subsystem(module, subsystem):
    return _subsystem(module, subsystem)


@B.function("get_engine_subsystem")
def _get_engine_subsystem(module, subsystem):
    return _subsystem(module, subsystem)


@B.method("EditorActorSubsystem", "get_all_level_actors")
def _get_all_level_actors(self):
    return list(editor_of(self).actors)


@B.method("EditorActorSubsystem", "get_selected_level_actors")
def _get_selected_level_actors(self):
    return list(editor_of(self).selected)


@B.method("EditorActorSubsystem", "set_selected_level_actors")
def _set_selected_level_actors(self, actors_to_select):
    editor_of(self).selected = list(actors_to_select)


@B.method("EditorActorSubsystem", "spawn_actor_from_class")
def _spawn_actor_from_class(self, actor_class, location, rotation, transient):
    editor = editor_of(self)
    if editor.pie:
        return None
    actor = actor_class()
    actor._transient = transient
    kept = types_of(self)["Vector"](1.0, 1.0, 1.0)
    set_world_transform(root_of(actor), types_of(self)["Transform"](location, rotation, kept))
    editor.add_actor(actor)
    editor.selected = [actor]
    return actor


@B.method("EditorActorSubsystem", "spawn_actor_from_object")
def _spawn_actor_from_object(self, object_to_use, location, rotation, transient):
    kinds = {"SkeletalMesh": "SkeletalMeshActor", "StaticMesh": "StaticMeshActor"}
    kind = kinds.get(type(object_to_use).__name__)
    if kind is None:
        return None
    actor = _spawn_actor_from_class(self, types_of(self)[kind], location, rotation, transient)
    if kind == "SkeletalMeshActor":
        actor._root._values["skeletal_mesh_asset"] = object_to_use
    else:
        actor._root._values["static_mesh"] = object_to_use
    return actor


@B.method("EditorActorSubsystem", "destroy_actor")
def _subsystem_destroy_actor(self, actor_to_destroy):
    require_alive(actor_to_destroy)
    return editor_of(self).remove_actor(actor_to_destroy)


@B.method("EditorActorSubsystem", "destroy_actors")
def _subsystem_destroy_actors(self, actors_to_destroy):
    return all([editor_of(self).remove_actor(actor) for actor in actors_to_destroy])


@B.method("UnrealEditorSubsystem", "get_editor_world")
def _get_editor_world(self):
    return editor_of(self).world


@B.method("UnrealEditorSubsystem", "get_level_viewport_camera_info")
def _get_level_viewport_camera_info(self):
    types = types_of(self)
    return types["Vector"](0.0, 0.0, 100.0), types["Rotator"]()


@B.method("World", "get_world_settings")
def _get_world_settings(self):
    return editor_of(self).world_settings


@B.getter("WorldSettings", "world_partition")
def _world_partition(self):
    if not self.__dict__.get("_partitioned"):
        return None
    return type(self)._gen.type_named("WorldPartition")(self, "WorldPartition")


@B.method("WorldPartitionBlueprintLibrary", "get_actor_descs")
def _get_actor_descs(cls):
    editor = editor_of(cls)
    if not editor.world_settings.__dict__.get("_partitioned"):
        return None
    kind = types_of(cls)["ActorDesc"]
    made = []
    unloaded = types_of(cls)["CineCameraActor"]
    for name, label, python_type in [(a._name, a._label, type(a)) for a in editor.actors] + [
        (f"unloaded_{label}", label, unloaded) for label in editor.unloaded_actors
    ]:
        desc = kind()
        as_name = cls._gen.types["Name"]
        desc._values.update(name=as_name(name), label=as_name(label), native_class=python_type)
        made.append(desc)
    return made


@B.method("LevelEditorSubsystem", "is_in_play_in_editor")
def _is_in_play_in_editor(self):
    return editor_of(self).pie


@B.method("LevelEditorSubsystem", "editor_invalidate_viewports")
def _editor_invalidate_viewports(self):
    editor_of(self).commands.append("invalidate_viewports")


@B.method("LevelEditorSubsystem", "editor_set_viewport_realtime")
def _editor_set_viewport_realtime(self, realtime, viewport_config_key):
    editor_of(self).commands.append(f"realtime {realtime}")


@B.method("LevelEditorSubsystem", "load_level")
def _load_level(self, asset_path):
    editor = editor_of(self)
    if asset_path not in editor.saved:
        return False
    editor.open_level(asset_path)
    self.on_map_changed.broadcast(0)
    return True


@B.method("LevelEditorSubsystem", "save_current_level")
def _save_current_level(self):
    return not editor_of(self).read_only_content


@B.method("SystemLibrary", "get_engine_version")
def _get_engine_version(cls):
    return f"{editor_of(cls).version}.1-38445602+++UE5+Release-{editor_of(cls).version}"


@B.method("SystemLibrary", "get_command_line")
def _get_command_line(cls):
    return " ".join(editor_of(cls).commands)


@B.method("SystemLibrary", "quit_editor")
def _quit_editor(cls):
    editor_of(cls).quit_requested = True


@B.method("SystemLibrary", "is_valid")
def _is_valid(cls, object):
    return object is not None and not object.__dict__.get("_destroyed")


@B.method("Paths", "project_content_dir")
def _project_content_dir(cls):
    return str(editor_of(cls).project_dir / "Content") + "/"


@B.method("Paths", "project_saved_dir")
def _project_saved_dir(cls):
    return str(editor_of(cls).project_dir / "Saved") + "/"


@B.method("Paths", "convert_relative_path_to_full")
def _convert_relative_path_to_full(cls, path, base_path):
    return path


@B.method("Paths", "get_project_file_path")
def _get_project_file_path(cls):
    return str(editor_of(cls).project_dir / "Stage.uproject")
