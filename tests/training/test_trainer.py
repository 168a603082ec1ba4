# SPDX-License-Identifier: Apache-2.0
"""The trainer end to end on made-up scenes: learns, resumes exactly, refuses what it must."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from syncam_engine.data.mixture import Mixture
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.preview_autoencoder import PatchAutoencoder
from syncam_engine.training.autoencoder import AutoencoderTask, noise_like
from syncam_engine.training.checkpoint import checkpoints, latest_or_none
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import config_from_dict
from syncam_engine.training.multiview import MultiViewTask, jittered
from syncam_engine.training.runs import averaged_tensors, draws_in_words, export
from syncam_engine.training.trainer import Trainer, learning_rate
from tests.data.synthetic import BoxSource, make_scene

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "ffn_dim": 48,
    "in_channels": 6,
    "text_dim": 32,
    "pooled_text": False,
    "refiner_width": 0,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def autoencoder_config(**changes) -> TrainConfig:
    document = {
        "name": "test-autoencoder",
        "kind": "autoencoder",
        "seed": 5,
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            "views": 2,
            "frames": 5,
            "width": 64,
            "height": 32,
        },
        "phases": [{"until_step": 30, "stills": 0.5, "batch": 2}],
        "autoencoder": {
            "z_channels": 6,
            "width": 16,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
            "pca_clips": 6,
        },
        "optim": {"learning_rate": 2e-3, "ema_decay": 0.99},
        "run": {"device": "cpu", "checkpoint_minutes": 0, "log_steps": 10},
    }
    return config_from_dict(TrainConfig, {**document, **changes}, "")


def multiview_config(autoencoder: Path, **changes) -> TrainConfig:
    document = {
        "name": "test-multiview",
        "seed": 3,
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            "views": 3,
            "frames": 5,
            "width": 64,
            "height": 32,
        },
        "phases": [
            {"until_step": 4, "stills": 1.0, "batch": 2},
            {"until_step": 8, "stills": 0.4, "batch": 1, "stills_batch": 2},
        ],
        "model": {"transformer": SMALL, "autoencoder": str(autoencoder)},
        "flow": {
            "prediction": "x0",
            "time": "logit-normal",
            "time_mean": 0.4,
            "weight": "inverse-time",
        },
        "conditioning": {"text_dropout": 0.2, "reference": 0.4},
        "optim": {"learning_rate": 1e-3, "ema_decay": 0.99, "accumulation": 2},
        "run": {"device": "cpu", "checkpoint_minutes": 0, "log_steps": 2},
    }
    return config_from_dict(TrainConfig, {**document, **changes}, "")


def mixture_of(config: TrainConfig, source=None) -> Mixture:
    return Mixture(
        [(source or BoxSource(), 1.0)],
        seed=config.seed,
        width_px=config.data.width,
        height_px=config.data.height,
    )


@pytest.fixture(scope="module")
def autoencoder_folder(tmp_path_factory):
    """An autoencoder trained for 30 steps, and the folder it was saved in."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("autoencoder")
    config = autoencoder_config()
    mixture = mixture_of(config)
    trainer = Trainer(config, AutoencoderTask(config, mixture), mixture, folder, say=lambda s: None)
    result = trainer.train()
    assert result.step == 30
    assert sum(result.losses[-5:]) < sum(result.losses[:5])
    trainer.net.autoencoder.save(folder)
    return folder


def make_trainer(folder: Path, autoencoder: Path, source=None, said=None, **changes) -> Trainer:
    config = multiview_config(autoencoder, **changes)
    mixture = mixture_of(config, source)
    task = MultiViewTask(config, mixture.sources[0][0].scenes, None)
    say = said.append if said is not None else lambda s: None
    return Trainer(config, task, mixture, folder, say=say)


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


def test_a_decoder_learns_alone_to_forgive_noise(tmp_path, autoencoder_folder):
    """The encoder's numbers stay, so that latents encoded before still serve."""
    sizes = {"decoder_only": True, "latent_noise": 1.0, "noise_block": 2}
    config = autoencoder_config(
        name="decoder",
        model={"base": str(autoencoder_folder)},
        autoencoder=sizes,
        phases=[{"until_step": 40, "stills": 0.5, "batch": 2}],
    )
    mixture = mixture_of(config)
    task = AutoencoderTask(config, mixture)
    Trainer(config, task, mixture, tmp_path / "run", say=lambda text: None).train()
    export(config, tmp_path / "out", tmp_path / "run", say=lambda text: None)
    before = PatchAutoencoder.load(autoencoder_folder)
    after = PatchAutoencoder.load(tmp_path / "out")
    for name, tensor in before.state_dict().items():
        assert name.startswith("decode") or torch.equal(tensor, after.state_dict()[name]), name
    errors = []
    for model in (before, after):
        error = 0.0
        for number, video in enumerate(task.sample_videos(6)):
            z = model.encode(video)
            generator = torch.Generator().manual_seed(number)
            frames = z.transpose(1, 2).flatten(0, 1)
            noisy = frames + noise_like(frames, 1.0, 2, generator)
            z = noisy.unflatten(0, (z.shape[0], z.shape[2])).transpose(1, 2)
            error += float((model.decode(z) - video).square().mean())
        errors.append(error)
    assert errors[1] < 0.9 * errors[0]
    with pytest.raises(SynCamError, match="names no autoencoder"):
        AutoencoderTask(replace(config, model=replace(config.model, base="")), mixture).build()


