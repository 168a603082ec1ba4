# SPDX-License-Identifier: Apache-2.0
"""Where the tokens' rays meet the ground: numbers that are alike for tokens that see one spot.

Shape legend: V views, F latent frames, S tokens of a latent frame.
"""

from __future__ import annotations

import numpy as np

from syncam_engine.model.camera_encoding import anchor_poses
from syncam_engine.model.presets import CameraEncoding
from syncam_engine.model.token_grid import token_rays

FADE_UNITS = 6.0
"""Ground detail farther than this many units fades from the encoding (it would alias)."""


def ground_hits(
    c2w_VF44: np.ndarray,
    K_VF33: np.ndarray,
    encoding: CameraEncoding,
    frequencies: int,
    width_px: int,
    height_px: int,
    anchor: int,
) -> np.ndarray:
    """Return where each token's ray meets the ground z = 0, [V, F, S, 3 + 4 x frequencies].

    Seen in a level frame on the ground below the anchor, x along the anchor's heading:
    1 / (1 + distance), x and y squashed to (-1, 1), then sin and cos of x and y at 1, 2, 4, ...
    half-turns in 4 units, so that tokens that see one spot are alike. All 0 for a ray that goes up.
    """
    unit = encoding.unit_m
    anchor_F44 = anchor_poses(c2w_VF44, anchor, encoding.anchoring)
    forward = anchor_F44[:, :2, 2]
    # A camera that looks straight down has no heading: its picture's up is taken instead.
    length = np.linalg.norm(forward, axis=-1, keepdims=True)
    heading = np.where(length > 1e-3, forward, -anchor_F44[:, :2, 1])
    heading = heading / np.maximum(np.linalg.norm(heading, axis=-1, keepdims=True), 1e-9)
    axes_F22 = np.stack([heading, np.stack([-heading[:, 1], heading[:, 0]], -1)], axis=1)

    rays = token_rays(K_VF33, width_px, height_px)
    direction = np.einsum("vfij,vfsj->vfsi", c2w_VF44[..., :3, :3], rays)
    origin = c2w_VF44[:, :, None, :3, 3] / unit
    down = direction[..., 2] < -1e-6
    distance = np.where(down, -origin[..., 2] / np.where(down, direction[..., 2], -1.0), np.inf)
    hit = down & (distance > 0)
    distance = np.where(hit, np.maximum(distance, 1e-3), 1.0)
    spot = origin[..., :2] + distance[..., None] * direction[..., :2]
    spot = np.einsum("fij,vfsj->vfsi", axes_F22, spot - anchor_F44[None, :, None, :2, 3] / unit)
    near = np.exp(-distance / FADE_UNITS)[..., None]
    parts = [1.0 / (1.0 + distance)[..., None], spot / (FADE_UNITS + np.abs(spot))]
    for k in range(frequencies):
        angle = spot * (np.pi * 2**k / 4.0)
        parts += [np.sin(angle) * near, np.cos(angle) * near]
    return np.concatenate(parts, axis=-1) * hit[..., None]
