# SPDX-License-Identifier: Apache-2.0
"""Which points of a clip's first picture are followed, and by what.

Built in: an 8x8 grid of corners, followed by pyramidal Lucas-Kanade with a forward-backward check.
The paper's own: the centres of 64 SAM masks, followed by CoTracker. SAM comes as weights from the
hub or a folder; CoTracker is the user's to install and its licence (CC-BY-NC-4.0) theirs to accept.

Shape legend: T pictures, H, W pixels, N points (x, y) in pixels, M masks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from syncam_engine.link.errors import SynCamError

GRID = 8
RETURN_PX = 1.0
"""A point tracked forward and back must come back this near to count."""
OVERLAP = 0.7
"""Of two masks that overlap more than this (intersection over union) the surer one stays."""
COTRACKER_LICENCE = "CC-BY-NC-4.0"

Points = Callable[[np.ndarray], np.ndarray]
"""Picture HW3 -> points (N, 2)."""
Track = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(clip THW3, points (N, 2)) -> tracks (T, M, 2) of the M points that were never lost."""


def grid_points(height: int, width: int) -> np.ndarray:
    """The middles of 8x8 cells, (64, 2)."""
    y, x = np.meshgrid(
        (np.arange(GRID) + 0.5) * height / GRID,
        (np.arange(GRID) + 0.5) * width / GRID,
        indexing="ij",
    )
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)


def corner_points(picture_HW3: np.ndarray) -> np.ndarray:
    """The grid, each point moved to the best corner near it: elsewhere none can be tracked."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture_HW3), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    reach = min(height, width) // (2 * GRID)
    strength = cv2.cornerMinEigenVal(grey, 5)
    moved = grid_points(height, width)
    for point in moved:
        x, y = int(point[0]), int(point[1])
        left, top = max(0, x - reach), max(0, y - reach)
        patch = strength[top : y + reach + 1, left : x + reach + 1]
        row, column = np.unravel_index(int(np.argmax(patch)), patch.shape)
        point[:] = left + column, top + row
    return moved


def track_klt(clip_THW3: np.ndarray, points_N2: np.ndarray) -> np.ndarray:
    """Lucas-Kanade; points whose track does not come back to itself are lost."""
    grey = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in clip_THW3]
    here = points_N2.reshape(-1, 1, 2).astype(np.float32)
    kept, tracks = np.ones(len(here), bool), [here[:, 0]]
    for before, after in pairwise(grey):
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, here, None, winSize=(21, 21))
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(21, 21))
        away = np.linalg.norm(back - here, axis=2)[:, 0]
        kept &= (found[:, 0] == 1) & (found_back[:, 0] == 1) & (away < RETURN_PX)
        tracks.append(there[:, 0])
        here = there
    return np.stack(tracks)[:, kept]


class SamPoints:
    """Centres of the masks that SAM finds from an 8x8 grid of prompts (transformers' SamModel)."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model.eval(), processor

    @classmethod
    def load(cls, place: str) -> SamPoints:
        """From the hub or a folder. Raises `SynCamError` when there are no such weights."""
        from transformers import SamImageProcessorPil, SamModel, SamProcessor

        try:
            model = SamModel.from_pretrained(place)
            processor = SamProcessor(SamImageProcessorPil.from_pretrained(place))
        except (OSError, ValueError) as error:
            raise SynCamError(
                "weights.missing",
                f"The SAM weights {place} cannot be loaded: {str(error).splitlines()[0]}",
                value=place,
                fix="Name a hub id or folder: facebook/sam-vit-base",
            ) from error
        return cls(model, processor)

    def __call__(self, picture_HW3: np.ndarray) -> np.ndarray:
        import torch

        height, width = picture_HW3.shape[:2]
        prompts = [[[float(x), float(y)]] for x, y in grid_points(height, width)]
        inputs = self.processor(picture_HW3, input_points=[prompts], return_tensors="pt")
        with torch.no_grad():
            output = self.model(**inputs)
        masks = self.processor.image_processor.post_process_masks(
            output.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )[0]  # (prompts, 3 masks each, H, W)
        surest = output.iou_scores[0].argmax(-1)
        rows = torch.arange(len(surest))
        return mask_centres(
            masks[rows, surest].numpy().astype(bool), output.iou_scores[0][rows, surest].numpy()
        )


def mask_centres(masks_MHW: np.ndarray, scores_M: np.ndarray) -> np.ndarray:
    """Centres (N, 2) of the masks that are left when doubles are dropped, the surest first.

    The centre is the mask's own pixel that is nearest to its middle: a ring's middle is not in it.
    """
    kept: list[np.ndarray] = []
    centres = []
    for mask in masks_MHW[np.argsort(-scores_M)]:
        if not mask.any():
            continue
        overlaps = ((mask & other).sum() / (mask | other).sum() for other in kept)
        if any(share > OVERLAP for share in overlaps):
            continue
        kept.append(mask)
        y, x = np.nonzero(mask)
        nearest = np.argmin((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
        centres.append((x[nearest], y[nearest]))
    return np.array(centres, np.float32).reshape(-1, 2)


class CoTracker:
    """Meta's CoTracker, from the user's own installation and checkpoint."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    @classmethod
    def load(cls, checkpoint: Path, accepted_licence: str) -> CoTracker:
        """Raises `SynCamError` without the licence accepted, the package or the checkpoint."""
        if accepted_licence != COTRACKER_LICENCE:
            raise SynCamError(
                "licence",
                f"CoTracker's weights are under {COTRACKER_LICENCE}, which forbids commercial use; "
                f"to accept that, say --accept-licence {COTRACKER_LICENCE}.",
                value=accepted_licence,
            )
        try:
            from cotracker.predictor import CoTrackerPredictor
        except ImportError as error:
            raise SynCamError(
                "package.missing",
                "CoTracker is not installed; this package does not bring it.",
                fix="pip install git+https://github.com/facebookresearch/co-tracker",
            ) from error
        if not checkpoint.is_file():
            raise SynCamError(
                "weights.missing", f"The CoTracker checkpoint {checkpoint} is not there."
            )
        return cls(CoTrackerPredictor(checkpoint=str(checkpoint)))

    def __call__(self, clip_THW3: np.ndarray, points_N2: np.ndarray) -> np.ndarray:
        import torch

        video = torch.from_numpy(np.ascontiguousarray(clip_THW3)).permute(0, 3, 1, 2)[None].float()
        queries = torch.from_numpy(points_N2).float()
        queries = torch.cat([torch.zeros(len(queries), 1), queries], dim=1)[
            None
        ]  # all from frame 0
        with torch.no_grad():
            tracks, visible = self.predictor(video, queries=queries)
        kept = visible[0].bool().all(dim=0)
        return tracks[0][:, kept].cpu().numpy()
