# SPDX-License-Identifier: Apache-2.0
"""Attention patterns by their names: what the tokens of one view may see of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from syncam_engine.model.registry import PATTERNS, named


@dataclass(frozen=True)
class AttentionPattern:
    """How a pattern is made from a rig, and what it takes."""

    make: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
    """(c2w_VF44, K_VF33, width_px, height_px) -> [F or 1, h, K, K], see `EncodedCameras`."""
    bytes_a_pair: Callable[..., float]
    """(element, made, batch, heads) -> bytes for each pair of tokens, of a pattern given for `made`
    frames and used by `batch` of them at once: as it comes, and as attention reads it."""


def pattern_of(name: str) -> AttentionPattern | None:
    """Return the pattern of this name; None for "full", where every token sees all."""
    return None if name == "full" else named(PATTERNS[name])
