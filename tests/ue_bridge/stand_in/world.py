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
