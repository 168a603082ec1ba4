# SPDX-License-Identifier: Apache-2.0
"""`syncam train` killed with SIGKILL, whatever it is doing, and started again: the same run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from syncam_engine.cli import main
from syncam_engine.preview.autoencoder import PatchAutoencoder, PatchAutoencoderConfig
from syncam_engine.training.checkpoint import checkpoints, latest_or_none, wait_for_next_second
from tests.data.files import write_shard
from tests.data.synthetic import BoxSource

KILLS = 3
PATIENCE_S = 240


@pytest.fixture
def config(tmp_path) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(4)
    (tmp_path / "shards").mkdir()
    (tmp_path / "coder").mkdir()
    write_shard(tmp_path / "shards" / "shard-00000.npz", BoxSource(scenes=3, cameras=4, frames=5))
    PatchAutoencoder(PatchAutoencoderConfig(z_channels=6, width=16)).save(tmp_path / "coder")
    document = {
        "name": "killed",
        "data": {
            "sources": [{"kind": "rendered", "path": str(tmp_path / "shards")}],
            "views": 2,
            "frames": 5,
            "width": 64,
            "height": 32,
            "workers": 1,
        },
        # Far more steps than will be done: the run is ended by the kill and by --until alone.
        "phases": [{"until_step": 100000, "stills": 0.5, "batch": 1, "stills_batch": 2}],
        "model": {
            "transformer": {
                "num_attention_heads": 2,
                "attention_head_dim": 16,
                "num_layers": 1,
                "ffn_dim": 48,
                "in_channels": 6,
                "text_dim": 32,
            },
            "autoencoder": str(tmp_path / "coder"),
        },
        "flow": {"prediction": "x0"},
        "conditioning": {"text_dropout": 0.2, "reference": 0.4},
        "optim": {"learning_rate": 1e-3, "ema_decay": 0.9, "accumulation": 2},
        "run": {"device": "cpu", "checkpoint_minutes": 0, "checkpoint_steps": 3, "log_steps": 1},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def train_and_kill(config: Path, run: Path, more_steps: int, wait_s: float) -> None:
    """Start the command, wait for some steps in its log and a moment more, and kill it."""
    log = run / "log.jsonl"

    def steps_done() -> int:
        return len(log.read_text().splitlines()) if log.is_file() else 0

    # What the log holds beyond the last checkpoint is dropped when the run goes on.
    found = latest_or_none(run / "checkpoints")
    goal = (int(found.name.removeprefix("step-")) if found else 0) + more_steps
    with (run.parent / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "syncam_engine.cli", "train", str(config)),
                *("--out", str(run), "--threads", "1"),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        before = steps_done()
        while steps_done() < goal or steps_done() == before:
            assert process.poll() is None, (run.parent / "said.txt").read_text()
            assert time.monotonic() < deadline, "the run does not get on"
            time.sleep(0.01)
        time.sleep(wait_s)
    finally:
        # The reader process goes too: it is of the same group.
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    assert code == -signal.SIGKILL


def curve(run: Path) -> dict[int, float]:
    """Loss of every step, 32 bits, as TensorBoard shows it."""
    events = EventAccumulator(str(run / "curves"), size_guidance={"scalars": 0})
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars("loss")]
    assert len(points) == len(dict(points)), "a step stands twice"
    return dict(points)


@pytest.mark.processes
@pytest.mark.timeout(1200)  # five starts of the command, on a machine that may be busy
def test_a_run_killed_at_random_moments_has_the_same_curve_and_weights(config, tmp_path):
    chance = random.Random()  # Another moment each time: whichever it is, the outcome is one.
    killed, whole = tmp_path / "killed" / "run", tmp_path / "whole" / "run"
    killed.parent.mkdir()
    moments = [(chance.randint(1, 9), chance.uniform(0.0, 0.2)) for _ in range(KILLS)]
    for more_steps, wait_s in moments:
        train_and_kill(config, killed, more_steps, wait_s)
    found = latest_or_none(killed / "checkpoints")
    last = (int(found.name.removeprefix("step-")) if found else 0) + 4
    for run in (killed, whole):
        assert main(["train", str(config), "--out", str(run), "--until", str(last)]) == 0
    assert curve(killed) == curve(whole), moments
    assert sorted(curve(whole)) == list(range(1, last + 1))
    for name in ("model", "ema"):
        ends = [load_file(checkpoints(r / "checkpoints")[-1] / f"{name}.safetensors")
                for r in (killed, whole)]  # fmt: skip
        assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[1]), (name, moments)
    logs = [[json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()]
            for r in (killed, whole)]  # fmt: skip
    assert [line["loss"] for line in logs[0]] == [line["loss"] for line in logs[1]]
    assert not list((killed / "checkpoints").glob(".partial-*"))


def test_curves_of_a_run_that_goes_on_at_once_are_read_after_the_first(tmp_path):
    """Files are read by name: within one second the lower process number would come first."""
    second = int(time.time())
    (tmp_path / f"events.out.tfevents.{second:010d}.host.99999.0").touch()
    wait_for_next_second(tmp_path)
    assert int(time.time()) > second
    wait_for_next_second(tmp_path / "none yet")
