# SPDX-License-Identifier: Apache-2.0
"""The geometric attention pattern: each head looks where its token would be seen in other views.

A small network does not find out by itself which tokens of two views see the same thing: trained
with full attention, ours spread its view attention evenly over the other pictures. Here the rig
says it. A token's ray alone does not say how far away the thing is that it sees, so heads are given
different guesses: on the floor or the sky behind it, at the depth that the cameras look at, or
anywhere along the ray. A guess is added to the scores as a smooth bump and hides nothing, as a
linear bias of the distance does in ALiBi (Press et al., 2022).

Built from the rig with numpy; nothing depends on which camera is the anchor.
Shape legend: V views, F latent frames, S = h x w tokens of a latent frame, K = V x S.
"""

from __future__ import annotations

import numpy as np

from syncam_engine.model.epipolar import fundamental
from syncam_engine.model.focus import focus_point
from syncam_engine.model.patterns import AttentionPattern
from syncam_engine.model.token_grid import (
    TOKEN_PX,
    frames_that_differ,
    token_centres,
    token_rays,
)

HEAD_GUESSES = (None, ("behind", 1.0), ("focus", 0.7), None, ("behind", 2.5), ("line", 0.7))
"""For head 0, 1, ...: what it assumes, and the bump's standard deviation in tokens. More heads
start again from the first."""
LOWEST = -6.0
"""Score of tokens that are far from the guess."""
DOME_RADII = 4.0
"""The sky and whatever stands around are guessed on a dome, this many focus distances wide."""
FAR_TOKENS = 1e4
"""Places farther outside a picture count as this far: their squares fit 32 bits."""
EPSILON = 1e-9


def geometric_pattern(
    c2w_VF44: np.ndarray, K_VF33: np.ndarray, width_px: int, height_px: int
) -> np.ndarray:
    """Return float32 [F, h, K, K], what is added to row token's score for column token.

    F is 1 where nothing moves; h is the length of HEAD_GUESSES.
    """
    centres_S3 = token_centres(width_px, height_px)
    rays_VFS3 = token_rays(K_VF33, width_px, height_px)
    return np.stack(
        [
            _frame(c2w_VF44[:, k], K_VF33[:, k], rays_VFS3[:, k], centres_S3)
            for k in frames_that_differ(c2w_VF44, K_VF33)
        ]
    )


def _frame(c2w_V44, K_V33, rays_VS3, centres_S3) -> np.ndarray:
    """Return the pattern of one latent frame, [h, K, K]; rays in camera axes."""
    tokens = len(c2w_V44) * len(centres_S3)
    origins_V13 = c2w_V44[:, None, :3, 3]
    rays_VS3 = np.einsum("vij,vsj->vsi", c2w_V44[:, :3, :3], rays_VS3)
    focus = focus_point(c2w_V44)
    behind = points_behind(origins_V13, rays_VS3, focus)
    at_focus = points_at_focus(origins_V13, rays_VS3, focus)
    squared = {
        "behind": _seen_at(behind, c2w_V44, K_V33, centres_S3),
        "focus": _seen_at(at_focus, c2w_V44, K_V33, centres_S3),
        "line": _to_line(c2w_V44, K_V33, centres_S3),
    }
    heads = []
    for guess in HEAD_GUESSES:
        if guess is None:
            heads.append(np.zeros((tokens, tokens), np.float32))
        else:
            name, spread = guess
            heads.append(np.maximum(-0.5 / spread**2 * squared[name], LOWEST))
    return np.stack(heads)


def points_behind(origins_V13: np.ndarray, rays_VS3: np.ndarray, focus: np.ndarray) -> np.ndarray:
    """Return where rays meet the floor z = 0 or, before that, the dome around the focus; [V, S, 3].

    Rays are unit directions in the world.
    """
    offset_V13 = origins_V13 - focus
    radius = DOME_RADII * np.median(np.linalg.norm(offset_V13, axis=-1))
    along = -(rays_VS3 * offset_V13).sum(-1)
    inside = along**2 - (offset_V13**2).sum(-1) + radius**2
    dome = along + np.sqrt(np.maximum(inside, 0.0))
    height, drop = origins_V13[..., 2], -rays_VS3[..., 2]
    floor = np.where((drop > EPSILON) & (height > 0), height / np.maximum(drop, EPSILON), np.inf)
    return origins_V13 + np.minimum(floor, dome)[..., None] * rays_VS3


def points_at_focus(origins_V13: np.ndarray, rays_VS3: np.ndarray, focus: np.ndarray) -> np.ndarray:
    """Return each ray's point nearest to the focus, [V, S, 3]."""
    along = (rays_VS3 * (focus - origins_V13)).sum(-1)
    return origins_V13 + np.maximum(along, EPSILON)[..., None] * rays_VS3


def _seen_at(points_VS3, c2w_V44, K_V33, centres_S3) -> np.ndarray:
    """Return float32 [K, K]: from where a row token's point is seen to each column token, in
    tokens, squared; infinite for a point behind the camera."""
    views, tokens = points_VS3.shape[:2]
    points_K3 = points_VS3.reshape(-1, 3)
    squared = np.full((views * tokens, views, tokens), np.inf, np.float32)
    centres_S2 = (centres_S3[:, :2] / TOKEN_PX).astype(np.float32)
    for j in range(views):
        local_K3 = (points_K3 - c2w_V44[j, :3, 3]) @ c2w_V44[j, :3, :3]
        ahead = local_K3[:, 2] > EPSILON
        seen = local_K3[ahead] @ K_V33[j].T
        seen_2 = np.clip(seen[:, :2] / seen[:, 2:] / TOKEN_PX, -FAR_TOKENS, FAR_TOKENS)
        # Two arrays, each read straight through: as pairs in one they take three times as long.
        across, down = (
            np.subtract.outer(seen_K, centres_S)
            for seen_K, centres_S in zip(seen_2.astype(np.float32).T, centres_S2.T, strict=True)
        )
        squared[ahead, j] = np.square(across, out=across) + np.square(down, out=down)
    return squared.reshape(views * tokens, views * tokens)


def _to_line(c2w_V44, K_V33, centres_S3) -> np.ndarray:
    """Return float32 [K, K]: from a row token's epipolar line to each column token, in tokens,
    squared; 0 in its own view and between cameras in one place."""
    views, tokens = len(c2w_V44), len(centres_S3)
    squared = np.zeros((views, tokens, views, tokens), np.float32)
    for i in range(views):
        for j in range(views):
            if i != j:
                lines_S3 = centres_S3 @ fundamental(c2w_V44, K_V33, i, j).T
                slope_S1 = np.linalg.norm(lines_S3[:, :2], axis=-1, keepdims=True) * TOKEN_PX
                squared[i, :, j] = np.square(
                    lines_S3 / np.maximum(slope_S1, EPSILON) @ centres_S3.T
                )
    return squared.reshape(views * tokens, views * tokens)


def _bytes_a_pair(element: int, made: int, batch: int, heads: int) -> float:
    """A float32 for each kind of heads; attention reads one for each head."""
    kinds = len(HEAD_GUESSES)
    return made * kinds * 4 + batch * (kinds + heads) * element


GEOMETRIC = AttentionPattern(geometric_pattern, _bytes_a_pair)
