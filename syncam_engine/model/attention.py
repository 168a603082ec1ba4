# SPDX-License-Identifier: Apache-2.0
"""The attention of every layer: Wan's arithmetic, what depends on the request alone kept.

Shape legend: B scenes or guidance branches, R rows, N tokens (queries), M keys,
L text tokens, D width, h heads, d head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from einops import repeat
from torch import Tensor

from syncam_engine.model.arithmetic import rms_normalised, turned
from syncam_engine.model.bfloat16_products import attention_in_bfloat16, may_attend_in_bfloat16


@dataclass(frozen=True)
class TextKeys:
    """Keys and values of a request's text in one block, [B, L, h, d], and who may be looked at."""

    key_BLhd: Tensor
    value_BLhd: Tensor
    mask_B11L: Tensor | None
    """bool, or a float that is added to the scores."""

    @classmethod
    def of(
        cls, attn, text_BLD: Tensor, mask_B11L: Tensor | None, *, weight_padding: bool
    ) -> TextKeys:
        """Return the keys and values, shortened by the padding at the text's end.

        Wan pads a prompt to 512 equal rows and lets them be seen. Equal rows have equal keys and
        values, so one of them with log(count) added to its score stands for all, exactly. Hidden
        padding is cut off.
        """
        if mask_B11L is not None:
            seen = mask_B11L.flatten(1).any(0)
            length = int(seen.nonzero().max()) + 1 if seen.any() else 1
            text_BLD, mask_B11L = text_BLD[:, :length], mask_B11L[..., :length]
        elif weight_padding:
            text_BLD, mask_B11L = _weighted(text_BLD)
        return cls(*keys_and_values(attn, text_BLD), mask_B11L)


def _weighted(text_BLD: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the text with its equal last rows as one, and the weights [B, 1, 1, L] to add."""
    length = text_BLD.shape[1]
    differs = (text_BLD != text_BLD[:, -1:]).any(-1)
    place = torch.arange(1, length + 1, device=text_BLD.device)
    own_B = (differs * place).amax(1)  # rows before the padding; the next stands for the rest
    kept = min(int(own_B.max()) + 1, length)
    if kept > 0.75 * length:
        return text_BLD, None
    bias_BL = torch.zeros(text_BLD.shape[0], kept, device=text_BLD.device)
    for row, own in enumerate(own_B.tolist()):
        bias_BL[row, own] = math.log(length - own)
        bias_BL[row, own + 1 :] = -math.inf
    return text_BLD[:, :kept], bias_BL[:, None, None].to(text_BLD.dtype)


def keys_and_values(attn, text_BLD: Tensor) -> tuple[Tensor, Tensor]:
    """Return (key, value), each [B, L, h, d]."""
    if attn.fused_projections and attn.is_cross_attention:
        key, value = attn.to_kv(text_BLD).chunk(2, dim=-1)
    else:
        key, value = attn.to_k(text_BLD), attn.to_v(text_BLD)
    key = rms_normalised(attn.norm_k, key, fused=attn.processor.fused)
    return key.unflatten(2, (attn.heads, -1)), value.unflatten(2, (attn.heads, -1))


def attended(
    query_RNhd: Tensor, key_RMhd: Tensor, value_RMhd: Tensor, mask: Tensor | None, backend
) -> Tensor:
    """Return attention's output [R, N, h, d] by diffusers' dispatch."""
    if query_RNhd.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # torch's attention on a CPU is several times slower in 16 bits: it alone stays in 32.
        with torch.autocast("cpu", enabled=False):
            wide = (x.float() for x in (query_RNhd, key_RMhd, value_RMhd))
            if mask is not None and mask.is_floating_point():
                mask = mask.float()
            return dispatch_attention_fn(*wide, attn_mask=mask, backend=backend)
    return dispatch_attention_fn(query_RNhd, key_RMhd, value_RMhd, attn_mask=mask, backend=backend)


class MultiViewAttnProcessor(WanAttnProcessor):
    """Self-, view and cross-attention. A subclass, so that diffusers treats it as Wan's own."""

    fused = True
    """See `arithmetic.py`."""
    in_bfloat16 = False
    """See `bfloat16_products.py`."""

    def __call__(
        self,
        attn,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
        text_keys: TextKeys | None = None,
    ) -> Tensor:
        if text_keys is not None:
            query = attn.to_q(hidden_states)
            key, value = text_keys.key_BLhd, text_keys.value_BLhd
            attention_mask = text_keys.mask_B11L
        elif encoder_hidden_states is not None:
            query = attn.to_q(hidden_states)
            key, value = keys_and_values(attn, encoder_hidden_states)
        elif attn.fused_projections:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
            key = rms_normalised(attn.norm_k, key, fused=self.fused).unflatten(2, (attn.heads, -1))
            value = value.unflatten(2, (attn.heads, -1))
        else:
            query = attn.to_q(hidden_states)
            key, value = keys_and_values(attn, hidden_states)
        query = rms_normalised(attn.norm_q, query, fused=self.fused).unflatten(2, (attn.heads, -1))
        if rotary_emb is not None:
            query, key = (turned(x, rotary_emb, fused=self.fused) for x in (query, key))
        copies = query.shape[0] // key.shape[0]
        if copies > 1:  # one text a scene, several views: every view reads the same keys
            key, value = (repeat(x, "b l h d -> (b v) l h d", v=copies) for x in (key, value))
        if attention_mask is not None and 1 < len(attention_mask) < len(query):
            copies = len(query) // len(attention_mask)
            attention_mask = attention_mask.repeat_interleave(copies, 0)
        plain = attention_mask is None and self._attention_backend is None
        if self.in_bfloat16 and plain and may_attend_in_bfloat16(query, key):
            out = attention_in_bfloat16(query, key, value)
        else:
            out = attended(query, key, value, attention_mask, self._attention_backend)
        return attn.to_out[1](attn.to_out[0](out.flatten(2, 3).type_as(query)))
