# SPDX-License-Identifier: Apache-2.0
"""From a scene to a sample: which cameras, which frames, which caption. All chance is in `rng`.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from syncam_engine.data.scene import Scene

TEMPORAL_STRIDE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """What to read of a scene."""

    cameras: tuple[int, ...]
    """Camera of each view, the anchor first; all the same for a `static` scene."""
    start: int
    """Scene frame of picture 0."""
    frames: int
    """T = 4(F-1)+1 pictures, consecutive."""
    caption: str

    @property
    def latent_frames(self) -> int:
        return (self.frames - 1) // TEMPORAL_STRIDE + 1


def draw_views(
    scene: Scene,
    rng: np.random.Generator,
    *,
    views: int,
    frames: int,
    sets: Sequence[tuple[int, ...]] | None = None,
    whole_clip: bool = False,
    apart: int = 100,
) -> Draw:
    """Draw views and frames of one scene.

    `sets`: the eligible camera sets of a `multiview` scene (`data.angles`); None draws any
    cameras. `whole_clip` starts at frame 0 (latents cannot be cut elsewhere). `apart`: the most
    frame numbers between the pictures of a `moving` scene. Raises `ValueError` when the scene has
    too few cameras or pictures.
    """
    caption = scene.captions[int(rng.integers(len(scene.captions)))]
    if scene.frames < frames:
        raise ValueError(f"scene {scene.key} has {scene.frames} pictures, {frames} are needed")
    start = 0 if whole_clip else int(rng.integers(scene.frames - frames + 1))
    if scene.kind == "static":
        cameras = (0,) * views
    elif scene.kind == "moving":
        cameras = _moving_views(scene, rng, views, apart)
    elif sets is not None:
        anchor, *rest = sets[int(rng.integers(len(sets)))]
        cameras = (anchor, *(int(c) for c in rng.permutation(rest)))
    else:
        if scene.cameras < views:
            raise ValueError(f"scene {scene.key} has {scene.cameras} cameras, {views} are needed")
        cameras = tuple(int(c) for c in rng.permutation(scene.cameras)[:views])
    return Draw(cameras=cameras, start=start, frames=frames, caption=caption)


def _moving_views(
    scene: Scene, rng: np.random.Generator, views: int, apart: int
) -> tuple[int, ...]:
    order = np.asarray(scene.order or range(scene.cameras))
    # Windows of `apart` frame numbers, each from one picture on, that hold enough pictures.
    windows = [np.flatnonzero((order >= low) & (order <= low + apart)) for low in order]
    windows = [window for window in windows if len(window) >= views]
    if not windows:
        raise ValueError(
            f"scene {scene.key} has no {views} pictures within {apart} frames of each other"
        )
    window = windows[int(rng.integers(len(windows)))]
    return tuple(int(i) for i in rng.permutation(window)[:views])


def cameras_of(scene: Scene, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """K_VF33 and c2w_cv_m_VF44 of a draw: one camera a latent frame, at pictures 0, 4, 8, ..."""
    frames = [draw.start + TEMPORAL_STRIDE * f for f in range(draw.latent_frames)]
    K = np.stack([[scene.K_at(c, k) for k in frames] for c in draw.cameras])
    c2w = np.stack([[scene.c2w_cv_m_at(c, k) for k in frames] for c in draw.cameras])
    return K.astype(np.float32), c2w.astype(np.float32)


def fit_pictures(
    pictures_VTHW3: np.ndarray, K_VF33: np.ndarray, width_px: int, height_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scale to cover WIDTHxHEIGHT, crop the middle, and change K alike."""
    views, frames, height, width, _ = pictures_VTHW3.shape
    if (width, height) == (width_px, height_px):
        return pictures_VTHW3, K_VF33
    scale = max(width_px / width, height_px / height)
    fitted = np.empty((views, frames, height_px, width_px, 3), np.uint8)
    # The box of the source that is kept, in source pixels.
    box_w, box_h = width_px / scale, height_px / scale
    left, top = (width - box_w) / 2, (height - box_h) / 2
    for v in range(views):
        for t in range(frames):
            picture = Image.fromarray(pictures_VTHW3[v, t])
            fitted[v, t] = picture.resize(
                (width_px, height_px),
                Image.Resampling.LANCZOS,
                box=(left, top, left + box_w, top + box_h),
            )
    K = K_VF33.copy()
    K[..., 0, 2] -= left
    K[..., 1, 2] -= top
    K[..., :2, :] *= scale
    return fitted, K
