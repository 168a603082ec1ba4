# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from syncam_engine.link import poses, rig_json
from syncam_engine.link.environments import PROJECT_ROOT
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera, fit_rig
from syncam_engine.link.rig import Rig

from .conftest import make_camera


def test_relative_poses_put_the_anchor_at_the_identity(rig):
    relative = rig.relative_c2w_cv_m()
    np.testing.assert_allclose(relative[1], np.eye(4), atol=1e-12)
    expected = np.linalg.inv(np.array(rig.cameras[1].c2w_cv_m)) @ np.array(rig.cameras[2].c2w_cv_m)
    np.testing.assert_allclose(relative[2], expected, atol=1e-12)


def test_a_moving_anchor_is_compared_at_the_same_instant():
    path = tuple(poses.look_at_c2w_cv_m((4 + k, 1, 2), (0, 0, 1)) for k in range(3))
    other = poses.look_at_c2w_cv_m((0, 5, 1), (0, 0, 1))
    rig = Rig(cameras=(make_camera(c2w_cv_m=path), make_camera("still", c2w_cv_m=other)))
    for k in range(3):
        expected = np.linalg.inv(np.array(path[k])) @ np.array(other)
        np.testing.assert_allclose(rig.relative_c2w_cv_m(k)[1], expected, atol=1e-12)
    assert rig.is_moving
    assert rig.at_frames([0, 2, 7]).cameras[0].c2w_cv_m == (path[0], path[2], path[2])


def test_reordering_keeps_who_the_anchor_is(rig):
    first = rig.with_anchor_first()
    assert [c.name for c in first.cameras] == ["east", "north", 'süd/3 "x"']
    assert first.anchor_camera == rig.anchor_camera
    assert rig.subset(['süd/3 "x"', "east"]).anchor == 1
    assert rig.subset(["north"]).anchor == 0
    with pytest.raises(SynCamError, match="'west'"):
        rig.subset(["west"])


def test_a_rig_file_gives_the_same_rig_back(rig, tmp_path):
    path = rig_json.write_rig(rig, tmp_path / "deep" / "rig.json")
    assert rig_json.read_rig(path) == rig
    assert [p.name for p in path.parent.iterdir()] == ["rig.json"]
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["fps"] == [24000, 1001]
    assert data["anchor"] == "east"
    moving = Rig(
        cameras=(make_camera(c2w_cv_m=(rig.cameras[0].c2w_cv_m, rig.cameras[1].c2w_cv_m)),)
    )
    assert rig_json.loads(rig_json.dumps(moving)) == moving


def test_the_rig_by_hand_of_the_conventions_page_loads():
    page = (PROJECT_ROOT / "docs" / "conventions.md").read_text("utf-8")
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    front, left = rig_json.loads(text).cameras
    for camera in (front, left):
        u, v, depth = camera.project((0.0, 0.0, 1.0))
        assert (u, v, depth) == pytest.approx((416, 240, 4.0))
        # What is higher in the world is higher in the picture; the first camera's right is +Y.
        assert camera.project((0.0, 0.0, 1.5))[1] < 240
    assert front.project((0.0, 1.0, 1.0))[0] > 416
    assert left.project((1.0, 0.0, 1.0))[0] < 416


@pytest.mark.parametrize(
    ("fps", "read"), [(15, 15), (29.97, "2997/100"), ([24000, 1001], "24000/1001")]
)
def test_frames_a_second_may_be_a_number(rig, fps, read):
    data = json.loads(rig_json.dumps(rig))
    assert rig_json.rig_from_dict({**data, "fps": fps}).fps == Fraction(read)


@pytest.mark.parametrize("fps", ["fast", None, True, [15], [15, 1, 1], [1, 0], [1.5, 1], {}])
def test_frames_a_second_that_are_none_are_told_in_words(rig, fps):
    data = json.loads(rig_json.dumps(rig))
    with pytest.raises(SynCamError, match="must be a number of frames a second, or") as caught:
        rig_json.rig_from_dict({**data, "fps": fps})
    assert caught.value.code == "rig.fps"


def test_a_doubled_name_is_said_before_what_else_is_wrong_with_its_cameras(rig):
    data = json.loads(rig_json.dumps(rig))
    data["cameras"][1].update(name="north", K=[[1, 0], [0, 1]])
    with pytest.raises(SynCamError, match="Two cameras are named 'north'"):
        rig_json.rig_from_dict(data)


def test_a_rendered_scene_is_the_rig_of_its_cameras(rig, tmp_path):
    plain = rig_json.rig_to_dict(rig)["cameras"]
    cameras = [{k: c[k] for k in ("name", "K", "c2w_cv_m", "near_m", "far_m")} for c in plain]
    scene = {
        "format": "syncam-scene",
        "version": 1,
        "scene": 7,
        "fps": 24,
        "width_px": 161,
        "height_px": 97,
        "cameras": cameras,
    }
    path = tmp_path / "scene.json"
    path.write_text(json.dumps(scene))
    read = rig_json.read_rig(path)
    assert read.cameras == rig.cameras
    assert (read.fps, read.anchor, read.source) == (24, 0, "rendered scene 7")
    for change, words in (({"version": 2}, "of version 2"), ({"cameras": [3]}, "cannot be read")):
        path.write_text(json.dumps({**scene, **change}))
        with pytest.raises(SynCamError, match=f"scene.json: .*{words}"):
            rig_json.read_rig(path)
    del scene["fps"]
    path.write_text(json.dumps(scene))
    with pytest.raises(SynCamError, match="field 'fps' is missing"):
        rig_json.read_rig(path)


