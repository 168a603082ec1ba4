# SPDX-License-Identifier: Apache-2.0
"""The stand-in against the table of the real API, and every `unreal.X.y` of the bridge."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
import stand_in

HERE = Path(__file__).resolve().parent
BRIDGE = HERE.parents[1] / "ue_bridge"
TABLE = json.loads((HERE / "surface/unreal_5_5.json").read_text("utf-8"))
BEYOND = json.loads((HERE / "surface/beyond_5_5_table.json").read_text("utf-8"))
MODULE = stand_in.make_unreal("5.5")


def split_arguments(text):
    """Arguments of a table signature as (name, type, default or None); a reader of its own."""
    inside = text[text.index("(") + 1 : text.rindex(") ->")]
    parts, depth, start = [], 0, 0
    for index, char in enumerate(inside + ","):
        depth += char in "([{"
        depth -= char in ")]}"
        if char == "," and depth == 0:
            parts.append(inside[start:index].strip())
            start = index + 1
    found = []
    for part in parts:
        match = re.fullmatch(r"(\w+)(?:: (.+?))?(?:\s?=\s?(.+))?", part)
        if match and match[1] not in ("self", "cls"):
            found.append((match[1], match[2], match[3]))
    return found


def same_default(ours, theirs):
    """Compare two defaults as values, whatever their spelling."""
    if theirs is None:
        return ours is inspect.Parameter.empty
    return ast.dump(ast.parse(str(ours), mode="eval")) == ast.dump(ast.parse(theirs, mode="eval"))


MADE_BY_HAND = {"_ObjectBase", "StructBase", "EnumBase", "Name", "Text", "Array", "_WrapperBase"}
MADE_BY_HAND |= {
    "MulticastDelegateBase",
    "DelegateBase",
    "ScopedEditorTransaction",
    "ObjectIterator",
}


@pytest.mark.parametrize("name", sorted(TABLE["classes"]))
def test_class_equals_the_table(name):
    entry, made = TABLE["classes"][name], getattr(MODULE, name)
    if name not in MADE_BY_HAND:
        assert [base.__name__ for base in made.__bases__] == [
            {"_WrapperBase": "WrapperBase", "_ObjectBase": "ObjectBase"}.get(base, base)
            for base in entry["bases"]
        ]
    for member, value in (entry.get("enum_values") or {}).items():
        assert getattr(made, member).value == value
        assert getattr(made, member).name == member
    for member, text in entry.get("methods", {}).items():
        if member == "__init__":
            check_constructor(name, made, text)
            continue
        if member in ("__eq__", "__ne__"):
            continue  # Python's own operators, by value.
        if name in MADE_BY_HAND and member not in vars(made):
            continue  # Refused by the stand-in: stricter than the API, never looser.
        call = inspect.getattr_static(made, member)
        assert isinstance(call, classmethod) == text.startswith("@classmethod"), member
        if not isinstance(call, property):
            check_arguments(f"{name}.{member}", getattr(call, "__func__", call), text)
    for member, text in entry.get("properties", {}).items():
        read_only = vars(made)[member].fset is None
        assert read_only == ("(get only)" in text), f"{name}.{member}"


def check_arguments(where, call, text):
    parameters = inspect.signature(call).parameters.values()
    got = [p for p in parameters if p.name not in ("self", "cls")]
    want = split_arguments(text)
    if where.split(".")[0] in MADE_BY_HAND:
        assert len(got) <= len(want) or "*" in text, where
        return
    assert [p.name for p in got] == [argument[0] for argument in want], where
    for parameter, (_, _, default) in zip(got, want, strict=True):
        assert same_default(parameter.default, default), (where, parameter.name)


def check_constructor(name, made, text):
    if name in MADE_BY_HAND or "*args" in text:
        return
    definition = getattr(made, "_init_signature", None)
    assert definition is not None, name
    got = [argument.arg for argument in definition.args.args if argument.arg != "self"]
    assert got == [argument[0] for argument in split_arguments(text)], name


@pytest.mark.parametrize("name", sorted(TABLE["functions"]))
def test_function_equals_the_table(name):
    check_arguments(name, getattr(MODULE, name), TABLE["functions"][name])


def test_behaviours_have_the_tables_arguments():
    """A behaviour written with another argument name, or for a member that is not there, fails."""
    newest = stand_in.load_table("5.7")
    for (owner, name), call in stand_in.BEHAVIOURS.methods.items():
        text = newest["classes"].get(owner, {}).get("methods", {}).get(name)
        if text is None:
            assert owner in newest["classes"], owner
            continue  # Cut from the table because the bridge does not use it.
        parameters = list(inspect.signature(call).parameters.values())[1:]
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            continue
        want = [argument[0] for argument in split_arguments(text)]
        assert [p.name for p in parameters] == want, f"{owner}.{name}"


def test_refusals():
    actor, camera = MODULE.CineCameraActor(), MODULE.CineCameraActor().get_cine_camera_component()
    with pytest.raises(AttributeError):
        MODULE.CineCamera  # noqa: B018
    with pytest.raises(AttributeError):
        actor.label = "x"
    with pytest.raises(AttributeError):
        actor.root_component = None
    with pytest.raises(AttributeError):
        MODULE.CameraFilmbackSettings().sensor_aspect_ratio = 2.0
    with pytest.raises(TypeError):
        actor.set_actor_label(7)
    with pytest.raises(TypeError):
        actor.set_actor_label(label="x")
    with pytest.raises(TypeError):
        camera.current_focal_length = "35"
    with pytest.raises(Exception, match="Failed to find"):
        camera.get_editor_property("focal_length")
    with pytest.raises(Exception, match="read-only"):
        camera.set_editor_property("current_horizontal_fov", 3.0)
    film = camera.filmback
    film.sensor_width = 99.0
    assert camera.filmback.sensor_width != 99.0, "structs are values"
    rotator = MODULE.Rotator(1.0, 2.0, 3.0)
    assert (rotator.roll, rotator.pitch, rotator.yaw) == (1.0, 2.0, 3.0)


def test_a_destroyed_actor_raises():
    module = stand_in.make_unreal("5.5")
    actors = module.get_editor_subsystem(module.EditorActorSubsystem)
    actor = actors.spawn_actor_from_class(module.CineCameraActor, module.Vector(0, 0, 0))
    camera = actor.get_cine_camera_component()
    assert actors.destroy_actor(actor)
    with pytest.raises(RuntimeError):
        actor.get_actor_label()
    with pytest.raises(RuntimeError):
        camera.filmback  # noqa: B018
    assert not module.SystemLibrary.is_valid(camera)


def test_plugins_and_versions_change_what_there_is():
    bare = stand_in.make_unreal("5.5", without_plugins=("MovieRenderPipeline",))
    assert not hasattr(bare, "MoviePipelineQueue")
    assert not hasattr(MODULE, "register_ticker_callback")
    newest = stand_in.make_unreal("5.7")
    assert hasattr(newest, "register_ticker_callback")
    assert hasattr(newest.EditorUtilityLibrary, "add_source_widget")
    oldest = stand_in.make_unreal("5.4")
    assert not hasattr(oldest.CameraFilmbackSettings(), "sensor_horizontal_offset")


# The bridge's own use of the API -------------------------------------------------------------


def members_of(table, name):
    """Every method, property and enum value of a class and its bases."""
    entry = table["classes"].get(name)
    if entry is None:
        return {"cast", "static_class", "get_name"}
    found = set(entry.get("enum_values") or {})
    for kind in ("methods", "properties"):
        found |= set(entry.get(kind, {}))
    return found.union(*(members_of(table, base) for base in entry["bases"] if base != "object"))


def aliases_in(tree):
    """Local names that stand for one class of the module alone."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value, name = node.value, node.targets[0].id
            of_unreal = (
                isinstance(value, ast.Attribute)
                and isinstance(value.value, ast.Name)
                and value.value.id == "unreal"
            )
            found.setdefault(name, set()).add(value.attr if of_unreal else None)
    return {
        name: owners for name, owners in found.items() if len(owners) == 1 and None not in owners
    }


