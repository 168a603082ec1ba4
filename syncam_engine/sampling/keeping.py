# SPDX-License-Identifier: Apache-2.0
"""What keeps a request's latents while it is sampled, so that it need not start over.

Shape legend: V views, C channels, F latent frames, H, W rows and columns.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class LatentKeeper(Protocol):
    """Made for one request; what it kept of another one it does not give."""

    every: int
    """Keep after so many steps, and after the last."""

    def load(self, steps: int, shape: tuple[int, ...]) -> tuple[int, np.ndarray | None]:
        """Return (steps done, latents float32 of `shape`), or (0, None) where nothing fits."""

    def save(self, step: int, z_VCFHW: np.ndarray) -> None:
        """Keep the latents after `step` steps. A failure to keep is no failure of the request."""