def test_noise_in_squares_is_half_alike_and_of_unit_size():
    generator = torch.Generator().manual_seed(1)
    noise = noise_like(torch.zeros(4000, 1, 4, 4), 1.0, 2, generator)
    assert float(noise.square().mean()) == pytest.approx(1 / 3, rel=0.05)  # E of a share squared
    inside = float((noise[..., 0, 0] * noise[..., 0, 1]).mean())
    across = float((noise[..., 0, 1] * noise[..., 0, 2]).mean())
    assert inside == pytest.approx(1 / 6, rel=0.15)
    assert abs(across) < 0.02


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
    assert "M parameters" in said[0]
    assert "GiB" in said[0]
    assert said[1].startswith("step 2/2")


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


def test_reference_view_is_clean_and_not_scored(tmp_path, autoencoder_folder):
    trainer = make_trainer(
        tmp_path, autoencoder_folder, conditioning={"reference": 1.0, "text_dropout": 0.0}
    )
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(1))
    assert (batch.t_BV[:, 0] == 0).all()
    assert (batch.t_BV[:, 1:] > 0).all()

    class Broken(torch.nn.Module):
        def forward(self, z, t, cameras, pattern, text):
            output = batch.z0_BVCFHW.clone()
            output[:, 0] = 77.0
            return output

    loss, _ = trainer.task.loss(Broken(), batch)
    assert float(loss) == 0.0


def test_error_in_the_middle_counts_as_the_config_says(tmp_path, autoencoder_folder):
    flow = {"prediction": "x0", "middle_weight": 4.0}
    trainer = make_trainer(tmp_path, autoencoder_folder, flow=flow)
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(1))
    height, width = batch.z0_BVCFHW.shape[-2:]

    def loss_of(y, x):
        output = batch.z0_BVCFHW.clone()
        output[..., y, x] += 1.0
        loss, logged = trainer.task.loss(lambda *_: output, batch)
        assert logged["error_stills"] == pytest.approx(1 / (height * width), rel=1e-4)
        return float(loss)

    assert 2.0 < loss_of(height // 2, width // 2) / loss_of(0, 0) <= 4.0


def test_conditions_are_dropped_as_often_as_the_config_says(tmp_path, autoencoder_folder):
    """Eq. 7 needs all of them: neither, the video alone, and both."""
    shares = {"reference": 0.9, "text_dropout": 0.25}
    trainer = make_trainer(tmp_path, autoencoder_folder, conditioning=shares)
    request = replace(trainer.task.request(trainer.config.phases[0]), stills=1.0, stills_batch=300)
    samples = trainer.mixture.batch(request, step=0)
    batch = trainer.task.prepare(samples, torch.Generator().manual_seed(6))
    clean, empty = batch.t_BV[:, 0] == 0, (batch.text.ids_BL > 0).sum(1) == 1
    assert clean.float().mean() == pytest.approx(0.9, abs=0.06)
    assert empty.float().mean() == pytest.approx(0.25, abs=0.08)
    kinds = {(bool(c), bool(e)) for c, e in zip(clean, empty, strict=True)}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


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


def test_scenes_that_cannot_serve_are_said(tmp_path, autoencoder_folder):
    """A scene with one camera among others; and nothing but such scenes."""
    source, said = BoxSource(scenes=3), []
    source.scenes[1] = make_scene(1, cameras=1)
    make_trainer(tmp_path / "some", autoencoder_folder, source=source, said=said).train(until=1)
    assert any("1 scenes of boxes cannot give 3 views" in text for text in said)
    with pytest.raises(SynCamError, match="No scene has 3 views"):
        make_trainer(tmp_path, autoencoder_folder, source=BoxSource(cameras=1)).train()


def test_what_is_asked_for_and_never_drawn_is_said(autoencoder_folder):
    moving, clips = BoxSource(scenes=2, cameras=12, frames=1), BoxSource(scenes=2)
    moving.name = "moving"
    moving.scenes = [replace(s, kind="moving", order=tuple(range(12))) for s in moving.scenes]

    def said(*sources: BoxSource, stills: float) -> str:
        config = multiview_config(autoencoder_folder, phases=[{"until_step": 4, "stills": stills}])
        mixture = Mixture([(s, 1.0) for s in sources], seed=1, width_px=64, height_px=32)
        task = MultiViewTask(config, clips.scenes)
        return " ".join(draws_in_words(config, task, mixture))

    assert "moving is never drawn" in said(moving, clips, stills=0.0)
    assert "never drawn" not in said(moving, clips, stills=0.5)
    assert "No source gives clips: stills are drawn in their place" in said(moving, stills=0.5)
    assert said(clips, stills=0.5) == ""


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


def test_jittered_cameras_are_a_little_off_and_stay_cameras(tmp_path, autoencoder_folder):
    conditioning = {"camera_jitter": 0.01}
    trainer = make_trainer(tmp_path, autoencoder_folder, conditioning=conditioning)
    plain = make_trainer(tmp_path / "plain", autoencoder_folder)
    samples = trainer.mixture.batch(trainer.task.request(trainer.config.phases[0]), step=0)
    a, b = (one.task.prepare(samples, torch.Generator().manual_seed(3)) for one in (trainer, plain))
    assert torch.equal(a.z0_BVCFHW, b.z0_BVCFHW)
    away = (a.cameras_BVFSR - b.cameras_BVFSR).abs()
    assert 0.0 < float(away.mean()) < 0.05  # waves of far ground turn fast
    pose = np.array(jittered(samples[0], 0.01, torch.Generator()).c2w_cv_m_VF44)
    given = np.array(samples[0].c2w_cv_m_VF44)
    rotation = pose[..., :3, :3]
    assert np.allclose(rotation @ rotation.swapaxes(-1, -2), np.eye(3), atol=1e-5)
    turned = np.linalg.norm(rotation - given[..., :3, :3], axis=(-2, -1)) / np.sqrt(2.0)
    assert 0.001 < turned.mean() < 0.04
    assert np.allclose(turned, turned[:, :1], atol=1e-5)  # a view is off alike at all moments
