# SPDX-License-Identifier: Apache-2.0
"""What a `preset.json` of the preview's kind may say beyond the others. No torch here.

Shape legend: V views, F latent frames, S tokens of a latent frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from syncam_engine.model.presets import CameraEncoding, TransformerConfig

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewTransformerConfig(TransformerConfig):
    """The sizes of the preview's network; without the two it is Wan's."""

    NETWORK: ClassVar[str] = "syncam_engine.preview.transformer:PreviewTransformer"

    pooled_text: bool = False
    """Whether the text's mean joins the timestep in the modulation; for networks too small to learn
    a prompt's place and light by cross-attention alone."""
    refiner_width: int = 0
    """Channels of the convolutions behind the transformer (`refiner.py`); 0 for none."""

    def __post_init__(self) -> None:
        TransformerConfig.__post_init__(self)
        if self.refiner_width < 0 or self.refiner_width % 8:
            raise ValueError(
                f"refiner_width is {self.refiner_width}; it must be 0 or a multiple of 8"
            )

    def own_parameters(self) -> int:
        found = TransformerConfig.own_parameters(self)
        found += self.text_dim * self.width + self.width if self.pooled_text else 0
        return found + (self._refiner_parameters() if self.refiner_width else 0)

    def _refiner_parameters(self) -> int:
        import torch

        from syncam_engine.preview.refiner import CellRefiner

        with torch.device("meta"):
            refiner = CellRefiner(
                self.in_channels,
                self.refiner_width,
                self.width,
                math.prod(self.patch_size),
                guided=bool(self.guide_channels),
            )
        return sum(parameter.numel() for parameter in refiner.parameters())


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewCameraEncoding(CameraEncoding):
    """How the preview reads a rig; without the ground it is what all others may do too."""

    ground_frequencies: int = 0
    """With rays: adds where a token's ray meets the ground plane z = 0, seen from below the anchor:
    3 numbers and 4 for each frequency. 0 leaves it out."""

    def __post_init__(self) -> None:
        CameraEncoding.__post_init__(self)
        if self.ground_frequencies and self.encoding != "plucker":
            raise ValueError("ground_frequencies needs encoding 'plucker': it is per token")

    @property
    def own_count(self) -> int:
        return 3 + 4 * self.ground_frequencies if self.ground_frequencies else 0

    def own_numbers(
        self,
        c2w_VF44: np.ndarray,
        K_VF33: np.ndarray,
        width_px: int,
        height_px: int,
        anchor: int,
    ) -> list[np.ndarray]:
        from syncam_engine.preview.ground import ground_hits

        if not self.ground_frequencies:
            return []
        given = (self.ground_frequencies, width_px, height_px, anchor)
        return [ground_hits(c2w_VF44, K_VF33, self, *given)]