def uses_of(file):
    """Each `unreal.X` and `unreal.X.y` in a file, also by way of `name = unreal.X`, and each
    property name given as a text."""
    tree = ast.parse(file.read_text("utf-8"))
    names, members, properties = set(), set(), set()
    aliases = aliases_in(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for owner in aliases.get(node.value.id, ()):
                members.add((owner, node.attr))
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "unreal":
                names.add(node.attr)
            inner = node.value
            if (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.value, ast.Name)
                and inner.value.id == "unreal"
            ):
                members.add((inner.attr, node.attr))
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        access = ("get_editor_property", "set_editor_property")
        if call and node.func.attr in access and isinstance(node.args[0], ast.Constant):
            properties.add(node.args[0].value)
    return names, members, properties


FILES = sorted(BRIDGE.rglob("*.py"))


def gated_names():
    """Names outside what 5.4 surely has -> the version that they come with."""
    gated = {}
    for entry in BEYOND["added"]:
        if tuple(map(int, entry["since"].split("."))) > (5, 4):
            assert entry["source"], entry
            for name in entry.get("functions", {}):
                gated[name] = entry["since"]
            for name, described in entry.get("classes", {}).items():
                if name not in TABLE["classes"]:
                    gated[name] = entry["since"]
                for member in described.get("methods", {}):
                    gated[member] = entry["since"]
    return gated


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_the_bridge_uses_only_known_names(file):
    newest = stand_in.load_table("5.7")
    gated = gated_names()
    source = file.read_text("utf-8")
    names, members, properties = uses_of(file)
    for name in names:
        assert name in newest["classes"] or name in newest["functions"], f"unreal.{name}"
        if name in gated:
            assert f'hasattr(unreal, "{name}")' in source or guarded_by_twin(name, source), (
                f"unreal.{name} comes with {gated[name]} and is used without hasattr"
            )
    for owner, member in members:
        known = members_of(newest, owner) | members_of(newest, "_ObjectBase")
        assert member in known, f"unreal.{owner}.{member}"
    every = {
        name for entry in newest["classes"].values() for name in entry.get("editor_properties", {})
    }
    own = {"Root"} | set(panel_field_names())  # The user's own widget, and a class made in Python.
    assert properties <= every | own, properties - every


