# SPDX-License-Identifier: Apache-2.0
"""How the transformer reads guides: convolutions from pixels to tokens, added to the noisy ones.

The four pictures of a latent frame are read together, as the autoencoder reads them: picture 0 has
a latent frame of its own and is repeated. The last layer is zero at the start, so that a network
that learns to be guided begins as the one that it was.

Shape legend: R rows (scenes x views), T pictures, F latent frames, G guide channels, H, W pixels,
h, w latent cells, N = F x (h/2) x (w/2) tokens, D width of the transformer, K features of a cell.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from syncam_engine.model.convolutions import ResidualBlock
from syncam_engine.model.interfaces import TEMPORAL_STRIDE

HIDDEN = (32, 64, 96)
"""Channels at a half, a quarter and an eighth of the picture's size."""
FEATURES = HIDDEN[-1]
"""K."""


class GuideEmbedding(nn.Module):
    """Guides -> what is added to the tokens, and features of each latent cell."""

    def __init__(self, channels: int, width: int) -> None:
        """`channels` is G, `width` D."""
        super().__init__()
        half, quarter, eighth = HIDDEN
        self.stem = nn.Sequential(
            nn.Conv2d(TEMPORAL_STRIDE * channels, half, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            ResidualBlock(eighth),
            ResidualBlock(eighth),
        )
        self.tokens = nn.Conv2d(eighth, width, 2, stride=2)
        nn.init.zeros_(self.tokens.weight)
        nn.init.zeros_(self.tokens.bias)

    def forward(self, guides_RTGHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return (tokens_RND, features_RKFhw)."""
        rows = len(guides_RTGHW)
        lead = guides_RTGHW[:, :1].expand(-1, TEMPORAL_STRIDE - 1, -1, -1, -1)
        padded = torch.cat([lead, guides_RTGHW], dim=1)
        grouped = rearrange(padded, "r (f t) g h w -> (r f) (t g) h w", t=TEMPORAL_STRIDE)
        features = self.stem(grouped)
        tokens = rearrange(self.tokens(features), "(r f) d h w -> r (f h w) d", r=rows)
        return tokens, rearrange(features, "(r f) k h w -> r k f h w", r=rows)
