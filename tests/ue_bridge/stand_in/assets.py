# SPDX-License-Identifier: Apache-2.0
"""Assets and materials: creation, saving, deletion, parameters, the sampler-type rule."""

from __future__ import annotations

from typing import Any

from .editor import destroy
from .generator import BEHAVIOURS as B
from .world import editor_of, types_of


def _plain(path: str) -> str:
    return path.split(".")[0].rstrip("/")


def add_asset(editor: Any, kind: str, package: str, **values: Any) -> Any:
    """Put an asset into the project as if it had been imported and saved."""
    name = package.rsplit("/", 1)[1]
    python_type = editor.module._types.get(kind) or editor.module._generator.type_named(kind)
    made = python_type(None, name)
    made._package = package
    made._values.update(values)
    editor.assets[package] = made
    editor.saved.add(package)
    return made


@B.method("AssetToolsHelpers", "get_asset_tools")
def _get_asset_tools(cls):
    return types_of(cls)["AssetTools"]()


@B.method("AssetTools", "create_asset")
def _create_asset(self, asset_name, package_path, asset_class, factory, calling_context):
    editor = editor_of(self)
    package = f"{package_path}/{asset_name}"
    if editor.read_only_content or package in editor.assets:
        return None
    made = asset_class(None, asset_name)
    made._package = package
    editor.assets[package] = made
    return made


LIBRARY = "EditorAssetLibrary"


@B.method(LIBRARY, "does_asset_exist")
def _does_asset_exist(cls, asset_path):
    editor = editor_of(cls)
    return _plain(asset_path) in editor.assets or _plain(asset_path) in editor.saved


@B.method(LIBRARY, "load_asset")
def _library_load_asset(cls, asset_path):
    return find(editor_of(cls), asset_path)


def find(editor: Any, path: str) -> Any:
    path = _plain(path)
    if path.startswith("/Engine/BasicShapes/") and path not in editor.assets:
        add_asset(editor, "StaticMesh", path)
    return editor.assets.get(path)


@B.function("load_asset")
def _load_asset(module, name, type, follow_redirectors):
    found = find(module._editor, name)
    return found if found is None or type is None or isinstance(found, type) else None


@B.method(LIBRARY, "save_loaded_asset")
def _save_loaded_asset(cls, asset_to_save, only_if_is_dirty):
    editor = editor_of(cls)
    if editor.read_only_content:
        return False
    editor.saved.add(asset_to_save._package)
    return True


@B.method(LIBRARY, "delete_asset")
def _delete_asset(cls, asset_path_to_delete):
    editor = editor_of(cls)
    made = editor.assets.pop(_plain(asset_path_to_delete), None)
    editor.saved.discard(_plain(asset_path_to_delete))
    if made is not None:
        destroy(made)
    return made is not None


@B.method(LIBRARY, "delete_directory")
def _delete_directory(cls, directory_path):
    editor = editor_of(cls)
    if editor.read_only_content:
        return False
    for package in [p for p in editor.assets if p.startswith(directory_path.rstrip("/") + "/")]:
        _delete_asset(cls, package)
    return True


@B.method(LIBRARY, "does_directory_exist")
def _does_directory_exist(cls, directory_path):
    prefix = directory_path.rstrip("/") + "/"
    return any(p.startswith(prefix) for p in editor_of(cls).assets)


@B.method(LIBRARY, "make_directory")
def _make_directory(cls, directory_path):
    return not editor_of(cls).read_only_content


@B.method(LIBRARY, "list_assets")
def _list_assets(cls, directory_path, recursive, include_folder):
    prefix = directory_path.rstrip("/") + "/"
    return sorted(
        f"{p}.{p.rsplit('/', 1)[1]}" for p in editor_of(cls).assets if p.startswith(prefix)
    )


# Materials ------------------------------------------------------------------------------------

MATERIALS = "MaterialEditingLibrary"


@B.initialiser("Material")
def _material_init(self):
    self._expressions, self._connected, self._compiled = [], {}, False


@B.method(MATERIALS, "create_material_expression")
def _create_material_expression(cls, material, expression_class, node_pos_x, node_pos_y):
    made = expression_class(material)
    material._expressions.append(made)
    return made


@B.method(MATERIALS, "connect_material_property")
def _connect_material_property(cls, from_expression, from_output_name, property_):
    from_expression._outer._connected[property_.name] = (from_expression, from_output_name)
    return from_output_name in ("", "RGB", "R", "G", "B", "A", "RGBA")


@B.method(MATERIALS, "recompile_material")
def _recompile_material(cls, material):
    editor = editor_of(cls)
    material._compiled = True
    sampling = types_of(cls)["MaterialExpressionTextureBase"]
    for expression in material._expressions:
        if not isinstance(expression, sampling):
            continue
        texture = expression._values.get("texture")
        if texture is None:
            material._compiled = False
            editor.log.append(("error", f"{material.get_name()}: Missing input texture"))
        elif isinstance(texture, types_of(cls)["MediaTexture"]):
            sampler = expression.sampler_type.name
            colour = texture._values.get("new_style_output") or texture._values.get(
                "enable_gen_mips"
            )
            wanted = "SAMPLERTYPE_COLOR" if colour else "SAMPLERTYPE_EXTERNAL"
            if sampler != wanted:
                material._compiled = False
                editor.log.append(
                    (
                        "error",
                        f"{material.get_name()}: Sampler type is {sampler}, "
                        f"should be {wanted} for {texture.get_name()}",
                    )
                )


@B.method(MATERIALS, "set_material_instance_parent")
def _set_material_instance_parent(cls, instance, new_parent):
    instance._values["parent"] = new_parent


@B.method(MATERIALS, "set_material_instance_texture_parameter_value")
def _set_texture_parameter(cls, instance, parameter_name, value, association):
    parent = instance._values.get("parent")
    names = {str(e._values.get("parameter_name")) for e in (parent._expressions if parent else [])}
    if str(parameter_name) not in names:
        return False
    instance.__dict__.setdefault("_textures", {})[str(parameter_name)] = value
    return True


@B.method(MATERIALS, "get_material_instance_texture_parameter_value")
def _get_texture_parameter(cls, instance, parameter_name, association):
    return instance.__dict__.get("_textures", {}).get(str(parameter_name))


@B.method(MATERIALS, "update_material_instance")
def _update_material_instance(cls, instance):
    instance._updated = True


@B.method(MATERIALS, "connect_material_expressions")
def _connect_material_expressions(
    cls, from_expression, from_output_name, to_expression, to_input_name
):
    to_expression.__dict__.setdefault("_inputs", {})[to_input_name] = from_expression
    return True


@B.method(MATERIALS, "set_material_instance_vector_parameter_value")
def _set_vector_parameter(cls, instance, parameter_name, value, association):
    instance.__dict__.setdefault("_vectors", {})[str(parameter_name)] = value
    return True
