# SPDX-License-Identifier: Apache-2.0
"""Views spread over two gloo processes, started by torchrun: exact, also for odd counts."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from syncam_engine.cli import main
from syncam_engine.link.rig_json import write_rig
from syncam_engine.model.view_parallel import ViewGroup, shares
from syncam_engine.sampling.pipeline import load_pipeline
from tests.sampling.tiny import make_request, make_rig, write_tiny

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=400,
        check=False,
    )  # fmt: skip


def test_shares():
    assert shares(5, 2) == [slice(0, 3), slice(3, 5)]
    assert shares(2, 3) == [slice(0, 1), slice(1, 2), slice(2, 2)]


@pytest.mark.processes
def test_spread_is_exact(tmp_path):
    # 3 latent frames on 2 ranks, and 3 views: nothing divides evenly.
    cases = [
        "paper,full,2,text", "released,full,3,text", "released,epipolar,3,text",
        "paper,full,3,reference", "released,full,4,pairs", "paper,geometric,3,reference",
        "released,geometric,3,parted",
    ]  # fmt: skip
    result = torchrun("-m", "tests.sampling.spread_worker", str(tmp_path), *cases)
    assert result.returncode == 0, result.stderr[-3000:]
    files = sorted(tmp_path.glob("rank*.txt"))
    lines = [line.split() for path in files for line in path.read_text().splitlines()]
    assert sorted((line[0], line[1]) for line in lines) == sorted(
        (case, str(rank)) for case in cases for rank in range(2)
    )
    for case, _, difference, largest in lines:
        assert float(difference) < 2e-5 * max(1.0, float(largest)), case
        assert float(largest) > 0.05


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["text", "previz", "reference"])
def test_torchrun_makes_the_same_clips(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("SYNCAM_PLACEMENT", "matmul_dtype=float32")
    preset = write_tiny(tmp_path / "tiny")
    rig = make_rig(3)
    write_rig(rig, tmp_path / "rig.json")
    pictures = np.random.default_rng(6).integers(0, 255, (3, 96, 160, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for picture, path in zip(pictures, paths, strict=True):
        Image.fromarray(picture).save(path)
    stills = np.repeat(pictures[:, None], 9, axis=1)
    options, given = {
        "text": ([], {}),
        "previz": (
            ["--previz", *paths, "--previz-strength", "0.6"],
            {"start_clips_VTHW3": stills},
        ),
        "reference": (["--reference", paths[0]], {"reference_clip_THW3": stills[0]}),
    }[mode]
    result = torchrun(
        "-m", "syncam_engine.cli", "spread", "--rig", str(tmp_path / "rig.json"),
        "--prompt", "a red dog runs", "--out", str(tmp_path / "out.npz"),
        "--preset", str(preset), "--device", "cpu", "--seed", "7",
        "--steps", "3", "--frames", "9", "--guidance", "2", *options,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    with np.load(tmp_path / "out.npz") as made:
        clips, names = made["clips"], list(made["cameras"])
    alone = load_pipeline(str(preset), "cpu").generate(make_request(rig, mode=mode), **given)
    assert names == [camera.name for camera in rig.cameras]
    assert np.abs(clips.astype(int) - alone).max() <= 1


def test_more_ranks_than_views_is_said(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="2 ranks share 1 views; use at most 1"):
        ViewGroup.current(1)


def test_spread_alone_is_told_to_be_started_by_torchrun(monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    assert main(["spread", "--rig", "rig.json", "--prompt", "a dog", "--out", "o.npz"]) == 2
    assert "  fix: torchrun --nproc-per-node N -m" in capsys.readouterr().err


def test_spread_has_the_options_of_generate():
    options = {}
    for verb in ("spread", "generate"):
        parser = argparse.ArgumentParser()
        importlib.import_module(f"syncam_engine.commands.{verb}").configure(parser)
        options[verb] = {word for action in parser._actions for word in action.option_strings}
    assert options["spread"] - options["generate"] == {"--device"}
