# SPDX-License-Identifier: Apache-2.0
"""How well clips follow cameras and time: scores with a known chance level.

Compared in small: pictures are averaged down to blocks of 8 pixels first, so that what counts is
what stands where, not its sharpness.

Shape legend: C cameras of the scene, V generated views, F moments, H, W pixels, h, w blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK_PX = 8


def blocks(pictures: np.ndarray) -> np.ndarray:
    """uint8 ...HW3 -> float ...hw3 in [0, 1], means over blocks of 8x8 pixels."""
    *lead, height, width, channels = pictures.shape
    if height % BLOCK_PX or width % BLOCK_PX:
        raise ValueError(f"width and height must divide by {BLOCK_PX}, got {width}x{height}")
    shape = (*lead, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX, channels)
    return pictures.reshape(shape).astype(np.float32).mean(axis=(-4, -2)) / 255.0


def retrieval_hits(
    made_VFHW3: np.ndarray, true_CFHW3: np.ndarray, cameras: Sequence[int]
) -> list[bool]:
    """For each generated view: is its own camera the nearest of all the scene's cameras?

    Chance is 1/C. `cameras` names the true camera of each generated view.
    """
    made, true = blocks(made_VFHW3), blocks(true_CFHW3)
    hits = []
    for view, camera in zip(made, cameras, strict=True):
        errors = ((true - view) ** 2).mean(axis=(1, 2, 3, 4))
        hits.append(int(np.argmin(errors)) == camera)
    return hits


def time_hits(made_FHW3: np.ndarray, true_FHW3: np.ndarray) -> list[bool]:
    """For each moment of a generated clip: is the same moment of the true clip the nearest?

    Both clips lose their own mean over time first: what stands still says nothing about when.
    Chance is 1/F.
    """
    made, true = blocks(made_FHW3), blocks(true_FHW3)
    made, true = made - made.mean(axis=0), true - true.mean(axis=0)
    hits = []
    for moment in range(len(made)):
        likeness = (true * made[moment]).sum(axis=(1, 2, 3))
        norms = np.sqrt((true**2).sum(axis=(1, 2, 3))) + 1e-8
        hits.append(int(np.argmax(likeness / norms)) == moment)
    return hits


def moves(true_FHW3: np.ndarray, threshold: float = 0.01) -> bool:
    """Whether a clip has enough motion for `time_hits` to mean anything."""
    small = blocks(true_FHW3)
    return float(np.abs(small - small.mean(axis=0)).max()) > threshold * 10
