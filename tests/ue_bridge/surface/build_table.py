# SPDX-License-Identifier: Apache-2.0
"""Cut the table of what the bridge uses out of a full surface of the `unreal` API.

    python tests/ue_bridge/surface/build_table.py FULL_SURFACE.json

A member is kept when its name occurs in `ue_bridge/` or `tests/ue_bridge/`. Run it again after the
bridge starts to use a name that the table lacks: until then the stand-in refuses that name.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ALWAYS = {
    "Object",
    "_ObjectBase",
    "StructBase",
    "EnumBase",
    "Name",
    "Text",
    "Array",
    "StaticMeshActor",
}


def names_in(files: list[Path]) -> set[str]:
    """Return every attribute, keyword and identifier-like string of Python files."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.isidentifier()
            ):
                found.add(node.value)
    return found


def cut(full: dict, names: set[str]) -> dict:
    """Return the part of a full surface that these names reach."""
    classes: dict[str, dict] = {}
    wanted = [n for n in full["classes"] if n in names or n in ALWAYS]
    while wanted:
        name = wanted.pop()
        if name in classes or name not in full["classes"]:
            continue
        entry = full["classes"][name]
        kept = {
            k: entry[k]
            for k in ("bases", "kind", "module", "plugin", "enum_values")
            if entry.get(k)
        }
        for kind in ("methods", "properties", "editor_properties"):
            members = {
                m: t for m, t in entry.get(kind, {}).items() if m in names or m == "__init__"
            }
            if entry["kind"] == "struct" and kind != "methods":
                members = entry.get(kind, {})
            if members:
                kept[kind] = dict(sorted(members.items()))
        classes[name] = kept
        mentioned = set(entry["bases"])
        for kind in ("methods", "properties", "editor_properties"):
            for text in kept.get(kind, {}).values():
                mentioned |= set(re.findall(r"\b[A-Z]\w+", text))
        wanted += [
            m
            for m in mentioned
            if m in full["classes"]
            and (m in entry["bases"] or full["classes"][m]["kind"] != "class")
        ]
    functions = {n: t for n, t in full["functions"].items() if n in names}
    meta = {k: full["_meta"][k] for k in ("ue_version", "source", "notes")}
    return {
        "_meta": meta,
        "functions": dict(sorted(functions.items())),
        "classes": dict(sorted(classes.items())),
    }


def main(argv: list[str]) -> int:
    files = sorted((ROOT / "ue_bridge").rglob("*.py")) + sorted(
        (ROOT / "tests/ue_bridge").rglob("*.py")
    )
    table = cut(json.loads(Path(argv[1]).read_text("utf-8")), names_in(files))
    target = HERE / "unreal_5_5.json"
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{target.name}: {len(table['classes'])} classes, {len(table['functions'])} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
