# SPDX-License-Identifier: Apache-2.0
"""Guides: what a scene's own geometry tells of each camera's pictures, as every host sends it.

Depth is plane depth in metres (along the optical axis, not along the ray). On the wire it is one
16-bit number a pixel: inverse depth in steps of 1/65535 of the nearest distance, 0 where nothing
is. The scale is the same for every host and scene, whatever a camera's clip distances are.
"""

from __future__ import annotations

import math

NEAREST_M = 0.3
"""What is nearer is told as this near."""
LEVELS = 65535
"""The level of `NEAREST_M`; half a percent of depth or better from there to 100 m."""


def level_of_depth(depth_m: float) -> int:
    """The 16-bit level of a depth: 0 for infinity ("nothing there"), else 1 to 65535.

    Raises ValueError for what is no distance in front of a camera (NaN, zero, negative).
    """
    if not depth_m > 0:
        raise ValueError(f"a depth must be above 0 m, got {depth_m:g}")
    if math.isinf(depth_m):
        return 0
    return min(max(round(LEVELS * NEAREST_M / depth_m), 1), LEVELS)


def depth_of_level(level: int) -> float:
    """The depth in metres of a 16-bit level; infinity for 0."""
    if not 0 <= level <= LEVELS:
        raise ValueError(f"a depth's level must be 0 to {LEVELS}, got {level}")
    return LEVELS * NEAREST_M / level if level else math.inf
