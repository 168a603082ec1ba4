# SPDX-License-Identifier: Apache-2.0
"""What general code finds by its name alone, so that a model's own room is read when it is used.

A name is "module" or "module:attribute". Nothing here imports what stands behind it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

KINDS = {
    "diffusers": "syncam_engine.model.hub_kind",
    "package": "syncam_engine.preview.kind",
}
"""`Source.kind` to a module that is a `kinds.Kind`."""

PATTERNS = {
    "epipolar": "syncam_engine.model.epipolar:EPIPOLAR",
    "geometric": "syncam_engine.preview.geometric_pattern:GEOMETRIC",
}
"""`CameraEncoding.pattern` to an `AttentionPattern`; "full" is none."""

PRESET_FILES = {"preview": "preview/weights/preset.json"}
"""Presets that come as files, in the folder of `syncam_engine`."""


def named(name: str) -> Any:
    """Return the module, or the module's attribute, of this name."""
    module, _, attribute = name.partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found
