# SPDX-License-Identifier: Apache-2.0
"""The epipolar attention pattern: what a token may look at in the other views.

A token sees all of its own view, and in each other view the tokens that its epipolar line touches
(the paper's appendix D, table 6). Built from the rig with numpy.

Shape legend: V views, F latent frames, S = h x w tokens of a latent frame, K = V x S.
"""

from __future__ import annotations

import numpy as np

from syncam_engine.model.patterns import AttentionPattern
from syncam_engine.model.token_grid import TOKEN_PX, frames_that_differ, token_centres

SAME_PLACE_M = 1e-6
"""Two cameras nearer than this stand in one place: there are no epipolar lines, all is allowed."""


def epipolar_pattern(
    c2w_VF44: np.ndarray, K_VF33: np.ndarray, width_px: int, height_px: int
) -> np.ndarray:
    """Return bool [F, 1, K, K], F = 1 where nothing moves: row token may look at column token.

    A token counts as on the line when its square's circumscribed circle touches it.
    """
    centres_S3 = token_centres(width_px, height_px)
    return np.stack(
        [
            _frame(c2w_VF44[:, k], K_VF33[:, k], centres_S3)[None]
            for k in frames_that_differ(c2w_VF44, K_VF33)
        ]
    )


def _frame(c2w_V44: np.ndarray, K_V33: np.ndarray, centres_S3: np.ndarray) -> np.ndarray:
    views, tokens = len(c2w_V44), len(centres_S3)
    allowed = np.ones((views, tokens, views, tokens), dtype=bool)
    for i in range(views):
        for j in range(views):
            if i != j:
                lines_S3 = centres_S3 @ fundamental(c2w_V44, K_V33, i, j).T
                reach = np.linalg.norm(lines_S3[:, :2], axis=-1) * TOKEN_PX / np.sqrt(2.0)
                # The slack keeps a line of zeros (one place; the epipole itself) at "all allowed".
                allowed[i, :, j] = np.abs(lines_S3 @ centres_S3.T) <= reach[:, None] + 1e-9
    return allowed.reshape(views * tokens, views * tokens)


def _bytes_a_pair(element: int, made: int, batch: int, heads: int) -> float:
    """Bool, one for all heads; attention makes it a float."""
    return made + batch * (1 + element)


EPIPOLAR = AttentionPattern(epipolar_pattern, _bytes_a_pair)


def fundamental(c2w_V44: np.ndarray, K_V33: np.ndarray, i: int, j: int) -> np.ndarray:
    """Return F with x_j^T F x_i = 0: the line in view j of a pixel of view i."""
    i_to_j = np.linalg.inv(c2w_V44[j]) @ c2w_V44[i]
    x, y, z = i_to_j[:3, 3]
    length = float(np.sqrt(x * x + y * y + z * z))
    if length < SAME_PLACE_M:
        return np.zeros((3, 3))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) / length
    return np.linalg.inv(K_V33[j]).T @ cross @ i_to_j[:3, :3] @ np.linalg.inv(K_V33[i])
