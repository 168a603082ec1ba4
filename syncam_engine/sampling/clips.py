# SPDX-License-Identifier: Apache-2.0
"""Clips given by the user (a reference, viewport renders), brought to the preset's size and rate.

Time: picture k shows the source frame nearest to k / fps; frames are never blended, and a source
that ends too early is refused. Picture: `crop` fills the frame and loses edges, `letterbox` keeps
all and adds black bars (the same rules as the cameras', `link.fit`).

Shape legend: V views, T pictures, H, W, 3 = RGB; uint8.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from syncam_engine.link.rig import frames_shown
from syncam_engine.media.read import read_resampled

MOST_TIMES_LARGER = 8
"""A picture with so many times the pixels that are needed is made smaller as it is decoded."""


def fit_clip(
    clip_THW3: np.ndarray,
    width_px: int,
    height_px: int,
    frames: int,
    *,
    clip_fps: Fraction | float | None = None,
    fps: Fraction | float | None = None,
    rule: str = "crop",
    name: str = "clip_THW3",
) -> np.ndarray:
    """Return the clip as uint8 [frames, height, width, 3].

    Without both rates it is taken picture for picture. Raises ValueError naming `name`, the value
    and the valid one.
    """
    clip_THW3 = np.asarray(clip_THW3)
    if clip_THW3.ndim != 4 or clip_THW3.shape[3] != 3 or 0 in clip_THW3.shape:
        raise ValueError(f"{name} has shape {clip_THW3.shape}; it must be [pictures, H, W, 3]")
    if clip_THW3.dtype != np.uint8:
        raise ValueError(f"{name} is {clip_THW3.dtype}; it must be uint8")
    if rule not in ("crop", "letterbox"):
        raise ValueError(f"rule is {rule!r}; it must be 'crop' or 'letterbox'")
    source = list(range(frames))
    if clip_fps is not None and fps is not None:
        rates = _rate(clip_fps, f"the rate of {name}"), _rate(fps, "fps")
        source = frames_shown(frames, *rates)
    if source[-1] >= len(clip_THW3):
        raise ValueError(
            f"{name} has {len(clip_THW3)} pictures; {frames} pictures at the request's rate need "
            f"{source[-1] + 1}"
        )
    return resize(clip_THW3[source], width_px, height_px, rule)


def read_fitted(
    path: Path, width_px: int, height_px: int, frames: int, fps: Fraction, rule: str
) -> np.ndarray:
    """Return a file's clip as uint8 [frames, height, width, 3] at `fps`, with no more of it in
    memory than that and a picture. Raises `SynCamError` "clip.*"."""
    return read_resampled(
        path,
        frames,
        fps,
        most_pixels=MOST_TIMES_LARGER * width_px * height_px,
        fit=lambda picture_HW3: resize(picture_HW3[None], width_px, height_px, rule)[0],
    )


def _rate(fps: Fraction | float, name: str) -> Fraction:
    """Return a rate as a fraction of small numbers; raises ValueError for one that is none."""
    try:
        rate = Fraction(fps).limit_denominator(100_000)
    except (ValueError, OverflowError, TypeError):
        rate = Fraction(0)
    if rate <= 0:
        raise ValueError(f"{name} is {fps!r}; it must be a number of pictures a second above 0")
    return rate


def resize(clip_THW3: np.ndarray, width_px: int, height_px: int, rule: str) -> np.ndarray:
    """Return the clip at another size, antialiased, by the rule."""
    _, height, width, _ = clip_THW3.shape
    if (width, height) == (width_px, height_px):
        return np.ascontiguousarray(clip_THW3)
    ratios = (width_px / width, height_px / height)
    scale = max(ratios) if rule == "crop" else min(ratios)
    w, h = (max(1, round(width * scale)), max(1, round(height * scale)))
    pictures = torch.from_numpy(np.ascontiguousarray(clip_THW3)).permute(0, 3, 1, 2).float()
    pictures = torch.nn.functional.interpolate(
        pictures, size=(h, w), mode="bilinear", antialias=True, align_corners=False
    )
    pictures = pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    out = np.zeros((len(pictures), height_px, width_px, 3), np.uint8)
    left, top = (width_px - w) // 2, (height_px - h) // 2
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + h, height_px), min(left + w, width_px)
    out[:, y0:y1, x0:x1] = pictures[:, y0 - top : y1 - top, x0 - left : x1 - left]
    return out
