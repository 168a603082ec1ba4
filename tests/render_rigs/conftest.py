# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's Python for the tests that render; they are skipped, loudly, where there is none."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from syncam_engine.link.environments import PROJECT_ROOT, find_bpy_python


@pytest.fixture(scope="session")
def bpy_python() -> Path:
    found = find_bpy_python()
    if found is None:
        pytest.skip("NO BLENDER: no Python with bpy; run python3 bootstrap.py test")
    return found


@pytest.fixture(scope="session")
def in_blender(bpy_python):
    """Run a script of this folder, or a module, in Blender's Python; returns its "@" lines."""

    def run(*arguments: str, check: bool = True, timeout: float = 540) -> list[dict]:
        done = subprocess.run(
            [str(bpy_python), *arguments],
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        )
        if check:
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]

    return run
