# SPDX-License-Identifier: Apache-2.0
"""The loop itself: what it reckons before the start, its chance, its readers, what may change."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import BrokenFile
from syncam_engine.link.errors import SynCamError
from syncam_engine.preview.train_autoencoder import AutoencoderTask
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import config_from_dict
from syncam_engine.training.trainer import Trainer
from tests.data.synthetic import BoxSource

pytestmark = pytest.mark.usefixtures("one_thread")


def make_trainer(folder: Path, said=None, source=None, workers=0, **optim) -> Trainer:
    document = {
        "name": "loop",
        "kind": "autoencoder",
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            **{"views": 2, "frames": 5, "width": 64, "height": 32, "workers": workers},
        },
        "phases": [{"until_step": 4, "stills": 0.5}, {"until_step": 7}],
        "autoencoder": {
            **{"z_channels": 6, "width": 8, "encoder_blocks": 1, "decoder_blocks": 1},
            "pca_clips": 2,
        },
        "optim": optim,
        "run": {"device": "cpu", "checkpoint_minutes": 0},
    }
    config = config_from_dict(TrainConfig, document, "")
    mixture = Mixture([(source or BoxSource(), 1.0)], seed=1, width_px=64, height_px=32)
    say = said.append if said is not None else lambda text: None
    return Trainer(config, AutoencoderTask(config, mixture), mixture, folder, say=say)


def test_time_is_reckoned_over_every_micro_batch_to_come(tmp_path, monkeypatch):
    counts = []

    class Reckoned:
        def sentence(self) -> str:
            return ""

    def estimate(model, averaged, device, probes):
        counts.append([count for _, count in probes])
        return Reckoned()

    monkeypatch.setattr("syncam_engine.training.trainer.estimate", estimate)
    make_trainer(tmp_path, accumulation=3).train(until=2)
    make_trainer(tmp_path, accumulation=3).train()
    # Stills and clips: 2 steps of the first phase, then 2 of it and 3 of the second.
    assert counts == [[3, 3], [3, 3 + 9]]


def test_what_is_dropped_has_other_numbers_than_the_noise(tmp_path):
    trainer = make_trainer(tmp_path, accumulation=2)
    prepare, loss, seeds = trainer.task.prepare, trainer.task.loss, []

    def watched_prepare(samples, generator):
        seeds.append(generator.initial_seed())
        return prepare(samples, generator)

    def watched_loss(model, batch):
        seeds.append(torch.initial_seed())
        return loss(model, batch)

    trainer.needs = lambda last: ""
    trainer.task.prepare, trainer.task.loss = watched_prepare, watched_loss
    trainer.train(until=3)
    assert len(seeds) == len(set(seeds)) == 12


class GoneInReaders(BoxSource):
    """Can be read where the run starts, and no more in its reader processes."""

    def read_pictures(self, scene, cameras, frames):
        if multiprocessing.parent_process() is not None:
            raise BrokenFile("shard-3", "the disk went away")
        return super().read_pictures(scene, cameras, frames)


@pytest.mark.processes
def test_a_fault_in_a_reader_process_is_its_own_sentence(tmp_path):
    trainer = make_trainer(tmp_path, source=GoneInReaders(), workers=1)
    with pytest.raises(SynCamError, match="20 scenes in a row cannot be read") as error:
        trainer.train()
    assert error.value.code == "data.broken"
    assert "shard-3 (the disk went away)" in str(error.value)


@pytest.mark.processes
@pytest.mark.parametrize("workers", [0, 2])
def test_broken_files_that_readers_meet_are_counted_and_named_once(tmp_path, workers):
    said = []
    source = BoxSource(scenes=6, broken=(1, 4))
    trainer = make_trainer(tmp_path, said, source, workers)
    trainer.train()
    # Each reader process has met them by itself.
    assert len(trainer.broken) == len(source.broken) == 2
    for number in (1, 4):
        named = [line for line in said if f"scene-{number:05d}.tar: cut short" in line]
        assert len(named) == 1
    assert said[-1].startswith("2 broken files skipped: ")


def test_options_of_the_optimiser_may_change_between_sessions(tmp_path):
    make_trainer(tmp_path, weight_decay=0.1).train(until=2)
    later = make_trainer(tmp_path, weight_decay=0.3, betas=[0.5, 0.6])
    assert {g["weight_decay"] for g in later.optimizer.param_groups} == {0.3}
    assert {tuple(g["betas"]) for g in later.optimizer.param_groups} == {(0.5, 0.6)}
    moments = later.optimizer.state_dict()["state"]
    assert {float(m["step"]) for m in moments.values()} == {2.0}


def test_averages_may_begin_later(tmp_path):
    said = []
    make_trainer(tmp_path).train(until=2)
    later = make_trainer(tmp_path, said, ema_decay=0.9)
    assert "the averaged weights begin at step 2" in said
    for name, parameter in later.net.named_parameters():
        assert torch.equal(later.averaged.tensors[name], parameter)
    later.train(until=4)
    assert not [text for text in said if "begin at step 4" in text]
    again = make_trainer(tmp_path, said, ema_decay=0.9)
    assert not [text for text in said if "begin at step 4" in text]
    for name, tensor in later.averaged.tensors.items():
        assert torch.equal(again.averaged.tensors[name], tensor)


def test_until_step_0_trains_nothing(tmp_path):
    assert make_trainer(tmp_path).train(until=0).losses == []


def test_the_two_newest_checkpoints_are_kept(tmp_path):
    trainer = make_trainer(tmp_path)
    for step in (1, 2, 3, 4):
        trainer.train(until=step)
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == ["step-00000003", "step-00000004"]


def test_a_sheet_is_drawn_by_a_network_that_drops_nothing(tmp_path):
    trainer, modes = make_trainer(tmp_path), []
    trainer.on_sheet = lambda net, step, path: modes.append([m.training for m in net.modules()])
    trainer.net.train()
    trainer.draw_sheet()
    assert not any(modes[0])
    assert all(m.training for m in trainer.net.modules())


def test_each_part_learns_at_its_share_of_the_rate(tmp_path):
    trainer = make_trainer(tmp_path, learning_rate=2e-3)
    trainer.train(until=1)
    rates = {g["rate_share"]: g["lr"] for g in trainer.optimizer.param_groups}
    assert rates == {1.0: pytest.approx(2e-3), 0.1: pytest.approx(2e-4)}
