# SPDX-License-Identifier: Apache-2.0
"""Starting noise: drawn on the CPU, one stream a camera, so that every device starts alike and
adding, removing or reordering cameras leaves the others' noise as it was."""

from __future__ import annotations

import hashlib

import numpy as np


def camera_noise(seed: int, variation: int, camera: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal float32 noise of one camera, the same for the same arguments."""
    key = hashlib.sha256(f"{seed}/{variation}/{camera}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
    return rng.standard_normal(shape, dtype=np.float32)


def rig_noise(seed: int, variation: int, cameras: list[str], shape: tuple[int, ...]) -> np.ndarray:
    """Return [V, *shape]: each camera's own noise, in the order given."""
    return np.stack([camera_noise(seed, variation, name, shape) for name in cameras])
