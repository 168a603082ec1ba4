# SPDX-License-Identifier: Apache-2.0
"""Every file whose names carry a shape has its letters in its docstring, each with one meaning."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import syncam_engine

ROOT = Path(syncam_engine.__file__).parent
SHAPE = re.compile(r"[a-z]\w*_((?=[A-Z0-9]*[A-Z])(?!K\b|K_|K33)[A-Z0-9][A-Za-z0-9]*)")
"""`z_VCFHW`, `poses_VT44`; a `K` alone is a camera's intrinsics."""
LEGEND = re.compile(r"Shape legend:(.+?)(?:\n\n|\Z)", re.DOTALL)


def shapes_of(tree: ast.Module) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {match[1] for match in map(SHAPE.fullmatch, names) if match}


def with_shapes():
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    return [(str(path.relative_to(ROOT)), tree) for path, tree in trees.items() if shapes_of(tree)]


@pytest.mark.parametrize(
    ("file", "tree"), with_shapes(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_letters_have_one_meaning(file, tree):
    found = LEGEND.search(ast.get_docstring(tree) or "")
    assert found, f"{file} has the shapes {sorted(shapes_of(tree))} and no `Shape legend:`"
    said = re.findall(r"(?:^|[,;(:] )\s*([A-Z])\b", " ".join(found[1].split()))
    twice = {letter for letter in said if said.count(letter) > 1}
    assert not twice, f"{file}: {sorted(twice)} has two meanings"
    missing = set(re.findall("[A-Z]", "".join(shapes_of(tree)))) - set(said)
    assert not missing, f"{file}: {sorted(missing)} is not in its legend"
