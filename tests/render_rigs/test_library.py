# SPDX-License-Identifier: GPL-3.0-or-later
"""A studio's own subjects and places in place of ours; bad files are named and left out."""

import json

import numpy as np
import pytest

from render_rigs import assets
from syncam_engine.cli import main

NODDERS = ["nodder.glb", "nodder.blend", "nodder.fbx", "nodder.usdc"]
HERE = __file__.rsplit("/", 1)[0]


@pytest.fixture(scope="module")
def library(in_blender, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "mine"
    in_blender(f"{HERE}/make_library.py", str(folder))
    return folder


@pytest.mark.processes
def test_the_manifest_names_what_it_leaves_out(library):
    good, bad = assets.read_manifest(str(library), "assets.json")
    assert [e.file for e in good] == [*NODDERS, "broken.glb"]
    assert bad == ["missing.fbx skipped: there is no such file"]
    held, _ = assets.read_manifest(str(library), "assets.json", split="test")
    assert [e.caption for e in held] == ["held out"]
    with pytest.raises(assets.AssetError, match="is not a manifest"):
        assets.read_manifest(str(library), "nodder.glb")


def test_axes_turn_to_forward_x_up_z():
    turn = assets.Entry(file="a.glb", up="Y", forward="-Z").turn()
    assert np.allclose(turn @ (0, 0, -1), (1, 0, 0))
    assert np.allclose(turn @ (0, 1, 0), (0, 0, 1))
    assert np.isclose(np.linalg.det(turn), 1)


@pytest.mark.processes
def test_every_kind_of_file_plays_its_action_at_its_own_pace(library, in_blender):
    """The box is 3 units at scale 0.5, and nods by 0.3 rad around its middle once a second."""
    *told, both = in_blender(f"{HERE}/measure_library.py", str(library))
    assert [one["file"] for one in told] == [*NODDERS, "broken.glb"]
    assert told[-1]["error"].startswith("broken.glb skipped: ")
    for one in told[:-1]:
        top = np.array(one["top_m"])
        x, y, z = top.T
        assert np.allclose(np.abs(y), 0.2, atol=1e-3), one["file"]
        assert np.allclose(np.hypot(x, z - 0.75), np.hypot(0.5, 0.75), atol=2e-3), one["file"]
        angle = np.arctan2(x, z - 0.75)
        swing = angle - angle.min()
        # 24 frames at 24 a second are 15 of ours: the same pose each second, the far one between.
        assert np.isclose(swing.max(), 0.3, atol=0.01), one["file"]
        assert np.allclose(swing[:15], swing[15:30], atol=2e-3), one["file"]
        assert np.allclose(top, told[0]["top_m"], atol=0.02), one["file"]
    assert not both["shared"]
    assert both["names"] == ["Nod", "Nod"]


@pytest.mark.processes
def test_what_bones_are_drawn_as_is_no_part_of_a_subject(in_blender, tmp_path):
    """Blender's importer of .glb adds a ball of two metres to every skeleton."""
    told = in_blender(f"{HERE}/rigged.py", str(tmp_path))
    assert [one["file"] for one in told] == ["figure.blend", "plain.glb"]
    for one in told:
        assert one["low_m"] == pytest.approx(0.0, abs=1e-4), one
        assert one["high_m"] == pytest.approx(1.75, abs=1e-4), one
        assert len(one["shown"]) == 1, one


@pytest.mark.processes
def test_a_set_of_the_users_own(library, tmp_path, capsys):
    out = tmp_path / "own"
    code = main(
        [
            "render",
            "--fast",
            "--scenes",
            "2",
            "--cameras",
            "2",
            "--frames",
            "3",
            "--out",
            str(out),
            "--samples",
            "1",
            "--assets",
            str(library),
            "--locations",
            str(library),
            "--passes",
            "mask,depth",
            "--device",
            "cpu",
            "--seed",
            "3",
        ]
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "missing.fbx skipped" in said.out
    for number in (1, 2):
        folder = out / f"train/f24_aperture5/scene{number}"
        scene = json.loads((folder / "scene.json").read_text())
        assert scene["caption"].startswith("a red nodder walks across a test yard")
        subject = scene["subjects"][0]
        assert subject["details"] in NODDERS
        assert 1.4 < subject["height_m"] < 1.9  # 3 units at 0.5, nodding
        for k, camera in enumerate(scene["cameras"], 1):
            mask = np.load(folder / "mask" / f"cam{k:02d}.npy")
            assert 0.005 < (mask == 1).mean() < 0.6, camera["name"]
