# SPDX-License-Identifier: Apache-2.0
"""Point matches between two pictures, built in: SIFT with the ratio test, both ways.

Shape legend: N matches, H, W rows and columns.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class SiftSettings:
    """What decides which matches count; part of every score's provenance."""

    keypoints: int = 4000
    contrast: float = 0.01
    """Lowest contrast of a keypoint; low, because previews are small and soft."""
    ratio: float = 0.8
    """Best distance against the second best."""

    def provenance(self) -> dict[str, Any]:
        return {"matcher": "sift", "opencv": cv2.__version__, **asdict(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """N points in each picture, pixels, origin at the top-left corner of the image."""

    a_N2: np.ndarray
    b_N2: np.ndarray

    def __len__(self) -> int:
        return len(self.a_N2)


class Matcher(Protocol):
    """Finds points of one picture in another."""

    name: str

    def __call__(self, a_HW3: np.ndarray, b_HW3: np.ndarray) -> Matches: ...

    def provenance(self) -> dict[str, Any]:
        """What decides which matches count."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Sift:
    """The built-in matcher."""

    settings: SiftSettings = SiftSettings()
    name: str = "SIFT"

    def __call__(self, a_HW3: np.ndarray, b_HW3: np.ndarray) -> Matches:
        return match_sift(a_HW3, b_HW3, self.settings)

    def provenance(self) -> dict[str, Any]:
        return self.settings.provenance()


def match_sift(
    a_HW3: np.ndarray, b_HW3: np.ndarray, settings: SiftSettings | None = None
) -> Matches:
    """Mutual nearest neighbours that pass the ratio test both ways."""
    settings = settings or SiftSettings()
    sift = cv2.SIFT_create(nfeatures=settings.keypoints, contrastThreshold=settings.contrast)
    (points_a, words_a), (points_b, words_b) = (_describe(sift, p) for p in (a_HW3, b_HW3))
    empty = Matches(a_N2=np.zeros((0, 2)), b_N2=np.zeros((0, 2)))
    if len(points_a) < 2 or len(points_b) < 2:
        return empty
    forward = _best(words_a, words_b, settings.ratio)
    backward = _best(words_b, words_a, settings.ratio)
    pairs = [(i, j) for i, j in forward.items() if backward.get(j) == i]
    if not pairs:
        return empty
    i, j = np.array(pairs).T
    # OpenCV puts the first pixel's centre at 0, the project at 0.5.
    return Matches(a_N2=points_a[i] + 0.5, b_N2=points_b[j] + 0.5)


def _describe(sift: Any, picture_HW3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey = cv2.cvtColor(np.ascontiguousarray(picture_HW3), cv2.COLOR_RGB2GRAY)
    points, words = sift.detectAndCompute(grey, None)
    if words is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    return np.array([p.pt for p in points], np.float64), words


def _best(words_a: np.ndarray, words_b: np.ndarray, ratio: float) -> dict[int, int]:
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(words_a, words_b, k=2)
    return {
        pair[0].queryIdx: pair[0].trainIdx
        for pair in found
        if len(pair) == 2 and pair[0].distance < ratio * pair[1].distance
    }
