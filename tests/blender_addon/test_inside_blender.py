# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of `inside/` in each Blender version's own Python, as a child process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from syncam_engine.link.environments import find_bpy_python

from .engine_wrapper import ROOT, blender_folder

INSIDE = Path(__file__).with_name("inside")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(os.name == "nt", reason="the engine's stand-in is a shell script"),
]


def run_inside(version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    python = find_bpy_python(version)
    if python is None:
        pytest.skip(
            f"BLENDER {version} IS NOT TESTED: no environment with its bpy; "
            "`python3 bootstrap.py test` makes .venv-bpy-" + version
        )
    with blender_folder() as (folder, environment):
        return subprocess.run(
            [
                *(str(python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
                *("--import-mode=importlib", "-c", os.devnull, "--rootdir", str(ROOT)),
                *arguments,
            ],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )


def assert_passed(done: subprocess.CompletedProcess[str]) -> None:
    print(done.stdout[-8000:], done.stderr[-3000:])
    assert done.returncode == 0, "tests inside Blender failed; their output is above"
    assert " passed" in done.stdout


@pytest.mark.timeout(540)
def test_blender_5_0():
    assert_passed(run_inside("5.0", str(INSIDE)))


@pytest.mark.timeout(540)
@pytest.mark.parametrize("version", ["4.5", "4.2"])
def test_older_blender(version):
    # The engine's own starts and ends are slow, and the same whatever Blender asks for them.
    assert_passed(run_inside(version, str(INSIDE), f"--ignore={INSIDE / 'test_engine_box.py'}"))
