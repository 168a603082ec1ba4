# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of a latent frame look: their middles in pixels, and the rays through them.

Shape legend: V views, F latent frames, S = h x w tokens of a latent frame.
"""

from __future__ import annotations

import numpy as np

from syncam_engine.model.interfaces import SPATIAL_STRIDE

TOKEN_PX = SPATIAL_STRIDE * 2


def token_centres(width_px: int, height_px: int) -> np.ndarray:
    """Return (u, v, 1) in pixels of each token's middle, [S, 3], row by row."""
    v, u = np.meshgrid(
        (np.arange(height_px // TOKEN_PX) + 0.5) * TOKEN_PX,
        (np.arange(width_px // TOKEN_PX) + 0.5) * TOKEN_PX,
        indexing="ij",
    )
    return np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)


def token_rays(K_VF33: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Return unit directions [V, F, S, 3] in camera axes through the middle of each token."""
    rays = np.einsum("vfij,sj->vfsi", np.linalg.inv(K_VF33), token_centres(width_px, height_px))
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def frames_that_differ(c2w_VF44: np.ndarray, K_VF33: np.ndarray) -> range:
    """Return all latent frames, or the first alone where neither a camera nor a lens moves."""
    moving = any(np.ptp(m, axis=1).max() > 1e-9 for m in (c2w_VF44, K_VF33))
    return range(c2w_VF44.shape[1] if moving else 1)
