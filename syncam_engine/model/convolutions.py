# SPDX-License-Identifier: Apache-2.0
"""The convolution block that the small parts beside the transformer are made of."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + mix(silu(conv3x3(norm(x)))), the last layer zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(functional.silu(self.spread(self.norm(x))))
