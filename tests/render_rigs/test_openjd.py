# SPDX-License-Identifier: GPL-3.0-or-later
"""The farm template: valid by the Open Job Description tool, and run by it."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from syncam_engine.cli import main
from syncam_engine.link.environments import PROJECT_ROOT, python_of

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def openjd(tmp_path_factory):
    """The `openjd` command in an environment of its own (it must not meet ours)."""
    given = os.environ.get("SYNCAM_OPENJD")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("openjd") / "env"
    venv.create(folder, with_pip=True)
    got = subprocess.run(
        [str(python_of(folder)), "-m", "pip", "install", "-q", "openjd-cli>=0.8"],
        text=True,
        capture_output=True,
        timeout=400,
        check=False,
    )
    tool = python_of(folder).with_name("openjd")
    if got.returncode or not tool.exists():
        pytest.skip(f"NO OPENJD: openjd-cli>=0.8 could not be installed: {got.stderr[-200:]}")
    return tool


def test_the_template_is_checked_and_run(openjd, bpy_python, tmp_path):
    out, job = tmp_path / "set", tmp_path / "job.yaml"
    assert (
        main(
            [
                "render",
                "--fast",
                "--scenes",
                "2",
                "--cameras",
                "2",
                "--frames",
                "2",
                "--samples",
                "1",
                "--out",
                str(out),
                "--openjd",
                str(job),
            ]
        )
        == 0
    )
    template = json.loads(job.read_text())
    assert template["specificationVersion"] == "jobtemplate-2023-09"
    checked = subprocess.run(
        [str(openjd), "check", str(job)], text=True, capture_output=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    command = f"{sys.executable} -m syncam_engine.cli"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    for step in ("render", "manifest"):
        ran = subprocess.run(
            [
                str(openjd),
                "run",
                str(job),
                "--step",
                step,
                "--job-param",
                f"SynCam={command}",
                "--job-param",
                f"Out={out}",
            ],
            text=True,
            capture_output=True,
            timeout=500,
            check=False,
            env=environment,
        )
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    for scene in (1, 2):
        assert (out / f"train/f24_aperture5/scene{scene}/scene.json").is_file()
    assert (out / "manifest.parquet").is_file()
    turns = json.loads((out / "train" / "rotation_data.json").read_text())
    assert set(turns) == {"scene1", "scene2"}
