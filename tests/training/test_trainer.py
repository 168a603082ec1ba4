# SPDX-License-Identifier: Apache-2.0
"""The trainer end to end on made-up scenes: learns, resumes exactly, refuses what it must."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from syncam_engine.link.errors import SynCamError
from syncam_engine.training.checkpoint import checkpoints, latest_or_none
from syncam_engine.training.multiview import MultiViewTask
from syncam_engine.training.runs import averaged_tensors, export
from syncam_engine.training.trainer import learning_rate
from tests.training.small_runs import SMALL, autoencoder_config, make_trainer, multiview_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_killed_run_resumes_exactly(tmp_path, autoencoder_folder):
    whole = make_trainer(tmp_path / "whole", autoencoder_folder)
    curve = whole.train().losses
    first = make_trainer(tmp_path / "parts", autoencoder_folder).train(until=3)
    second = make_trainer(tmp_path / "parts", autoencoder_folder)
    assert second.state.step == 3
    rest = second.train()
    assert first.losses + rest.losses == curve
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, second.net.state_dict()[name]), name
    for name, tensor in whole.averaged.tensors.items():
        assert torch.equal(tensor, second.averaged.tensors[name]), name


def test_only_new_parameters_learn(tmp_path, autoencoder_folder):
    model = {"transformer": SMALL, "autoencoder": str(autoencoder_folder), "trainable": "new"}
    trainer = make_trainer(tmp_path, autoencoder_folder, model=model)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.train(until=4)
    changed = {k for k, v in trainer.net.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(".mvs." in name for name in changed)


def test_a_loss_that_is_not_a_number_stops_and_names_the_sample(tmp_path, autoencoder_folder):
    trainer = make_trainer(tmp_path, autoencoder_folder)
    plain = trainer.task.prepare

    def poisoned(samples, generator):
        batch = plain(samples, generator)
        if trainer.state.step == 2:
            batch.z0_BVCFHW[0, 0] = math.nan
        return batch

    trainer.task.prepare = poisoned
    with pytest.raises(SynCamError, match=r"step 2, samples boxes/scene-\d+") as caught:
        trainer.train()
    assert caught.value.code == "training.nan"
    found = checkpoints(tmp_path / "checkpoints")
    assert [p.name for p in found] == ["step-00000002"]
    resumed = make_trainer(tmp_path, autoencoder_folder)
    assert all(torch.isfinite(v).all() for v in resumed.net.state_dict().values())


def test_a_kill_while_a_checkpoint_of_the_same_step_is_replaced(
    tmp_path, autoencoder_folder, monkeypatch
):
    trainer = make_trainer(tmp_path, autoencoder_folder, run={"keep_checkpoints": 1})
    trainer.train(until=2)
    plain, moved = Path.rename, []

    def killed_at_the_second(self, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        return plain(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            trainer.save()
    resumed = make_trainer(tmp_path, autoencoder_folder, run={"keep_checkpoints": 1})
    assert resumed.state.step == 2
    for name, tensor in trainer.net.state_dict().items():
        assert torch.equal(tensor, resumed.net.state_dict()[name]), name
    resumed.save()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def test_checkpoint_of_another_config_is_refused(tmp_path, autoencoder_folder):
    make_trainer(tmp_path, autoencoder_folder).train(until=2)
    with pytest.raises(SynCamError, match="another config"):
        make_trainer(tmp_path, autoencoder_folder, seed=4)


@pytest.mark.parametrize(
    ("run", "processes", "words"),
    [
        ({"strategy": "ddp", "device": "cpu"}, 1, "ddp; this run has one process"),
        ({"strategy": "single", "device": "cpu"}, 2, "a single process; 2 were started"),
        ({"strategy": "fsdp", "device": "cpu"}, 2, "over GPUs; it also asks for the cpu"),
        ({"strategy": "fsdp"}, 2, "over GPUs; this machine has none"),
        ({"device": "cuda"}, 1, "asks for cuda; this machine has no usable GPU"),
    ],
)
def test_a_strategy_that_the_machine_has_not_is_refused(
    tmp_path, autoencoder_folder, monkeypatch, run, processes, words
):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SynCamError, match=words):
        make_trainer(tmp_path, autoencoder_folder, run=run)


def test_what_shards_cannot_do_is_refused(autoencoder_folder):
    with pytest.raises(SynCamError, match="sheet_steps is 5; it must be 0 with strategy fsdp"):
        multiview_config(autoencoder_folder, run={"strategy": "fsdp", "sheet_steps": 5})
    with pytest.raises(SynCamError, match="single or ddp for kind autoencoder"):
        autoencoder_config(run={"strategy": "fsdp"})


def test_memory_and_time_are_said_first(tmp_path, autoencoder_folder):
    said = []
    make_trainer(tmp_path, autoencoder_folder, said=said).train(until=2)
    assert said[0] == "measuring memory and time by one pass of each kind of batch"
    assert "M parameters" in said[1]
    assert "GiB" in said[1]
    assert [line.split("  ")[0] for line in said[2:]] == ["step 1/2", "step 2/2"]


def test_too_little_memory_is_one_sentence(tmp_path, autoencoder_folder, monkeypatch):
    monkeypatch.setattr("syncam_engine.training.estimate.free_memory", lambda device: 10_000.0)
    with pytest.raises(SynCamError, match=r"needs .* GiB for weights and optimiser alone, 0.0 GiB"):
        make_trainer(tmp_path, autoencoder_folder)


def test_learning_rate_warms_up_and_falls():
    config = autoencoder_config(
        optim={"learning_rate": 1.0, "warmup_steps": 5, "decay": "cosine"},
        phases=[{"until_step": 100}],
    )
    assert learning_rate(config, 0) == pytest.approx(0.2, rel=0.01)
    assert learning_rate(config, 5) == pytest.approx(1.0, rel=0.02)
    assert learning_rate(config, 100) == pytest.approx(0.1)


def test_text_learns_slowly_and_its_words_fast(tmp_path, autoencoder_folder):
    """Else what all captions have in common takes the text's layers over."""
    model = {"transformer": SMALL, "autoencoder": str(autoencoder_folder), "word_skip": True}
    trainer = make_trainer(tmp_path, autoencoder_folder, model=model)
    shares = {
        id(parameter): group["rate_share"]
        for group in trainer.optimizer.param_groups
        for parameter in group["params"]
    }
    found = {name: shares[id(parameter)] for name, parameter in trainer.net.named_parameters()}
    assert found["text_encoder.word_skip.weight"] == 4.0
    assert found["text_encoder.word_embedding.weight"] == 0.3
    assert found["transformer.condition_embedder.text_embedder.linear_1.weight"] == 0.3
    assert found["transformer.blocks.0.attn2.to_k.weight"] == 1.0


