# SPDX-License-Identifier: Apache-2.0
"""What the views of one request share: how rows are views, cameras, rotary tables, kept results.

Shape legend: B scenes (or guidance branches), V views, F latent frames, S tokens of one latent
frame of one view (h x w), N = F x S, K = V x S, D width, R camera numbers, L text tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from syncam_engine.model.attention import TextKeys


@dataclass
class Views:
    """How the rows of a batch are views, and what the views share; one is made for each request.

    `text_keys` and `camera_terms` are filled by the blocks as they first meet them: they depend on
    the request alone, so the steps after the first read them.
    """

    views: int
    """V. Under view parallelism, the views of this rank."""
    frames: int
    """F."""
    cameras_BVFSR: Tensor
    """Camera numbers; S is 1 where they are per frame (extrinsics), B is 1 where all share them."""
    own_rotary: tuple[Tensor, Tensor]
    """(cos, sin) for the F x S tokens of one view, for its self-attention."""
    rotary: tuple[Tensor, Tensor]
    """(cos, sin) for the V x S tokens of one latent frame, all ranks' views."""
    mask: Tensor | None = None
    """[1 or BF, 1 or heads, VS, VS]: True where a token may look, or a float that is added to the
    score; None means everywhere."""
    text_mask_B11L: Tensor | None = None
    guide_tokens_RND: Tensor | None = None
    """What the guides add to the tokens, of all rows or of one scene's; None without guides."""
    guide_features_RKFhw: Tensor | None = None
    """Of each latent cell, 0 in rows that are not guided."""
    exchange: ViewExchange | None = None
    """Set under view parallelism."""
    keep: bool = False
    """Whether to remember text keys/values and camera terms between steps (inference only)."""
    text_keys: dict[int, TextKeys] = field(default_factory=dict)
    camera_terms: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewExchange:
    """Two all-to-alls: from 'my views, all frames' to 'all views, my frames' and back."""

    to_frames: Callable[[Tensor], Tensor]
    """[B, V of this rank, F, S, D] -> [B, V of all, F of this rank, S, D]."""
    to_views: Callable[[Tensor], Tensor]


def mask_of(
    pattern: Tensor, batch: int, frames: int, frames_of_rank: slice, heads: int, dtype: torch.dtype
) -> Tensor:
    """Return `Views.mask` of an attention pattern [F or 1, h, K, K], or one of these a scene.

    What is added to scores gets the dtype of the queries: a GPU's kernels read it so, and cuDNN's
    takes the bytes of another one for it without a word.
    """
    mask = pattern if pattern.ndim == 5 else pattern[None]
    if mask.is_floating_point():
        mask = mask.to(dtype)
    if mask.shape[:2] != (1, 1):  # one pattern for all frames and scenes just broadcasts
        mask = mask.expand(batch, frames, -1, -1, -1)[:, frames_of_rank]
    mask = rearrange(mask, "b f h q k -> (b f) h q k")
    if mask.shape[1] > 1:
        mask = mask[:, torch.arange(heads, device=mask.device) % mask.shape[1]]
    return mask
