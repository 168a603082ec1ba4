# SPDX-License-Identifier: Apache-2.0
"""Every `fix` in the source: a short imperative that stands on a button or after "fix: "."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"(syncam|pip|chmod|ray|torchrun) ")
"""What is typed as it stands."""
NAMES = ("fix", "_OWN_FOLDER")


def spelled(value: ast.expr) -> list[str]:
    """The texts that an expression may be, "{}" for what is filled in."""
    if isinstance(value, ast.IfExp):
        return spelled(value.body) + spelled(value.orelse)
    if isinstance(value, ast.BoolOp):
        return [text for part in value.values for text in spelled(part)]
    if isinstance(value, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in value.values]
        return ["".join(parts)]
    return [value.value] if isinstance(value, ast.Constant) and value.value else []


def texts_of(path: Path) -> list[str]:
    """What a module gives as `fix`: by keyword, by a variable, or as the last of its helpers'."""
    given: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            place = {"_say": 2, "refuse": 4}.get(ast.unparse(node.func).rpartition(".")[2])
            given += [word.value for word in node.keywords if word.arg == "fix"]
            given += node.args[place:] if place is not None else []
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in (
            "fix",
            "_OWN_FOLDER",
        ):
            given.append(node.value)
    return [text for value in given for text in spelled(value)]


def test_each_fix_is_an_imperative_without_a_full_stop():
    folders = ("syncam_engine", "blender_addon", "ue_bridge", "render_rigs")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [(str(path), text) for path in sources for text in texts_of(path) if text]
    assert len(found) > 150
    wrong = [
        (path, text)
        for path, text in found
        if text.rstrip() != text.rstrip(" .!") or not (text[0].isupper() or COMMAND.match(text))
    ]
    assert wrong == []
