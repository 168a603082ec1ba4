# SPDX-License-Identifier: Apache-2.0
"""Scores of clips against clips, with nothing downloaded: PSNR, SSIM, temporal flickering.

Pictures are uint8; shapes T H W 3.

Shape legend: T pictures, H, W rows and columns.
"""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

PEAK = 255.0
HIGHEST_PSNR_DB = 100.0
"""Said for equal clips, whose PSNR is infinite."""


def psnr_db(a_THW3: np.ndarray, b_THW3: np.ndarray) -> float:
    """Peak signal to noise over all pixels of both clips, in dB."""
    _check_alike(a_THW3, b_THW3)
    error = np.mean((a_THW3.astype(np.float64) - b_THW3.astype(np.float64)) ** 2)
    if error == 0:
        return HIGHEST_PSNR_DB
    return float(10.0 * np.log10(PEAK**2 / error))


def ssim(a_THW3: np.ndarray, b_THW3: np.ndarray) -> float:
    """Structural similarity, mean over frames (Gaussian window of 11 pixels, sigma 1.5)."""
    _check_alike(a_THW3, b_THW3)
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).double() for x in (a_THW3, b_THW3))
    return float(structural_similarity_index_measure(a, b, data_range=PEAK))


def temporal_flickering(clip_THW3: np.ndarray) -> float:
    """VBench's definition: (255 - mean absolute difference of neighbouring frames) / 255."""
    if len(clip_THW3) < 2:
        raise ValueError(f"flickering needs at least 2 frames, got {len(clip_THW3)}")
    frames = clip_THW3.astype(np.float64)
    return float((PEAK - np.abs(np.diff(frames, axis=0)).mean()) / PEAK)


def _check_alike(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"clips of shapes {a.shape} and {b.shape} cannot be compared")
