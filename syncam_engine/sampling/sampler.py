# SPDX-License-Identifier: Apache-2.0
"""The sampler: Euler steps along the velocity from noise to latents (Eq. 2 and 4).

Plain functions that know no files, commands or devices.
Shape legend: V views, C channels, F latent frames, H, W latent rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
"""(z_VCFHW, noise level) -> v_VCFHW."""
OnStep = Callable[[int, int, Tensor], None]
"""(step from 1, steps, estimate of the clean latents); may raise to stop."""
OnLatents = Callable[[int, Tensor], None]
"""(steps done, latents at the level they reached): what sampling can go on from."""


class Cancelled(Exception):
    """Raised by a report handler to stop; leaves the pipeline ready for the next request."""


@torch.no_grad()
def sample(
    velocity: Velocity,
    z_VCFHW: Tensor,
    sigmas: list[float],
    *,
    steps_done: int = 0,
    reference_CFHW: Tensor | None = None,
    on_step: OnStep | None = None,
    on_latents: OnLatents | None = None,
) -> Tensor:
    """Return clean latents from latents at noise level sigmas[steps_done].

    With a reference, view 0 ends as the reference; the velocity shows it to the network
    (`Denoiser`), and what the network says of that view is not followed. Raises ValueError naming
    the argument that does not fit.
    """
    if not torch.isfinite(z_VCFHW).all():
        raise ValueError("z_VCFHW has values that are not finite")
    steps = len(sigmas) - 1
    if not 0 <= steps_done <= steps:
        raise ValueError(f"steps_done is {steps_done}; it must be 0 to {steps}")
    if reference_CFHW is not None and reference_CFHW.shape != z_VCFHW.shape[1:]:
        raise ValueError(
            f"reference_CFHW has shape {tuple(reference_CFHW.shape)}; it must be "
            f"{tuple(z_VCFHW.shape[1:])}, one view's latents"
        )
    left = pairwise(sigmas[steps_done:])
    for step, (sigma, following) in enumerate(left, start=steps_done + 1):
        v = velocity(z_VCFHW, sigma)
        if reference_CFHW is not None:
            v[0] = 0.0
        if on_step is not None:
            clean = z_VCFHW - sigma * v
            if reference_CFHW is not None:
                clean[0] = reference_CFHW
            on_step(step, steps, clean)
        z_VCFHW = z_VCFHW + (following - sigma) * v
        if on_latents is not None:
            on_latents(step, z_VCFHW)
    if reference_CFHW is not None:
        z_VCFHW = torch.cat([reference_CFHW[None], z_VCFHW[1:]])
    return z_VCFHW


def add_noise(z_VCFHW: Tensor, noise_VCFHW: Tensor, sigma: float) -> Tensor:
    """Return (1 - t) z_0 + t eps (Eq. 1)."""
    return (1.0 - sigma) * z_VCFHW + sigma * noise_VCFHW
