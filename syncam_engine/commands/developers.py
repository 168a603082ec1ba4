# SPDX-License-Identifier: Apache-2.0
"""The developers' tools, found by name: an engine that came with Blender's extension has none."""

from __future__ import annotations

import importlib
from types import ModuleType

from syncam_engine.link.errors import SynCamError

PACKAGE = "syncam_engine.devtools"


def devtool(name: str) -> ModuleType:
    """Return a module of the developers' tools. Raises `SynCamError` "devtools.absent"."""
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except ModuleNotFoundError as error:
        if error.name != PACKAGE:
            raise
        raise SynCamError(
            "devtools.absent",
            "This engine came without the developers' tools that bench and soak need.",
            fix="Run it from a clone of SynCam",
        ) from None
