# SPDX-License-Identifier: Apache-2.0
"""Matches by EfficientLoFTR, a learned matcher that holds at wide angles where SIFT does not.

Its count of matches stands under its own name: the paper's Mat. Pix. is of another one (GIM).

Shape legend: B pairs of pictures, N cells, H, W rows and columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import EfficientLoFTRForKeypointMatching, EfficientLoFTRImageProcessorPil

from syncam_engine.evaluation import networks
from syncam_engine.evaluation.matches import Matches

THRESHOLD = 0.2
"""Least confidence of a match, the authors' own."""


class PairedEfficientLoftr(EfficientLoFTRForKeypointMatching):
    """The library's network with the two pictures' cells listed as pairs.

    Left alone it lists each picture's cells by the other's number, so that the k-th of one is not
    the k-th of the other's partner, and refines such pairs (transformers 5.23).
    """

    def _get_matches_from_scores(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        indices_B2N, scores_B2N = super()._get_matches_from_scores(scores)
        there_BN = indices_B2N[:, 1]
        cells_N = torch.arange(there_BN.shape[1], device=there_BN.device)
        here_BN = torch.where(there_BN > -1, cells_N, -1)
        return torch.stack([here_BN, there_BN], 1), scores_B2N[:, 1:].expand(-1, 2, -1)


class EfficientLoftr:
    """A matcher for `score_cameras`."""

    name = "EfficientLoFTR"

    def __init__(self, model: Any, processor: Any, place: str, threshold: float = THRESHOLD):
        self.model, self.processor = model.eval(), processor
        self.place, self.threshold = place, threshold

    @classmethod
    def load(cls, place: str, threshold: float = THRESHOLD) -> EfficientLoftr:
        """From the hub or a folder in its format."""
        model = networks.from_hub(PairedEfficientLoftr, "efficientloftr", place)
        processor = networks.from_hub(EfficientLoFTRImageProcessorPil, "efficientloftr", place)
        return cls(model, processor, place, threshold)

    def provenance(self) -> dict[str, Any]:
        return {
            "matcher": "efficientloftr",
            "threshold": self.threshold,
            **networks.provenance("efficientloftr", self.place, self.model),
        }

    @torch.no_grad()
    def __call__(self, a_HW3: np.ndarray, b_HW3: np.ndarray) -> Matches:
        inputs = self.processor(images=[[a_HW3, b_HW3]], return_tensors="pt")
        output = self.model(**inputs)
        # The library's own post-processing rounds to whole pixels. Its points are shares of the
        # picture as the network saw it, the first pixel's centre at 0.
        seen = np.array(inputs["pixel_values"].shape[:-3:-1], float)
        good_2N = (output.matching_scores[0] > self.threshold) & (output.matches[0] > -1)
        points = []
        for keypoints_N2, good_N, picture in zip(
            output.keypoints[0], good_2N, (a_HW3, b_HW3), strict=True
        ):
            size = np.array([picture.shape[1], picture.shape[0]], float)
            points.append((keypoints_N2[good_N].double().numpy() * seen + 0.5) * size / seen)
        return Matches(a_N2=points[0], b_N2=points[1])
