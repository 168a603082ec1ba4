# SPDX-License-Identifier: Apache-2.0
"""Which package may import which. Imports inside functions and for types alone count as well.

A package may import those that stand before it, and itself. `link` is below all.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import syncam_engine

ROOT = Path(syncam_engine.__file__).parent
FLOORS = (
    "link",
    "weights",
    "model",
    "media",
    "sampling",
    "data",
    "evaluation",
    "training",
    "preview",
    "service",
    "rendering",
    "packaging",
    "commands",
    "devtools",
)


def imported(path: Path) -> set[str]:
    """Return the packages of syncam_engine that a file imports anywhere."""
    here = ["syncam_engine", *path.relative_to(ROOT).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            outer = here[: len(here) + 1 - node.level] if node.level else []
            module = ".".join([*outer, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "syncam_engine" and len(p) > 1 and p[1] in FLOORS}


def test_imports_run_down():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= set(FLOORS), "a package without a floor"
    found = {
        (package, below): path.relative_to(ROOT)
        for package in folders
        for path in (ROOT / package).rglob("*.py")
        for below in imported(path)
        if FLOORS.index(below) > FLOORS.index(package)
    }
    assert not found


def test_the_developers_tools_are_named_where_verbs_find_them_only():
    files = [*ROOT.rglob("*.py")]
    for folder in ("blender_addon", "ue_bridge", "render_rigs"):
        files += (ROOT.parent / folder).rglob("*.py")
    named = {
        path.relative_to(ROOT.parent).as_posix()
        for path in files
        if ROOT / "devtools" not in path.parents and "devtools" in path.read_text("utf-8")
    }
    # The second leaves them out of Blender's zip.
    assert named == {
        "syncam_engine/commands/developers.py",
        "syncam_engine/packaging/blender.py",
    }


def test_the_projects_wheel_has_the_developers_tools():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))
    found = project["tool"]["setuptools"]["packages"]["find"]
    assert "syncam_engine*" in found["include"]
    assert "exclude" not in found
    folders = {path.parent for path in (ROOT / "devtools").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


@pytest.mark.processes
def test_the_wan_transformer_is_imported_without_the_preview():
    code = (
        "import sys; import syncam_engine.model.transformer, syncam_engine.model.hub_parts, "
        "syncam_engine.sampling.pipeline, syncam_engine.training.multiview, "
        "syncam_engine.training.runs; from syncam_engine.model.presets import WAN_1_3B, Preset; "
        "Preset.from_dict(WAN_1_3B.to_dict()); "
        "raise SystemExit([n for n in sys.modules if n.startswith('syncam_engine.preview')] != [])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
