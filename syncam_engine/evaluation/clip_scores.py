# SPDX-License-Identifier: Apache-2.0
"""CLIP-T, CLIP-F and CLIP-V (paper, Tab. 1), with any CLIP of the hub or of a folder.

Cosines x 100: of frame and prompt (T), of neighbouring frames (F), of two views at a moment (V).
The paper does not say which CLIP; its name and digest belong to the score.

Shape legend: N pictures, V views, T pictures, H, W rows and columns, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from syncam_engine.evaluation import networks


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScore:
    clip_t: float | None
    """None without a prompt."""
    clip_f: float | None
    """None for single pictures."""
    clip_v: float | None
    """None for a single view."""


class ClipEmbedder:
    """Unit embeddings of pictures and prompts by a transformers CLIP model and its processor."""

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        self.model, self.processor, self.name = model.eval(), processor, name

    @classmethod
    def load(cls, folder_or_id: str) -> ClipEmbedder:
        """From the hub or a folder in its format."""
        from transformers import CLIPModel, CLIPProcessor

        return cls(
            networks.from_hub(CLIPModel, "clip", folder_or_id),
            networks.from_hub(CLIPProcessor, "clip", folder_or_id),
            folder_or_id,
        )

    def provenance(self) -> dict[str, Any]:
        """Which network this is."""
        return networks.provenance("clip", self.name, self.model)

    @torch.no_grad()
    def pictures(self, pictures_NHW3: np.ndarray) -> Tensor:
        inputs = self.processor(images=list(pictures_NHW3), return_tensors="pt")
        return _unit(self.model.get_image_features(**inputs))

    @torch.no_grad()
    def prompt(self, text: str) -> Tensor:
        inputs = self.processor(text=[text], return_tensors="pt", padding=True, truncation=True)
        return _unit(self.model.get_text_features(**inputs))[0]


def _unit(features: Any) -> Tensor:
    # transformers 5 wraps the features in an output object.
    features = getattr(features, "pooler_output", features)
    return functional.normalize(features.float(), dim=-1)


def clip_scores(clips_VTHW3: np.ndarray, prompt: str | None, embedder: ClipEmbedder) -> ClipScore:
    """Scores of one job's clips; without a prompt, no CLIP-T."""
    views, frames = clips_VTHW3.shape[:2]
    e_VTD = torch.stack([embedder.pictures(clip) for clip in clips_VTHW3])
    text = float((e_VTD @ embedder.prompt(prompt)).mean()) if prompt else None
    neighbours = float((e_VTD[:, 1:] * e_VTD[:, :-1]).sum(-1).mean()) if frames > 1 else None
    pairs = [(e_VTD[a] * e_VTD[b]).sum(-1).mean() for a, b in combinations(range(views), 2)]
    across = float(torch.stack(pairs).mean()) if pairs else None
    return ClipScore(
        clip_t=None if text is None else 100.0 * text,
        clip_f=None if neighbours is None else 100.0 * neighbours,
        clip_v=None if across is None else 100.0 * across,
    )
