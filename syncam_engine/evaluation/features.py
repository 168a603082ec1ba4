# SPDX-License-Identifier: Apache-2.0
"""Features for FID, FVD and FVD-V, by TorchScript networks, and the sequences that they see.

FID: Inception-v3, uint8 pictures N3HW, called with `return_features=True`, 2,048 numbers.
FVD: the Kinetics I3D of StyleGAN-V, float videos N3THW from 0 to 255, called with `rescale=True,
resize=True, return_features=True`, 400 numbers.
FVD-V (SV4D): FVD over sequences made by holding a moment and going over the views. I3D needs about
10 frames and four views are fewer: each view is held for as many frames as bring them to 16.

Shape legend: N pictures, V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

VIEW_FRAMES = 16
BATCH = 16


def view_sequence(clips_VTHW3: np.ndarray, moment: int) -> np.ndarray:
    """The views of a moment as a video, each held so that there are at least 16 frames."""
    held = math.ceil(VIEW_FRAMES / len(clips_VTHW3))
    return np.repeat(clips_VTHW3[:, moment], held, axis=0)


@torch.no_grad()
def picture_features(network: torch.jit.ScriptModule, pictures_NHW3: np.ndarray) -> np.ndarray:
    """Inception features (N, D)."""
    found = []
    for start in range(0, len(pictures_NHW3), BATCH):
        batch = np.ascontiguousarray(pictures_NHW3[start : start + BATCH])
        x = torch.from_numpy(batch).permute(0, 3, 1, 2)
        found.append(network(x, return_features=True).flatten(1).float().cpu())
    return torch.cat(found).numpy()


@torch.no_grad()
def video_features(
    network: torch.jit.ScriptModule, videos_THW3: Iterable[np.ndarray]
) -> np.ndarray:
    """I3D features (N, D), one video at a time: they may differ in length."""
    found = []
    for video in videos_THW3:
        x = torch.from_numpy(np.ascontiguousarray(video)).permute(3, 0, 1, 2)[None].float()
        features = network(x, rescale=True, resize=True, return_features=True)
        found.append(features.flatten(1).float().cpu())
    return torch.cat(found).numpy()
