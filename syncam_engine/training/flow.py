# SPDX-License-Identifier: Apache-2.0
"""Rectified flow for training (SynCamMaster Eq. 1-4): z_t = (1-t) z_0 + t eps, t = 1 is noise.

Shape legend: B samples, V views, C channels, F latent frames, H, W latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from syncam_engine.sampling.noise import mixed
from syncam_engine.training.config import FlowConfig

SHIFTED_STEPS = 1000
LOWEST_TIME = 0.15
"""Floor of the inverse-time weight: below it every error counts the same."""


def draw_times(config: FlowConfig, count: int, generator: torch.Generator) -> Tensor:
    """t_B in (0, 1] by the config's rule."""
    if config.time == "logit-normal":
        normal = torch.randn(count, generator=generator)
        return torch.sigmoid(config.time_mean + config.time_std * normal)
    if config.time == "uniform":
        return 1.0 - torch.rand(count, generator=generator)
    picks = torch.randint(SHIFTED_STEPS, (count,), generator=generator)
    return shifted_times(config.shift)[picks]


def shifted_times(shift: float) -> Tensor:
    """The 1,000 times of the sampler's schedule, from 1 down, shifted as it shifts them."""
    t = torch.linspace(1.0, 1.0 / SHIFTED_STEPS, SHIFTED_STEPS)
    return shift * t / (1.0 + (shift - 1.0) * t)


def loss_weights(config: FlowConfig, t_B: Tensor) -> Tensor:
    """Weight of each sample's loss."""
    if config.weight == "inverse-time":
        return t_B.clamp(min=LOWEST_TIME) ** -1.5
    if config.weight == "bell":
        grid = shifted_times(config.shift)
        floor = _bell(grid).min()
        return (_bell(t_B) - floor) / (_bell(grid) - floor).mean()
    return torch.ones_like(t_B)


def place_weights(config: FlowConfig, height: int, width: int) -> Tensor:
    """Weight of the error at each cell, weight_HW, of mean 1: a smooth upright bump in the middle.

    It falls off over 0.1 of the width and 0.3 of the height, as a standing figure fills them.
    """
    y = (torch.arange(height) + 0.5) / height - 0.5
    x = (torch.arange(width) + 0.5) / width - 0.5
    bump_HW = torch.exp(-0.5 * ((y / 0.3).square()[:, None] + (x / 0.1).square()))
    weight_HW = 1.0 + (config.middle_weight - 1.0) * bump_HW
    return weight_HW / weight_HW.mean()


def _bell(t: Tensor) -> Tensor:
    return torch.exp(-2.0 * (t - 0.5) ** 2)


def draw_noise(config: FlowConfig, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal noise [..., F, H, W], frames alike by `shared_noise`."""
    own = torch.randn(shape, generator=generator)
    if not config.shared_noise or shape[-3] == 1:
        return own
    common = torch.randn((*shape[:-3], 1, *shape[-2:]), generator=generator)
    return mixed(own, common, config.shared_noise)


def add_noise(z0_BVCFHW: Tensor, noise_BVCFHW: Tensor, t_BV: Tensor) -> Tensor:
    """z_t; a view with t = 0 stays clean (the reference)."""
    t = t_BV[:, :, None, None, None, None]
    return (1.0 - t) * z0_BVCFHW + t * noise_BVCFHW


def target(config: FlowConfig, z0: Tensor, noise: Tensor) -> Tensor:
    """What the network should put out."""
    return z0 if config.prediction == "x0" else noise - z0


def to_x0(config: FlowConfig, output: Tensor, z_t: Tensor, t_BV: Tensor) -> Tensor:
    """The clean latents that an output means."""
    if config.prediction == "x0":
        return output
    return z_t - t_BV[:, :, None, None, None, None] * output