def test_a_run_starts_from_an_exports_weights(tmp_path, autoencoder_folder):
    """Parts that the export has not yet start as nothing; other shapes are refused."""
    first = make_trainer(tmp_path / "first", autoencoder_folder)
    first.train(until=2)
    export(first.config, tmp_path / "base", tmp_path / "first", say=lambda text: None)
    model = {
        "transformer": {**SMALL, "pooled_text": True, "refiner_width": 8},
        "word_skip": True,
        "autoencoder": str(autoencoder_folder),
        "base": str(tmp_path / "base"),
    }
    second = make_trainer(tmp_path / "second", autoencoder_folder, model=model)
    trained = averaged_tensors(latest_or_none(tmp_path / "first" / "checkpoints"))
    found = second.net.state_dict()
    for name, tensor in trained.items():
        assert torch.allclose(found[name], tensor, atol=2e-3), name
    fresh = {name.split(".")[1] for name in set(found) - set(trained)}
    assert fresh == {"text_pooler", "refiner", "word_skip"}
    other = {**model, "transformer": {**SMALL, "ffn_dim": 96}}
    second.train(until=1)
    own = str(tmp_path / "own")
    export(second.config, Path(own), tmp_path / "second", say=lambda text: None)
    without = {**model, "base": own, "word_skip": False}
    with pytest.raises(SynCamError, match=r"text encoder has .*word_skip=True"):
        make_trainer(tmp_path / "third", autoencoder_folder, model=without)
    with pytest.raises(SynCamError, match="base transformer"):
        make_trainer(tmp_path / "third", autoencoder_folder, model=other)
    with pytest.raises(SynCamError, match=r"base folder .* is not there"):
        make_trainer(tmp_path / "third", autoencoder_folder, model={**model, "base": "/nowhere"})


