# SPDX-License-Identifier: Apache-2.0
"""What the transformer's inputs must look like; `transformer.py` has the shape legend."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from syncam_engine.model.interfaces import SPATIAL_STRIDE, TEMPORAL_STRIDE


def check_inputs(
    config: Any, z: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None, cameras: Tensor
) -> None:
    """Raise ValueError naming the first argument of `forward` that does not fit the others."""
    if z.ndim != 6 or z.shape[2] != config.in_channels:
        raise ValueError(
            f"z_BVCFHW has shape {tuple(z.shape)}; it must be [scenes, views, "
            f"{config.in_channels}, frames, rows, columns]"
        )
    scenes, views, _, frames, rows, columns = z.shape
    p_t, p_h, p_w = config.patch_size
    if frames % p_t or rows % p_h or columns % p_w or 0 in z.shape:
        raise ValueError(
            f"z_BVCFHW has {frames} frames of {rows}x{columns}; they must be multiples of "
            f"{p_t}, {p_h}x{p_w}, and not 0"
        )
    if tuple(t.shape) not in ((scenes,), (scenes, views)):
        raise ValueError(
            f"t_BV has shape {tuple(t.shape)}; it must be {(scenes,)} or {(scenes, views)}"
        )
    batch = len(text) if scenes == 1 else scenes
    if text.ndim != 3 or text.shape[0] != batch or text.shape[2] != config.text_dim or not batch:
        raise ValueError(
            f"text_tokens_BLD has shape {tuple(text.shape)}; it must be "
            f"[{scenes}, tokens, {config.text_dim}]"
        )
    if text_mask is not None and tuple(text_mask.shape) != tuple(text.shape[:2]):
        raise ValueError(
            f"text_mask_BL has shape {tuple(text_mask.shape)}; it must be {tuple(text.shape[:2])}"
        )
    tokens = math.prod((rows // p_h, columns // p_w))
    expected = [
        (b, views, frames // p_t, s, config.camera_numbers) for b in (1, batch) for s in (1, tokens)
    ]
    if tuple(cameras.shape) not in expected:
        raise ValueError(
            f"cameras_BVFSR has shape {tuple(cameras.shape)}; it must be "
            f"[{batch} or 1, {views}, {frames // p_t}, 1 or {tokens}, {config.camera_numbers}]: "
            "every view needs a pose for every latent frame"
        )


def check_pattern(pattern: Tensor, batch: int, frames: int, tokens: int) -> None:
    """Raise ValueError unless it is a pattern for frames of `tokens` tokens of all views."""
    shape = tuple(pattern.shape)
    fits = pattern.ndim in (4, 5) and shape[-4] in (1, frames) and shape[-2:] == (tokens, tokens)
    if not fits or shape[-3] == 0 or (pattern.ndim == 5 and shape[0] != batch):
        raise ValueError(
            f"pattern_FhKK has shape {shape}; it must be [1 or {frames}, kinds of heads, "
            f"{tokens}, {tokens}], or {batch} of these: a row and a column for each view's tokens"
        )
    if not (pattern.is_floating_point() or pattern.dtype == torch.bool):
        raise ValueError(
            f"pattern_FhKK is of {pattern.dtype}; it must be bool (who is seen) or float (added to "
            "the scores)"
        )


def check_guides(config: Any, guides: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless guides fit latents of this shape [B, V, C, F, H, W]."""
    batch, views, _, frames, rows, columns = shape
    if not config.guide_channels:
        raise ValueError("guides_BVTGHW is given, and this network takes no guides")
    pictures = TEMPORAL_STRIDE * (frames - 1) + 1
    pixels = rows * SPATIAL_STRIDE, columns * SPATIAL_STRIDE
    wanted = (views, pictures, config.guide_channels, *pixels)
    if guides.ndim != 6 or len(guides) not in (1, batch) or tuple(guides.shape[1:]) != wanted:
        raise ValueError(
            f"guides_BVTGHW has shape {tuple(guides.shape)}; it must be "
            f"[{batch} or 1, {', '.join(map(str, wanted))}]"
        )
