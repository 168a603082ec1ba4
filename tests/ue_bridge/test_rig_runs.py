# SPDX-License-Identifier: Apache-2.0
"""`--engine unreal` from the command line to finished scenes, with an editor that paints."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from unreal_rig_content import LIBRARY, WORLD

from syncam_engine.data.syncamvideo import SynCamVideo, parse_matrix, unreal_to_c2w_cv_m
from syncam_engine.link.errors import SynCamError
from syncam_engine.media.read import read_clip
from syncam_engine.rendering.unreal import run

HERE = Path(__file__).resolve().parent


@pytest.fixture
def farm(tmp_path, monkeypatch):
    """A project, a fake editor and the options of a small run."""
    project = tmp_path / "Stage" / "Stage.uproject"
    project.parent.mkdir()
    project.write_text("{}")
    (tmp_path / "library.json").write_text(json.dumps(LIBRARY))
    editor = tmp_path / "UnrealEditor-Cmd"
    editor.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fake_editor.py"}" "$@"\n')
    editor.chmod(0o755)
    world = tmp_path / "world.json"
    monkeypatch.setenv("FAKE_UNREAL", str(world))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))

    def make(scenes=1, **faults):
        world.write_text(json.dumps({**WORLD, **faults}))
        parser = argparse.ArgumentParser()
        run.add_options(parser)
        args = parser.parse_args(
            ["--unreal-editor", str(editor), "--unreal-project", str(project),
             "--unreal-library", str(tmp_path / "library.json"), "--unreal-cameras-at-once", "4"]
        )  # fmt: skip
        spec = {
            "scenes": scenes, "cameras": 5, "frames": 6, "width_px": 64, "height_px": 40, "fps": 15,
            "seed": 3, "out": str(tmp_path / "out"), "radius_m": [3.5, 9.0], "samples": 4,
            "elevation_deg": [0.0, 45.0], "focal_mm": [24.0, 24.0], "subjects": [1, 2],
        }  # fmt: skip
        return spec, args

    make.out = tmp_path / "out" / "train" / "f24_aperture5"
    make.work = tmp_path / "out" / ".unreal"
    make.renders = lambda: [int(x) for x in (project.parent / "renders.log").read_text().split()]
    return make


@pytest.mark.processes
def test_a_run_end_to_end(farm):
    assert run.render(*farm(scenes=2)) == 0
    assert sorted(p.name for p in farm.out.iterdir()) == ["scene1", "scene2"]
    assert not list(farm.work.iterdir()), "nothing of the work is left"
    assert farm.renders() == [4, 1, 4, 1], "batches of at most four cameras"
    source = SynCamVideo(farm.out.parent)
    assert len(source.scenes) == 2
    assert (farm.out.parents[1] / "manifest.parquet").is_file()
    assert set(json.loads((farm.out.parent / "rotation_data.json").read_text())) == {
        "scene1",
        "scene2",
    }
    for name in ("scene1", "scene2"):
        folder = farm.out / name
        data = json.loads((folder / "scene.json").read_text())
        assert data["center_m"][1] == pytest.approx({"/Game/Maps/Plaza": 3.0}.get(
            data["place"]["kind"], -0.5))  # fmt: skip
        assert set(data["files"]) >= {"videos/cam01.mp4", "cameras/rotations.json"}
        document = json.loads((folder / "cameras" / "camera_extrinsics.json").read_text())
        assert list(document) == [f"frame{k}" for k in range(6)]
        clips = {}
        for camera in data["cameras"]:
            read_back = unreal_to_c2w_cv_m(parse_matrix(document["frame0"][camera["name"]]))
            assert np.abs(read_back - np.array(camera["c2w_cv_m"])).max() < 1e-6
            clip = read_clip(folder / "videos" / f"{camera['name']}.mp4")
            assert clip.frames_THW3.shape == (6, 40, 64, 3)
            assert clip.fps == 15
            clips[camera["name"]] = clip.frames_THW3.mean(axis=(1, 2))
        assert len({tuple(c.round().ravel()) for c in clips.values()}) == 5, "each its own pictures"


@pytest.mark.processes
def test_a_second_run_does_nothing_and_an_interrupted_one_goes_on(farm):
    args = farm(die_at_camera="cam05")
    assert run.render(*args) == 1
    assert not farm.out.exists() or not list(farm.out.iterdir())
    kept = sorted(p.name for p in (farm.work / "scene1" / "frames").iterdir())
    assert kept == ["cam01", "cam02", "cam03", "cam04"]
    before = len(farm.renders())
    assert run.render(*farm()) == 0
    assert farm.renders()[before:] == [1], "only the batch that was missing was rendered again"
    count = len(farm.renders())
    assert run.render(*farm()) == 0
    assert len(farm.renders()) == count


@pytest.mark.processes
def test_memory_that_is_short_halves_the_batch(farm):
    assert run.render(*farm(most_cameras=2)) == 0
    assert farm.renders() == [4, 2, 2, 1]


@pytest.mark.processes
def test_equal_pictures_and_build_faults_are_said(farm, capsys):
    assert run.render(*farm(same_picture=True)) == 1
    assert "the very same pictures" in capsys.readouterr().err
    assert run.render(*farm(maps=[])) == 1
    assert "cannot be loaded" in capsys.readouterr().err
    assert not farm.out.exists() or not list(farm.out.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-denoise"], "--no-denoise is for Blender's scenes: Unreal's pictures are not"),
        (["--threads", "3"], "--threads is for Blender's scenes"),
        (["--device", "gpu"], "--device is for Blender's scenes"),
        (["--passes", "rgb,depth"], "--passes is for Blender's scenes: Unreal renders rgb only."),
        (["--camera-motion", "orbit"], "--camera-motion .* Unreal's cameras are static."),
        (["--packed"], "--packed"), (["--stills"], "--packed"), (["--preview"], "--preview"),
        (["--places", "street"], "--places"), (["--workers", "2"], "--workers"),
        (["--cluster", "auto"], "--cluster"), (["--openjd", "job.yaml"], "--openjd"),
    ],
)  # fmt: skip
def test_what_unreal_cannot_is_refused_before_it_starts(farm, tmp_path, capsys, words, said):
    from syncam_engine import cli

    assert cli.main(command_line(farm, tmp_path) + words) != 0
    message = capsys.readouterr().err
    assert re.search(said, message)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "Stage" / "renders.log").exists()


def test_users_blender_content_is_refused(farm, tmp_path):
    spec, args = farm()
    for name in ("assets", "locations"):
        with pytest.raises(SynCamError, match=f"--{name} .*--unreal-library"):
            run.render({**spec, name: str(tmp_path)}, args)


def command_line(farm, tmp_path):
    """`syncam render --engine unreal` for a small scene."""
    _, args = farm()
    words = ["render", "--engine", "unreal", "--scenes", "1", "--cameras", "2", "--frames", "5"]
    words += ["--size", "64x40", "--samples", "1", "--out", str(tmp_path / "out")]
    for name, value in vars(args).items():
        if isinstance(value, str) and value:
            words += ["--" + name.replace("_", "-"), value]
    return words


@pytest.mark.processes
def test_the_command_line_reaches_it(farm, tmp_path):
    """`syncam render --engine unreal` with the terminal's own options."""
    from syncam_engine import cli

    assert cli.main(command_line(farm, tmp_path)) == 0
    assert (farm.out / "scene1" / "videos" / "cam02.mp4").is_file()


@pytest.mark.processes
def test_another_seed_does_not_reuse_the_pictures(farm):
    run.render(*farm(die_at_camera="cam05"))
    args = farm()
    args[0]["seed"] = 4
    assert run.render(*args) == 0
    assert farm.renders()[-2:] == [4, 1]