def test_accumulated_micro_batches_are_one_mean_step(tmp_path, autoencoder_folder, monkeypatch):
    monkeypatch.setattr(MultiViewTask, "rate_shares", lambda self: {})
    optim = {"learning_rate": 1e-2, "accumulation": 2, "clip_norm": 1e9}
    trainer = make_trainer(tmp_path / "run", autoencoder_folder, optim=optim)
    task = trainer.task
    plain = task.build()
    adam = torch.optim.AdamW(plain.parameters(), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.01)
    losses = []
    for micro in range(2):
        request = task.request(trainer.config.phase_at(0))
        samples = trainer.mixture.batch(request, step=0, micro=micro)
        loss, _ = task.loss(plain, task.prepare(samples, trainer._generator(0, micro)))
        losses.append(loss / 2)
    sum(losses).backward()
    adam.step()
    result = trainer.train(until=1)
    assert result.losses[0] == pytest.approx(float(sum(losses).detach()), rel=1e-6)
    for name, tensor in trainer.net.state_dict().items():
        assert torch.allclose(tensor, plain.state_dict()[name], atol=1e-5), name


def test_16_bits_and_gradient_checkpointing_give_nearly_the_same_losses(
    tmp_path, autoencoder_folder
):
    plain = make_trainer(tmp_path / "plain", autoencoder_folder).train(until=3).losses
    AcceleratorState._reset_state(reset_partial_state=True)  # one precision a process
    run = {"device": "cpu", "precision": "bf16", "gradient_checkpointing": True}
    trainer = make_trainer(tmp_path / "thrifty", autoencoder_folder, run=run)
    assert trainer.net.transformer.gradient_checkpointing
    thrifty = trainer.train(until=3).losses
    assert thrifty == pytest.approx(plain, rel=0.03)
    assert thrifty != plain
    AcceleratorState._reset_state(reset_partial_state=True)


def test_compiled_blocks_give_the_same_losses(tmp_path, autoencoder_folder, monkeypatch):
    plain = make_trainer(tmp_path / "plain", autoencoder_folder).train(until=2).losses
    compiled, torchs_own = [], torch.nn.Module.compile

    def traced_only(part: torch.nn.Module) -> None:
        compiled.append(part)
        torchs_own(part, backend="eager")  # no C++ compiler is needed to see what was traced

    monkeypatch.setattr(torch.nn.Module, "compile", traced_only)
    run = {"device": "cpu", "compile": True}
    trainer = make_trainer(tmp_path / "compiled", autoencoder_folder, run=run)
    assert compiled == list(trainer.net.transformer.blocks)
    assert trainer.train(until=2).losses == pytest.approx(plain, rel=1e-4)


def test_dropout_is_drawn_by_the_step_and_is_off_in_what_is_used(tmp_path, autoencoder_folder):
    model = {"transformer": SMALL, "autoencoder": str(autoencoder_folder), "dropout": 0.5}
    whole = make_trainer(tmp_path / "whole", autoencoder_folder, model=model)
    losses = whole.train(until=4).losses
    make_trainer(tmp_path / "parts", autoencoder_folder, model=model).train(until=2)
    resumed = make_trainer(tmp_path / "parts", autoencoder_folder, model=model)
    assert resumed.train(until=4).losses == losses[2:]
    without = make_trainer(
        tmp_path / "without", autoencoder_folder, model={**model, "dropout": 0.0}
    )
    assert without.train(until=1).losses != losses[:1]
    drops = [m for m in whole.net.transformer.modules() if isinstance(m, torch.nn.Dropout)]
    assert {m.p for m in drops} == {0.5}
    assert len(drops) >= 4
