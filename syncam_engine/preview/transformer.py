# SPDX-License-Identifier: Apache-2.0
"""The preview's network: the multi-view Wan transformer and two parts for its small size.

Shape legend: B scenes (or guidance branches), V views, R = B x V rows, F latent frames, H, W latent
rows and columns, C channels, N tokens of a view, D width, L text tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from syncam_engine.model.arithmetic import use_fast_layers
from syncam_engine.model.transformer import MultiViewWanTransformer
from syncam_engine.model.views import Views
from syncam_engine.preview.refiner import CellRefiner


class PreviewTransformer(MultiViewWanTransformer):
    """`MultiViewWanTransformer` with the text's mean in the modulation and a refiner at the end."""

    def __init__(self, *, pooled_text: bool = False, refiner_width: int = 0, **sizes) -> None:
        """`pooled_text`, `refiner_width`: see `PreviewTransformerConfig`; each may be left out."""
        super().__init__(**sizes)
        self.register_to_config(pooled_text=pooled_text, refiner_width=refiner_width)
        width = self.config.num_attention_heads * self.config.attention_head_dim
        self.text_pooler = None
        if pooled_text:
            self.text_pooler = nn.Linear(self.config.text_dim, width)
            nn.init.zeros_(self.text_pooler.weight)
            nn.init.zeros_(self.text_pooler.bias)
        self.refiner = None
        if refiner_width:
            cells = math.prod(self.config.patch_size)
            guided = bool(self.config.guide_channels)
            self.refiner = CellRefiner(
                self.config.out_channels, refiner_width, width, cells, guided=guided
            )
        use_fast_layers(self)

    def extra_modulation(
        self, temb_RD: Tensor, text_BLD: Tensor, mask_BL: Tensor | None
    ) -> Tensor | None:
        """Return the text's mean, mapped to the network's width."""
        if self.text_pooler is None:
            return None
        seen_BL = torch.ones_like(text_BLD[..., 0]) if mask_BL is None else mask_BL.to(text_BLD)
        mean_BD = torch.einsum("bl,bld->bd", seen_BL, text_BLD) / seen_BL.sum(1, keepdim=True)
        return self.text_pooler(mean_BD.to(temb_RD.dtype))

    def head(self, x_RND: Tensor, z_BVCFHW: Tensor, temb_RD: Tensor, views: Views) -> Tensor:
        """Return the refined prediction; the refiner sees the guides' features of each cell."""
        prediction = super().head(x_RND, z_BVCFHW, temb_RD, views)
        if self.refiner is None:
            return prediction
        batch, _, _, frames, rows, columns = z_BVCFHW.shape
        cells = self.cells(self.refiner.features(x_RND), (batch, frames, rows, columns))
        if views.guide_features_RKFhw is not None:
            told = self.refiner.guides(views.guide_features_RKFhw)
            told = told.repeat(len(x_RND) // len(told), 1, 1, 1, 1)
            cells = cells + told.unflatten(0, (batch, -1)).type_as(cells)
        return self.refiner(z_BVCFHW, prediction, cells, temb_RD)

    def compiled_parts(self) -> list[nn.Module]:
        return super().compiled_parts() + ([self.refiner] if self.refiner is not None else [])
