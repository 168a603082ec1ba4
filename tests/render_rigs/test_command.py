# SPDX-License-Identifier: GPL-3.0-or-later
"""`syncam render` says what is wrong before anything starts."""

import argparse
import json
import sys

import numpy as np
import pytest

from syncam_engine.cli import main
from syncam_engine.commands import render as command
from syncam_engine.link.errors import SynCamError
from syncam_engine.rendering.run import RenderRun


def spec(*words):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.job_spec(parser.parse_args(["--out", "x", *words]))


def test_defaults_are_the_papers_set():
    made = spec()
    assert (made["scenes"], made["cameras"], made["frames"], made["fps"]) == (500, 36, 100, 15)
    assert (made["width_px"], made["height_px"], made["seed"]) == (672, 384, 7)
    assert made["radius_m"] == (3.5, 9.0)
    assert made["elevation_deg"] == (0.0, 45.0)
    assert made["subjects"] == (1, 2)


def test_stills_are_packed_and_passes_always_hold_rgb():
    made = spec("--fast", "--stills", "--passes", "depth,flow")
    assert made["packed"]
    assert made["frames"] == 1
    assert made["passes"] == ("rgb", "depth", "flow")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "161x96"), "162, 96"),
        (("--size", "161x96"), "even numbers, such as 162x96"),
        (("--fps", "0"), "at least 1"),
        (("--cameras", "0"), "cameras is 0; it must be at least 1"),
        (("--frames", "0"), "at least 1"),
        (("--samples", "0"), "at least 1"),
        (("--workers", "0"), "at least 1"),
        (("--size", "0x0"), "at least 1"),
        (("--assets", "/nowhere"), "assets.json"),
    ],
)
def test_impossible_options_are_named(words, said):
    with pytest.raises(SynCamError) as caught:
        spec(*words)
    assert said in f"{caught.value} {caught.value.nearest}"


def test_manifest_of_a_set_that_is_not_there_is_said(tmp_path, capsys):
    assert main(["render", "--collect", "--out", str(tmp_path / "s")]) == 2
    assert f"There is no set at {tmp_path / 's'}." in capsys.readouterr().err


@pytest.mark.parametrize(("words", "units"), [((), 2), (("--packed", "--per-shard", "2"), 1)])
def test_a_unit_that_the_set_has_not_is_refused(tmp_path, capsys, words, units):
    out = str(tmp_path / "s")
    assert main(["render", "--scenes", "2", "--out", out, "--unit", "3", *words]) == 2
    assert f"--unit is 3; this set has {units}" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "workbench", "--passes", "mask"), "workbench engine has no mask"),
        (("--engine", "eevee", "--passes", "flow"), "eevee engine has no flow"),
        (("--camera-motion", "barrel-roll"), "orbit"),
        (("--places", "plaza,moon"), "moon"),
    ],
)
def test_what_an_engine_cannot_do_is_said_before_it_starts(
    bpy_python, tmp_path, capsys, words, said
):
    code = main(["render", "--fast", "--scenes", "1", "--out", str(tmp_path / "s"), *words])
    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s").exists()  # else the right options were other ones
    if words[0] == "--places":
        (tmp_path / "mine" / "logs").mkdir(parents=True)
        for out in (tmp_path / "mine" / "new" / "s", tmp_path / "mine"):
            assert main(["render", "--fast", "--out", str(out), *words]) == 2
        assert [p.name for p in (tmp_path / "mine").rglob("*")] == ["logs"]


@pytest.mark.processes
def test_a_gpu_that_is_not_there_is_an_error(bpy_python, tmp_path, capsys, in_blender):
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"device": "auto", "out": str(tmp_path)}))
    device = next(
        line["device"]
        for line in in_blender("-m", "render_rigs.worker", str(job), "--check")
        if "device" in line
    )
    if device["kind"] != "CPU":
        pytest.skip(f"this machine has a GPU: {device}")
    code = main(
        ["render", "--fast", "--scenes", "1", "--device", "gpu", "--out", str(tmp_path / "s")]
    )
    assert code == 2
    assert "no GPU" in capsys.readouterr().err


