# SPDX-License-Identifier: Apache-2.0
"""The dimensions of VBench that the paper's Table 7 has, by VBench's formulas, clip by clip.

Temporal flickering needs no network and stands in `pictures.py`. The others take features or
networks that the caller loads; AMT and MUSIQ come as TorchScript, they are not rebuilt here.

Shape legend: N pictures, T pictures, H, W rows and columns, D features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from syncam_engine.evaluation import networks

DINO_SIDE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MUSIQ_LONGEST = 512
AMT_MULTIPLE = 16


def as_tensor(pictures_NHW3: np.ndarray) -> Tensor:
    """uint8 pictures as floats N3HW in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures_NHW3)).permute(0, 3, 1, 2).float() / 255


def consistency(features_TD: Tensor) -> float:
    """Subject (DINO) and background (CLIP) consistency: each frame against the one before and the
    first, negative cosines as 0, both halves alike, mean over frames 1 to T-1.
    """
    if len(features_TD) < 2:
        raise ValueError(f"consistency needs at least 2 frames, got {len(features_TD)}")
    unit = functional.normalize(features_TD.float(), dim=-1)
    before = (unit[1:] * unit[:-1]).sum(-1).clamp(min=0.0)
    first = (unit[1:] * unit[:1]).sum(-1).clamp(min=0.0)
    return float((0.5 * (before + first)).mean())


class Dino:
    """Class-token features of a DINO ViT, shorter side at 224, other side in proportion."""

    def __init__(self, model: Any, place: str) -> None:
        self.model, self.place = model.eval(), place

    @classmethod
    def load(cls, place: str) -> Dino:
        from transformers import ViTModel

        return cls(networks.from_hub(ViTModel, "dino", place), place)

    @torch.no_grad()
    def pictures(self, pictures_NHW3: np.ndarray) -> Tensor:
        x = as_tensor(pictures_NHW3)
        scale = DINO_SIDE / min(x.shape[2:])
        size = [max(DINO_SIDE, int(side * scale)) for side in x.shape[2:]]
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        x = (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
            :, None, None
        ]
        output = self.model(pixel_values=x, interpolate_pos_encoding=True)
        return output.last_hidden_state[:, 0]


class AestheticHead(nn.Linear):
    """LAION's linear head on unit CLIP features; 0 to 10, VBench divides by 10."""

    @classmethod
    def load(cls, place: str) -> AestheticHead:
        tensors = networks.from_tensors("aesthetic", place)
        width = tensors["weight"].shape[-1] if "weight" in tensors else 768
        return networks.fill(cls(width, 1), tensors, "aesthetic", place)

    @torch.no_grad()
    def score(self, unit_features_TD: Tensor) -> float:
        return float(self(unit_features_TD).mean()) / 10.0


@torch.no_grad()
def motion_smoothness(network: torch.jit.ScriptModule, clip_THW3: np.ndarray) -> float:
    """Every second frame dropped and interpolated again: (255 - mean absolute error) / 255."""
    if len(clip_THW3) < 3:
        raise ValueError(f"motion smoothness needs at least 3 frames, got {len(clip_THW3)}")
    kept, dropped = clip_THW3[::2], clip_THW3[1:-1:2] if len(clip_THW3) % 2 else clip_THW3[1::2]
    errors = []
    for before, after, true in zip(kept[:-1], kept[1:], dropped[: len(kept) - 1], strict=True):
        pair = as_tensor(np.stack([before, after]))
        height, width = pair.shape[2:]
        pad = (0, -width % AMT_MULTIPLE, 0, -height % AMT_MULTIPLE)
        pair = functional.pad(pair, pad, mode="replicate")
        made = network(pair[:1], pair[1:])[0, :, :height, :width].clamp(0, 1)
        made_HW3 = (made * 255.0).permute(1, 2, 0).round().numpy()
        errors.append(np.abs(made_HW3 - true.astype(np.float64)).mean())
    return float((255.0 - np.mean(errors)) / 255.0)


@torch.no_grad()
def imaging_quality(network: torch.jit.ScriptModule, clip_THW3: np.ndarray) -> float:
    """MUSIQ's mean over frames / 100; pictures longer than 512 are made smaller first."""
    x = as_tensor(clip_THW3)
    longest = max(x.shape[2:])
    if longest > MUSIQ_LONGEST:
        size = [max(1, round(side * MUSIQ_LONGEST / longest)) for side in x.shape[2:]]
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return float(np.mean([float(network(frame[None]).mean()) for frame in x])) / 100.0
