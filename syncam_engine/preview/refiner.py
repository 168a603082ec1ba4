# SPDX-License-Identifier: Apache-2.0
"""Convolutions over latent cells that follow the transformer of a very small network.

A token covers 2x2 cells, and a small network's tokens agree with their neighbours only in the
large: pictures come out as mosaics of tokens. The refiner sees the cells themselves, the noisy ones
and the predicted ones, across the borders of tokens. It starts as nothing: its last layer is zero.

Shape legend: B scenes, V views, R = B x V rows, C channels, F latent frames, H, W latent rows and
columns, D width of the transformer, K features of a cell.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from syncam_engine.model import guide_embedding
from syncam_engine.model.convolutions import ResidualBlock

FEATURES = 16
"""K: what the transformer's last layer tells the refiner of each cell beside its prediction."""
BLOCKS = 4


class CellRefiner(nn.Module):
    """prediction + convolutions(noisy latents, prediction, features, time), frame by frame."""

    def __init__(
        self,
        channels: int,
        width: int,
        transformer_width: int,
        cells: int,
        *,
        guided: bool = False,
    ) -> None:
        """`cells` is the number of latent cells of a token; `guided`: features of guides join."""
        super().__init__()
        self.features = nn.Linear(transformer_width, cells * FEATURES)
        self.time = nn.Linear(transformer_width, width)
        self.enter = nn.Conv2d(2 * channels + FEATURES, width, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(BLOCKS)))
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.guides = None
        if guided:
            # Without a bias: a row that is not guided has features of 0 and is told nothing.
            self.guides = nn.Conv3d(guide_embedding.FEATURES, FEATURES, 1, bias=False)
            nn.init.zeros_(self.guides.weight)

    def forward(
        self, z_BVCFHW: Tensor, prediction_BVCFHW: Tensor, cells_BVKFHW: Tensor, temb_RD: Tensor
    ) -> Tensor:
        """Return the refined prediction; all latents have one shape but for their channels."""
        batch, views, _, frames = prediction_BVCFHW.shape[:4]
        read = torch.cat([z_BVCFHW, prediction_BVCFHW, cells_BVKFHW.type_as(z_BVCFHW)], dim=2)
        x = self.enter(rearrange(read, "b v c f h w -> (b v f) c h w"))
        time = self.time(nn.functional.silu(temb_RD)).repeat_interleave(frames, 0)
        x = self.leave(self.blocks(x + time[:, :, None, None].type_as(x)))
        change = rearrange(x, "(b v f) c h w -> b v c f h w", b=batch, v=views)
        return prediction_BVCFHW + change
