# SPDX-License-Identifier: Apache-2.0
"""On true renders the camera errors must be near zero: a street, the paper's set-up, SIFT."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from syncam_engine.cli import main
from syncam_engine.evaluation.cameras import score_cameras
from syncam_engine.evaluation.setups import setup_rig
from syncam_engine.link.environments import PROJECT_ROOT, find_bpy_python
from syncam_engine.link.rig_json import write_rig
from tests.evaluation.test_clips import write_clip

pytestmark = pytest.mark.processes

NAME, WIDTH, HEIGHT = "azimuth-10", 416, 240
NEIGHBOURS = [(0, 1), (1, 2), (2, 3)]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Frames V1HW3, K V133 and c2w V144 of a street, rendered in a process of its own."""
    python = find_bpy_python()
    if python is None:
        pytest.skip("NO BLENDER: no Python with bpy; run python3 bootstrap.py test")
    out = tmp_path_factory.mktemp("street") / "views.npz"
    command = [str(python), "-m", "tests.evaluation.render_setup"]
    done = subprocess.run(
        [*command, str(out), str(WIDTH), str(HEIGHT), "8", NAME],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    with np.load(out) as views:
        return (
            views[f"{NAME}/frames"],
            views[f"{NAME}/K"][:, None],
            views[f"{NAME}/c2w"][:, None],
        )


def test_errors_of_true_neighbours_are_near_zero(street):
    frames, K, c2w = street
    score = score_cameras(frames, K, c2w, pairs=NEIGHBOURS)
    assert score.found == 1.0
    assert score.rot_err_rad < 0.03
    assert score.trans_err < 0.2


def test_errors_of_cameras_that_are_not_theirs_are_not(street):
    frames, K, c2w = street
    score = score_cameras(frames, K, c2w[[0, 3, 1, 2]], pairs=NEIGHBOURS)
    assert score.rot_err_rad > 0.1
    assert score.trans_err > 0.5


def test_the_command_scores_a_true_street(street, tmp_path, capsys):
    """As a user would: a rig file, a folder of clips, a table."""
    frames, _, c2w = street
    rig = setup_rig(NAME, width_px=WIDTH, height_px=HEIGHT)
    # The rig stands about another middle than the street's: relative poses are the same.
    relative = np.linalg.inv(np.array(rig.cameras[0].c2w_cv_m)) @ np.array(rig.cameras[1].c2w_cv_m)
    assert np.linalg.inv(c2w[0, 0]) @ c2w[1, 0] == pytest.approx(relative, abs=1e-6)
    for camera, clip in zip(rig.cameras, frames, strict=True):
        write_clip(tmp_path / "clips" / f"{camera.name}.mp4", np.repeat(clip, 2, axis=0))
    command = ["evaluate", "clips", str(tmp_path / "clips"), "--rig"]
    command += [str(write_rig(rig, tmp_path / "rig.json")), "--pairs", "neighbours", "--out"]
    assert main([*command, str(tmp_path / "report")]) == 0
    said = capsys.readouterr().out
    assert float(said.split("RotErr")[1].split()[0]) < 0.05
    assert float(said.split("TransErr")[1].split()[0]) < 0.3
    known = json.loads((tmp_path / "report" / "scores.json").read_text())["provenance"]
    assert known["pairs"] == [[0, 1], [1, 2], [2, 3]]
