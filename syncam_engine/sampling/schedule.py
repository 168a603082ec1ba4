# SPDX-License-Identifier: Apache-2.0
"""Rectified-flow times: which noise levels the sampler visits.

z_t = (1 - t) z_0 + t eps (Eq. 1); sampling goes from t = 1 to 0. The network is told 1000 t.
"""

from __future__ import annotations

TIMESTEPS = 1000.0


def make_sigmas(steps: int, shift: float) -> list[float]:
    """Return steps + 1 noise levels from 1 down to 0: linspace(1, 1/n, n), shifted, then 0.

    The shift s -> k s / (1 + (k - 1) s) spends more steps where there is much noise. Raises
    ValueError for a number of steps or a shift that makes no schedule.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}; it must be a whole number of at least 1")
    if not shift > 0:
        raise ValueError(f"shift is {shift!r}; it must be positive")
    plain = [1.0 - k * (1.0 - 1.0 / steps) / max(steps - 1, 1) for k in range(steps)]
    return [shift * s / (1.0 + (shift - 1.0) * s) for s in plain] + [0.0]


def start_at(sigmas: list[float], strength: float) -> list[float]:
    """Return the part of a schedule from noise level `strength` on, beginning exactly there.

    1 is the whole schedule; 0 is [0.0]: no step at all. Raises ValueError outside 0 to 1.
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength is {strength!r}; it must be 0 (keep the start) to 1 (noise)")
    if strength == 0.0:
        return [0.0]
    return [strength, *(s for s in sigmas if s < strength)]


def timestep_of(sigma: float, *, round_to_bf16: bool = False) -> float:
    """Return the network's timestep of a noise level.

    `round_to_bf16` does what the released pipeline does (up to 2 units off); only for comparison.
    """
    timestep = sigma * TIMESTEPS
    if round_to_bf16:
        import torch

        timestep = float(torch.tensor(timestep, dtype=torch.float32).to(torch.bfloat16))
    return timestep
