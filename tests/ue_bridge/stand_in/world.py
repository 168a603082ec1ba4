# SPDX-License-Identifier: Apache-2.0
"""Actors, components, levels and the subsystems that find, spawn and move them."""

from __future__ import annotations

from typing import Any

from . import math_types
from .generator import BEHAVIOURS as B


def editor_of(thing: Any) -> Any:
    kind = thing if isinstance(thing, type) else type(thing)
    return kind._gen.module._editor


def types_of(thing: Any) -> dict:
    kind = thing if isinstance(thing, type) else type(thing)
    return kind._gen.module._types


def add_component(actor: Any, kind: str, parent: Any = None, name: str = "None") -> Any:
    made = types_of(actor)[kind](actor, name)
    made._parent = parent
    actor._components.append(made)
    return made


# Actors --------------------------------------------------------------------------------------


@B.initialiser("Actor")
def _actor_init(self):
    self._components = []
    self._label = self._name
    self._folder = ""
    self._hidden_in_game = False
    self._root = None


def root_of(actor: Any) -> Any:
    if actor._root is None:
        actor._root = add_component(actor, "SceneComponent", name="DefaultSceneRoot")
    return actor._root


@B.initialiser("StaticMeshActor")
def _static_mesh_actor_init(self):
    self._root = add_component(self, "StaticMeshComponent", name="StaticMeshComponent0")
    self._values["static_mesh_component"] = self._root


@B.initialiser("SkeletalMeshActor")
def _skeletal_mesh_actor_init(self):
    self._root = add_component(self, "SkeletalMeshComponent", name="SkeletalMeshComponent0")
    self._values["skeletal_mesh_component"] = self._root


@B.initialiser("CineCameraActor")
def _cine_camera_actor_init(self):
    self._root = add_component(self, "SceneComponent", name="SceneComponent")
    camera = add_component(self, "CineCameraComponent", self._root, "CameraComponent")
    self._values.update(camera_component=camera, scene_component=self._root)


@B.method("CineCameraActor", "get_cine_camera_component")
def _get_cine_camera_component(self):
    return self._values["camera_component"]


@B.getter("Actor", "root_component")
def _root_component(self):
    return root_of(self)


@B.method("Actor", "get_actor_label")
def _get_actor_label(self, create_if_none):
    return self._label


@B.method("Actor", "set_actor_label")
def _set_actor_label(self, new_actor_label, mark_dirty):
    self._label = new_actor_label


@B.method("Actor", "get_components_by_class")
def _get_components_by_class(self, component_class):
    return [c for c in self._components if isinstance(c, component_class)]


@B.method("Actor", "get_component_by_class")
def _get_component_by_class(self, component_class):
    return next((c for c in self._components if isinstance(c, component_class)), None)


@B.method("Actor", "set_folder_path")
def _set_folder_path(self, new_folder_path):
    self._folder = str(new_folder_path)


@B.method("Actor", "set_actor_hidden_in_game")
def _set_actor_hidden_in_game(self, new_hidden):
    self._hidden_in_game = new_hidden


@B.method("Actor", "actor_has_tag")
def _actor_has_tag(self, tag):
    return tag in list(self.tags)


@B.method("Actor", "get_actor_transform")
def _get_actor_transform(self):
    return world_transform(root_of(self))


@B.method("Actor", "get_actor_location")
def _get_actor_location(self):
    return world_transform(root_of(self)).translation


@B.method("Actor", "get_actor_rotation")
def _get_actor_rotation(self):
    return world_transform(root_of(self)).rotation.rotator()


@B.method("Actor", "set_actor_transform")
def _set_actor_transform(self, new_transform, sweep, teleport):
    set_world_transform(root_of(self), new_transform)


@B.method("Actor", "set_actor_scale3d")
def _set_actor_scale3d(self, new_scale3d):
    relative = root_of(self)._relative
    relative.scale3d = new_scale3d


@B.method("Actor", "set_actor_location_and_rotation")
def _set_actor_location_and_rotation(self, new_location, new_rotation, sweep, teleport):
    kept = world_transform(root_of(self)).scale3d
    made = types_of(self)["Transform"](new_location, new_rotation, kept)
    set_world_transform(root_of(self), made)


@B.method("Actor", "attach_to_actor")
def _attach_to_actor(
    self, parent_actor, socket_name, location_rule, rotation_rule, scale_rule, weld_simulated_bodies
):
    root = root_of(self)
    kept = world_transform(root)
    root._parent = root_of(parent_actor)
    if location_rule.name == "KEEP_WORLD":
        set_world_transform(root, kept)
    return True


@B.method("Actor", "set_actor_enable_collision")
def _set_actor_enable_collision(self, new_actor_enable_collision):
    self._collides = new_actor_enable_collision


@B.method("Actor", "destroy_actor")
def _destroy_actor(self):
    editor_of(self).remove_actor(self)


# Components ----------------------------------------------------------------------------------


@B.initialiser("SceneComponent")
def _scene_component_init(self):
    self._relative = types_of(self)["Transform"]()
    self._parent = None


def world_transform(component: Any) -> Any:
    if component._parent is None:
        return component._relative.copy()
    return math_types.compose(component._relative, world_transform(component._parent))


def set_world_transform(component: Any, transform: Any) -> None:
    if component._parent is None:
        component._relative = transform.copy()
    else:
        component._relative = math_types.relative(transform, world_transform(component._parent))


@B.method("ActorComponent", "get_owner")
def _get_owner(self):
    return self._outer


@B.method("SceneComponent", "get_world_transform")
def _get_world_transform(self):
    return world_transform(self)


@B.method("SceneComponent", "get_world_location")
def _get_world_location(self):
    return world_transform(self).translation


@B.method("SceneComponent", "set_world_transform")
def _set_world_transform(self, new_transform, sweep, teleport):
    set_world_transform(self, new_transform)


@B.method("SceneComponent", "set_relative_transform")
def _set_relative_transform(self, new_transform, sweep, teleport):
    self._relative = new_transform.copy()


@B.method("SceneComponent", "set_mobility")
def _set_mobility(self, new_mobility):
    self._values["mobility"] = new_mobility


@B.method("SceneComponent", "get_attach_parent")
def _get_attach_parent(self):
    return self._parent


@B.method("PrimitiveComponent", "set_material")
def _set_material(self, element_index, material):
    self.__dict__.setdefault("_materials", {})[element_index] = material


@B.method("PrimitiveComponent", "get_material")
def _get_material(self, element_index):
    return self.__dict__.get("_materials", {}).get(element_index)


@B.method("StaticMeshComponent", "set_static_mesh")
def _set_static_mesh(self, new_mesh):
    self._values["static_mesh"] = new_mesh
    return True


@B.method("SkeletalMeshComponent", "set_skeletal_mesh_asset")
def _set_skeletal_mesh_asset(self, new_mesh):
    self._values["skeletal_mesh_asset"] = new_mesh


# Subsystems ----------------------------------------------------------------------------------


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
    for label, python_type in [(a._label, type(a)) for a in editor.actors] + [
        (label, types_of(cls)["CineCameraActor"]) for label in editor.unloaded_actors
    ]:
        desc = kind()
        desc._values.update(label=cls._gen.types["Name"](label), native_class=python_type)
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
