# SPDX-License-Identifier: Apache-2.0
"""A decoder that learns alone, and the noise that it learns to forgive."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.preview.autoencoder import PatchAutoencoder
from syncam_engine.preview.train_autoencoder import AutoencoderTask, noise_like
from syncam_engine.training.runs import export
from syncam_engine.training.trainer import Trainer
from tests.training.small_runs import autoencoder_config, mixture_of

pytestmark = pytest.mark.usefixtures("one_thread")


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