def test_a_moving_rig_gives_a_pose_for_each_picture_of_a_clip():
    path = tuple(poses.look_at_c2w_cv_m((4 + k, 1, 2), (0, 0, 1)) for k in range(11))
    rig = Rig(cameras=(make_camera(c2w_cv_m=path), make_camera("still")), fps=Fraction(30))
    clip = rig.for_clip(5, Fraction(15))
    assert clip.cameras[0].c2w_cv_m == path[0:9:2]
    assert (clip.cameras[1], clip.fps) == (rig.cameras[1], 15)
    # Not enough of them, or just as many: for whoever asked to judge.
    assert rig.for_clip(7, Fraction(15)) is rig
    assert rig.for_clip(11, Fraction(8)) is rig


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.update(format="other"), "rig.format"),
        (lambda d: d.update(version=9), "rig.version"),
        (lambda d: d.update(cameras=[]), "rig.empty"),
        (lambda d: d.update(anchor="nobody"), "rig.anchor"),
        (lambda d: d.update(fps=[1, 0]), "rig.fps"),
        (lambda d: d.update(fps=float("inf")), "rig.fps"),
        (lambda d: d["cameras"][0].update(near_m=10**400), "rig.format"),
        (lambda d: d["cameras"][0].pop("K"), "rig.format"),
        (lambda d: d["cameras"][0].update(name="east"), "rig.names"),
        (lambda d: d["cameras"][2]["c2w_cv_m"][1].__setitem__(2, float("nan")), "camera.matrix"),
        (lambda d: d.update(cameras=7), "rig.format"),
    ],
)
def test_a_bad_rig_file_is_one_sentence_with_the_files_name(rig, tmp_path, change, code):
    data = json.loads(rig_json.dumps(rig))
    change(data)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(SynCamError) as caught:
        rig_json.read_rig(path)
    assert caught.value.code == code
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[" * 100000, "{}", "null", "\x00"])
def test_text_that_is_no_rig_is_refused(text):
    with pytest.raises(SynCamError, match="rig"):
        rig_json.loads(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SynCamError, match=r"nowhere\.json"):
        rig_json.read_rig(tmp_path / "nowhere.json")


@pytest.mark.parametrize("rule", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(160, 96), (64, 200), (322, 194)])
def test_fitting_moves_every_pixel_as_the_picture_moves(rule, size):
    camera = make_camera()
    fitted = fit_camera(camera, *size, rule)
    point = (0.5, -0.1, 1.2)
    u, v, depth = camera.project(point)
    fu, fv, fdepth = fitted.camera.project(point)
    assert fdepth == depth
    # The same point, as fractions of the part of the picture that both show.
    source, plate = fitted.source, fitted.plate
    in_source = [
        (u / 161 - source[0]) / (source[2] - source[0]),
        (v / 97 - source[1]) / (source[3] - source[1]),
    ]
    in_plate = [
        (fu / size[0] - plate[0]) / (plate[2] - plate[0]),
        (fv / size[1] - plate[1]) / (plate[3] - plate[1]),
    ]
    assert in_source == pytest.approx(in_plate)
    assert fitted.camera.K[0][0] == pytest.approx(fitted.camera.K[1][1])
    if rule == "crop":
        assert plate == pytest.approx((0, 0, 1, 1))
    else:
        assert source == pytest.approx((0, 0, 1, 1))


def test_an_unknown_fit_rule_names_the_known_ones():
    with pytest.raises(SynCamError, match="crop, letterbox"):
        fit_camera(make_camera(), 10, 10, "stretch")


def test_fps_is_exact_and_bounded(rig):
    assert rig.fps == Fraction(24000, 1001)
    with pytest.raises(SynCamError, match="frames a second"):
        Rig(cameras=rig.cameras, fps=Fraction(0))


@pytest.mark.processes
def test_the_ground_floor_needs_no_heavy_module():
    """A host's Python has no torch, numpy or bpy: none may be imported, nor even found."""
    code = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'bpy', 'unreal', 'diffusers'): sys.modules[name] = None\n"
        "import syncam_engine.link, pkgutil, importlib\n"
        "names = [m.name for m in pkgutil.iter_modules(syncam_engine.link.__path__)]\n"
        "for name in names: importlib.import_module('syncam_engine.link.' + name)\n"
        "print(len(names))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 9


def test_a_fitted_rig_has_each_camera_at_the_models_size(rig):
    """All but the size and `K` stays, the anchor too."""
    fitted = fit_rig(rig, 48, 64, "letterbox")
    assert fitted.cameras == tuple(
        fit_camera(camera, 48, 64, "letterbox").camera for camera in rig.cameras
    )
    assert replace(fitted, cameras=rig.cameras) == rig