def guarded_by_twin(name, source):
    """What unregisters is there where its counterpart is."""
    return f'hasattr(unreal, "{name.removeprefix("un")}")' in source


def panel_field_names():
    from syncam_unreal.panel_state import PanelFields

    return PanelFields().to_dict()


def test_the_bridge_imports_the_link_package_and_nothing_else_of_the_engine():
    for file in FILES:
        for name in re.findall(r"(?:from|import) (syncam_engine[\w.]*)", file.read_text("utf-8")):
            assert name.startswith("syncam_engine.link"), f"{file.name}: {name}"


def test_unreal_is_imported_at_the_edge_only():
    """The controller, the requests, conventions, lens, plates and layout know no `unreal`."""
    folder = BRIDGE / "SynCam/Content/Python/syncam_unreal"
    for name in (
        "controller", "request_making", "conventions", "lens", "plates", "panel_layout",
        "panel_state", "previews", "job_clips", "host_protocol", "preparing", "showing",
        "telling", "job_progress",
    ):  # fmt: skip
        source = (folder / f"{name}.py").read_text("utf-8")
        assert not re.search(r"^\s*(import|from) unreal\b", source, re.M), name
    for file in FILES:
        assert not re.search(r"^\s*(import|from) (numpy|torch)\b", file.read_text("utf-8"), re.M)
