# SPDX-License-Identifier: Apache-2.0
"""LPIPS (Zhang et al. 2018, version 0.1) without torchvision.

The trunk's layers carry torchvision's names, so that its files load; the linear heads come with
torchmetrics. Both pictures in [-1, 1]; per layer, unit features, squared difference, weighted sum
over channels, mean over places; summed over layers.

Shape legend: N pictures, H, W rows and columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torchmetrics.functional.image as torchmetrics_image
from torch import Tensor, nn

from syncam_engine.evaluation import networks
from syncam_engine.model.pixels import to_network

Trunk = Literal["alex", "vgg"]
HEADS = Path(torchmetrics_image.__file__).parent / "lpips_models"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
BATCH = 16

# Channels, kernel, stride, padding of each convolution, "pool" between; "tap" reads the features.
ALEX = [(64, 11, 4, 2), "tap", "pool", (192, 5, 1, 2), "tap", "pool", (384, 3, 1, 1), "tap",
        (256, 3, 1, 1), "tap", (256, 3, 1, 1), "tap"]  # fmt: skip
VGG = [(64, 3, 1, 1), (64, 3, 1, 1), "tap", "pool", (128, 3, 1, 1), (128, 3, 1, 1), "tap", "pool",
       (256, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), "tap", "pool",
       (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "tap", "pool",
       (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "tap"]  # fmt: skip
PLANS = {"alex": (ALEX, 3), "vgg": (VGG, 2)}
"""Plan and side of the max pooling (stride 2)."""


class Lpips(nn.Module):
    """The distance network; `features` and the heads `lin0..` hold its weights."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        plan, pool = PLANS[trunk]
        self.trunk = trunk
        self.features = nn.Sequential()
        self.taps: list[int] = []
        widths, channels = [], 3
        for item in plan:
            if item == "tap":
                self.taps.append(len(self.features) - 1)
                widths.append(channels)
            elif item == "pool":
                self.features.append(nn.MaxPool2d(pool, 2))
            else:
                out, kernel, stride, padding = item
                self.features.append(nn.Conv2d(channels, out, kernel, stride, padding))
                self.features.append(nn.ReLU())
                channels = out
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    @classmethod
    def load(cls, trunk: Trunk, place: str) -> Lpips:
        """Trunk from a file of torchvision's weights, heads from torchmetrics."""
        name = f"lpips-{trunk}"
        tensors = networks.from_tensors(name, place)
        heads = torch.load(HEADS / f"{trunk}.pth", map_location="cpu", weights_only=True)
        for number in range(5):
            tensors[f"heads.{number}.weight"] = heads[f"lin{number}.model.1.weight"]
        return networks.fill(cls(trunk), tensors, name, place)

    @torch.no_grad()
    def forward(self, a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
        """Distances (N,) of pictures in [-1, 1]."""
        total = torch.zeros(len(a_N3HW))
        for head, a, b in zip(self.heads, self._tapped(a_N3HW), self._tapped(b_N3HW), strict=True):
            total += head((_unit(a) - _unit(b)).square()).mean(dim=(1, 2, 3))
        return total

    def _tapped(self, x: Tensor) -> list[Tensor]:
        x = (x - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def lpips(network: Lpips, a_NHW3: np.ndarray, b_NHW3: np.ndarray) -> float:
    """Mean distance of pairs of uint8 pictures."""
    found = []
    for start in range(0, len(a_NHW3), BATCH):
        a, b = (to_network(x[start : start + BATCH]) for x in (a_NHW3, b_NHW3))
        found.append(network(a, b))
    return float(torch.cat(found).mean())
