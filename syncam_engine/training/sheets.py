# SPDX-License-Identifier: Apache-2.0
"""Sheets of pictures that a run draws while it trains, for eyes: samples beside the truth.

Shape legend: B prompts, V views, C channels, F latent frames, H, W rows and columns, L text tokens,
D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import Sample
from syncam_engine.media.sheets import contact_sheet, strip
from syncam_engine.model.pixels import to_pictures
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import text_guidance
from syncam_engine.sampling.sampler import sample as run_sampler
from syncam_engine.sampling.schedule import make_sigmas
from syncam_engine.training import flow
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.multiview import MultiViewNet, MultiViewTask

SHEET_SAMPLES = 3
Draw = Callable[..., None]


def multiview_sheet(config: TrainConfig, task: MultiViewTask, mixture: Mixture) -> Draw:
    """A drawer of sheets: for three fixed samples the truth's row above the sample's row."""
    phase = config.phases[-1]
    request = replace(task.request(phase), batch=SHEET_SAMPLES, stills_batch=SHEET_SAMPLES)

    def draw(net: MultiViewNet, step: int, path: Path) -> None:
        stills = config.phase_at(step).stills >= 1.0
        # Micro-batch number far above any run's: fixed samples, not those of a training step.
        wanted = replace(request, stills=1.0 if stills else 0.0)
        samples = mixture.batch(wanted, step=0, micro=2**22)
        rows, captions = [], []
        for number, sample in enumerate(samples):
            prompt = sample.caption
            if number < len(config.run.sheet_prompts):
                prompt = config.run.sheet_prompts[number]
            true = decoded(task, task.latents(sample))
            made = decoded(task, sample_latents(task, net, sample, prompt, seed=number))
            rows += [strip(true), strip(made)]
            captions += [f"true: {sample.caption}", f"step {step}: {prompt}"]
        contact_sheet(rows, captions).save(path)

    return draw


def sample_latents(
    task: MultiViewTask,
    net: MultiViewNet,
    sample: Sample,
    prompt: str,
    *,
    seed: int,
    steps: int | None = None,
    reference_CFHW: Tensor | None = None,
) -> Tensor:
    """Latents z_VCFHW made for a sample's cameras and a prompt, as the preset samples."""
    defaults = task.preset.sampling
    device = next(net.parameters()).device
    encoder = task.text_encoder_of(net)
    tokens_BLD, mask_BL = encoder.encode([defaults.negative_prompt, prompt])
    generator = torch.Generator().manual_seed(seed)
    noise = flow.draw_noise(task.config.flow, task.latents(sample).shape, generator).to(device)
    encoded = task.cameras(sample)
    pattern = None
    if encoded.pattern_FhKK is not None:
        pattern = torch.from_numpy(encoded.pattern_FhKK).to(device)
    conditions = Conditions(
        negative_LD=tokens_BLD[0],
        prompt_LD=tokens_BLD[1],
        negative_mask_L=mask_BL[0],
        prompt_mask_L=mask_BL[1],
        cameras_VFSR=torch.from_numpy(encoded.numbers_VFSR).to(device),
        pattern_FhKK=pattern,
        reference_CFHW=reference_CFHW,
        reference_noise_CFHW=None if reference_CFHW is None else noise[0],
    )
    method = Method(
        guidance=text_guidance(defaults.guidance_scale),
        prediction=defaults.prediction,
        reference_timestep=defaults.reference_timestep,
    )
    with torch.no_grad():
        return run_sampler(
            Denoiser(net.transformer, conditions, method),
            noise,
            make_sigmas(steps or defaults.steps, defaults.shift),
            reference_CFHW=reference_CFHW,
        )


def decoded(task: MultiViewTask, z_VCFHW: Tensor) -> np.ndarray:
    """Pictures uint8 VTHW3 of latents."""
    with torch.no_grad():
        return to_pictures(task.autoencoder.decode(z_VCFHW.cpu().float()))
