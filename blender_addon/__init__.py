# SPDX-License-Identifier: GPL-3.0-or-later
"""SynCam in Blender: the scene's cameras in, one synchronised clip for each camera out.

The engine is a process of its own; this add-on only talks to it. Modules named `*_ops` and `*_ui`
and those that say so import bpy; the others are plain Python.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def _find_link() -> None:
    """Let `syncam_engine.link` be found: a wheel in the extension, as it is in the repository."""
    if importlib.util.find_spec("syncam_engine") is None:
        sys.path.append(str(Path(__file__).resolve().parents[1]))


_find_link()

MODULES = (
    "preferences",
    "settings",
    "thumbs",
    "heartbeat",
    "checks",
    "generate_ops",
    "engine_ops",
    "rig_ops",
    "result_ops",
    "presets",
    "panel_ui",
    "rig_ui",
    "results_ui",
)
"""Modules with `register` and `unregister`, in the order of registering."""


def _modules() -> list:
    return [importlib.import_module(f"{__package__}.{name}") for name in MODULES]


def register() -> None:
    for module in _modules():
        module.register()


def unregister() -> None:
    for module in reversed(_modules()):
        module.unregister()
