# SPDX-License-Identifier: Apache-2.0
"""Where the project's Python environments are: the engine's (torch) and one for each bpy version.

bpy and torch never share a process. A clone made by `bootstrap.py` has `.venv` (engine) and
`.venv-bpy-5.0` beside it; an installed package may have bpy in its own environment.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from .owners import code_doubt

PROJECT_ROOT = Path(__file__).resolve().parents[2]
DEFAULT_BPY = "5.0"


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment's folder on this system."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def bpy_environment(version: str = DEFAULT_BPY) -> Path:
    """Return the folder where the environment of a bpy version ("5.0") belongs in a clone."""
    return PROJECT_ROOT / f".venv-bpy-{version}"


def find_bpy_python(version: str = DEFAULT_BPY) -> Path | None:
    """Return a Python that imports bpy of this version, or None.

    In this order: $SYNCAM_BPY_PYTHON (the default version only), the clone's own environment where
    no other user could have put it there, the running interpreter when bpy is installed in it.
    """
    chosen = os.environ.get("SYNCAM_BPY_PYTHON")
    if chosen and version == DEFAULT_BPY:
        return Path(chosen) if Path(chosen).is_file() else None
    own = python_of(bpy_environment(version))
    if own.is_file() and not code_doubt(own, below=PROJECT_ROOT):
        return own
    if version == DEFAULT_BPY and importlib.util.find_spec("bpy") is not None:
        return Path(sys.executable)
    return None
