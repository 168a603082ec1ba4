# SPDX-License-Identifier: Apache-2.0
"""A stand-in `unreal` module: the surface of the real API, with behaviour for what the bridge uses.

`make_unreal("5.5", project_dir)` returns a fresh module with a fresh editor. `module._editor` is
the editor itself, for tests to drive; nothing else here is visible to the bridge that Unreal lacks.
"""

from __future__ import annotations

import copy
import json
import sys
import types
from pathlib import Path

from . import (
    assets,
    cameras,
    captures,
    interface,
    media,
    playhead,
    render_queue,
    sequencer,
    subsystems,
    tracks,
    world,
)
from .editor import Editor
from .generator import BEHAVIOURS, Generator, make_function

__all__ = ["BEHAVIOURS", "install", "load_table", "make_unreal", "merge"]

BEHAVIOUR_FILES = (
    assets,
    cameras,
    captures,
    interface,
    media,
    playhead,
    render_queue,
    sequencer,
    subsystems,
    tracks,
    world,
)
"""Importing them fills BEHAVIOURS."""
SURFACE = Path(__file__).resolve().parent.parent / "surface"


def load_table(version: str = "5.5") -> dict:
    """Return the 5.5 table with what is known of another version added or taken away."""
    table = json.loads((SURFACE / "unreal_5_5.json").read_text("utf-8"))
    beyond = json.loads((SURFACE / "beyond_5_5_table.json").read_text("utf-8"))
    for entry in beyond["added"]:
        if _number(version) < _number(entry["since"]) or _number(version) > _number(
            entry.get("until", "99.0")
        ):
            continue
        merge(table, entry)
    for entry in beyond["absent_before"]:
        if _number(version) < _number(entry["since"]):
            owner = table["classes"][entry["class"]]
            for kind in ("methods", "properties", "editor_properties"):
                owner.get(kind, {}).pop(entry["member"], None)
            if "init" in entry:
                owner["methods"]["__init__"] = entry["init"]
    return table


def merge(table: dict, entry: dict) -> None:
    """Add one entry of beyond_5_5_table.json to a table."""
    table["functions"].update(entry.get("functions", {}))
    for name, described in copy.deepcopy(entry.get("classes", {})).items():
        owner = table["classes"].setdefault(name, described)
        if owner is not described:
            for kind in ("methods", "properties", "editor_properties", "enum_values"):
                owner.setdefault(kind, {}).update(described.get(kind, {}))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def make_unreal(
    version: str = "5.5",
    project_dir: str | Path = "/nonexistent",
    without_plugins: tuple[str, ...] = (),
) -> types.ModuleType:
    """Return a fresh stand-in; classes of disabled plugins are absent, as in the editor."""
    table = load_table(version)
    generator = Generator(table)
    module = types.ModuleType("unreal")
    hidden = {n for n, c in table["classes"].items() if c.get("plugin") in without_plugins}
    for name, made in generator.types.items():
        if name not in hidden and name != "object":
            setattr(module, name, made)
            if "_gen" not in made.__dict__ and name not in ("Name", "Text", "Array", "Class"):
                made._gen = generator
    module._types, module._generator = generator.types, generator
    generator.module = module
    module._editor = Editor(module, version, Path(project_dir))
    for name, text in table["functions"].items():
        setattr(module, name, make_function(generator, name, text))
    module._editor.open_level()
    return module


def install(module: types.ModuleType) -> None:
    """Make `import unreal` find this module and forget bridge modules that saw another one."""
    for name in [n for n in sys.modules if n == "syncam_unreal" or n.startswith("syncam_unreal.")]:
        del sys.modules[name]
    sys.modules["unreal"] = module