@pytest.mark.parametrize(("scenes", "frames"), [(2, 10), (20, 100), (21, 105), (43, 215)])
def test_frames_of_a_packed_set_are_counted_by_its_scenes(tmp_path, scenes, frames):
    made = {**spec("--fast", "--stills", "--scenes", str(scenes)), "out": str(tmp_path)}
    run = RenderRun(made)
    assert sum(run.frames_of(unit) for unit in run.units()) == frames


@pytest.mark.processes
def test_a_set_keeps_to_the_renderer_that_began_it(bpy_python, tmp_path):
    made = {**spec("--fast", "--scenes", "1"), "out": str(tmp_path)}
    with RenderRun(made):
        pass
    changed = {**made, "renderer": "0.0.9+0123456789ab"}
    with pytest.raises(SynCamError, match=r"renderer was .*, now '0\.0\.9\+0123456789ab'"):
        RenderRun(changed).__enter__()


@pytest.mark.processes
def test_packed_sets_hold_the_passes_that_were_asked_for(bpy_python, tmp_path):
    words = ["--fast", "--stills", "--scenes", "2", "--cameras", "2", "--size", "96x64"]
    words += ["--places", "street", "--passes", "depth,albedo,mask", "--out", str(tmp_path)]
    assert main(["render", *words]) == 0
    with np.load(tmp_path / "shard-00000.npz") as shard:
        shapes = {name: (shard[name].dtype.name, shard[name].shape) for name in shard.files}
        frames, depth, mask = shard["frames"], shard["depth"], shard["mask"]
        albedo = shard["albedo"]
    assert shapes["depth"] == ("float16", (2, 2, 1, 64, 96))
    assert shapes["albedo"] == ("uint8", (2, 2, 1, 64, 96, 3))
    assert shapes["mask"] == ("uint8", (2, 2, 1, 64, 96))
    assert "normal" not in shapes
    for scene in range(2):
        for view in range(2):
            subject = mask[scene, view] == 1
            assert 20 < subject.sum() < 3000, "a figure stands in every view"
            assert 1.5 < np.median(depth[scene, view][subject].astype(float)) < 7.5
            assert np.abs(albedo[scene, view].astype(int) - frames[scene, view]).mean() > 3
    assert not np.array_equal(mask[:, 0], mask[:, 1])


@pytest.mark.processes
def test_two_runs_do_not_share_a_folder(bpy_python, tmp_path):
    made = {**spec("--fast", "--scenes", "1"), "out": str(tmp_path)}
    with RenderRun(made), pytest.raises(SynCamError, match="Another run"):
        RenderRun(made).__enter__()
    assert not (tmp_path / ".lock").exists()


@pytest.mark.processes
def test_a_unit_that_is_killed_by_a_stop_is_not_tried_again(tmp_path, monkeypatch):
    run = RenderRun(
        {**spec("--stills", "--scenes", "2", "--per-shard", "1"), "out": str(tmp_path)}, workers=2
    )
    run.log_folder.mkdir()
    started = tmp_path / "started"
    started.write_text("")
    worker = """
import pathlib, sys, time
started, target, unit = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
with started.open("a") as file:
    file.write(unit)
for _ in range(600):
    if unit == "0" and "1" in started.read_text():
        break
    time.sleep(0.05)
target.write_text("")
"""

    def command(_flag, unit):
        return [sys.executable, "-c", worker, str(started), str(run.target(int(unit))), unit]

    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "command", command)
    monkeypatch.setattr(run, "_say_progress", stop)  # called when unit 0 is done
    with pytest.raises(KeyboardInterrupt):
        run.all()
    assert sorted(started.read_text()) == ["0", "1"]
    assert not run.target(1).exists()
