# SPDX-License-Identifier: Apache-2.0
"""Starting noise: drawn on the CPU, one stream a camera, so that every device starts alike and
adding, removing or reordering cameras leaves the others' noise as it was.

Frames may have a part of their noise in common ("mixed noise", PYoCo, Ge et al. 2023): a small
network that is free to imagine every frame anew then imagines them alike.

Shape legend: V views, C channels, F latent frames, H, W latent rows and columns.
"""

from __future__ import annotations

import hashlib

import numpy as np


def camera_noise(
    seed: int,
    variation: int,
    camera: str,
    shape_CFHW: tuple[int, int, int, int],
    shared: float = 0.0,
) -> np.ndarray:
    """Return standard normal float32 noise of one camera, the same for the same arguments.

    Two frames correlate by `shared`, the share of the variance that all frames have in common.
    """
    key = hashlib.sha256(f"{seed}/{variation}/{camera}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
    own = rng.standard_normal(shape_CFHW, dtype=np.float32)
    if not shared:
        return own
    channels, _, *rest = shape_CFHW
    return mixed(own, rng.standard_normal((channels, 1, *rest), dtype=np.float32), shared)


def rig_noise(
    seed: int,
    variation: int,
    cameras: list[str],
    shape_CFHW: tuple[int, int, int, int],
    shared: float = 0.0,
) -> np.ndarray:
    """Return [V, C, F, H, W]: each camera's own noise, in the order given."""
    return np.stack([camera_noise(seed, variation, n, shape_CFHW, shared) for n in cameras])


def mixed(own, common, shared: float):
    """Return noise of the same variance, the share `shared` of it from `common` (arrays or tensors
    that broadcast to `own`)."""
    return (1.0 - shared) ** 0.5 * own + shared**0.5 * common
