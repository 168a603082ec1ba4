# SPDX-License-Identifier: Apache-2.0
"""A guided step the straightforward way: what `syncam bench sampler` compares with.

Operation by operation as the published multi-view code goes about it, on the same weights: each
guidance branch is a call of its own, each view carries its own copy of the text, and text tokens,
their keys and values, camera embeddings and rotary tables are computed anew in every call. Queries
and keys are turned in float64 complex numbers; attention is torch's own.

Shape legend: V views, C channels, F latent frames, H, W latent rows and columns, S = h x w tokens
of a latent frame, N = F x S, D width, L text tokens, R camera numbers, n heads, d head size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from syncam_engine.model.transformer import MultiViewWanTransformer


@torch.no_grad()
def plain_guided_velocity(
    model: MultiViewWanTransformer,
    z_VCFHW: Tensor,
    timestep: float,
    prompt_LD: Tensor,
    negative_LD: Tensor,
    cameras_VFSR: Tensor,
    scale: float,
) -> Tensor:
    """Return v(none) + scale [v(text) - v(none)], one branch after the other.

    The model must be set to plain arithmetic (`set_fused(False)`).
    """
    v_none = plain_velocity(model, z_VCFHW, timestep, negative_LD, cameras_VFSR)
    v_text = plain_velocity(model, z_VCFHW, timestep, prompt_LD, cameras_VFSR)
    return v_none + scale * (v_text - v_none)


def plain_velocity(
    model: MultiViewWanTransformer,
    z_VCFHW: Tensor,
    timestep: float,
    text_LD: Tensor,
    cameras_VFSR: Tensor,
) -> Tensor:
    """Return one branch's velocity, [V, C, F, H, W]."""
    views, _, frames, rows, columns = z_VCFHW.shape
    h, w = rows // 2, columns // 2
    size = model.config.attention_head_dim
    x = rearrange(model.patch_embedding(z_VCFHW), "v d f h w -> v (f h w) d").contiguous()
    time, six, text, _ = model.condition_embedder(
        z_VCFHW.new_full((1,), timestep), repeat(text_LD, "l d -> v l d", v=views)
    )
    six = six.unflatten(1, (6, -1))
    turns = rotary_turns(size, frames, h, w).to(x.device)
    view_turns = rotary_turns(size, views, h, w).to(x.device)
    for block in model.blocks:
        table = block.scale_shift_table + six
        shift, scale, gate, c_shift, c_scale, c_gate = table.type_as(x).chunk(6, dim=1)
        normed = modulated(block.norm1(x), shift, scale)
        x = x + gate * self_attention(block.attn1, normed, turns)

        mvs = block.mvs
        shift, scale, gate = (mvs.modulation + six[:, :3]).type_as(x).chunk(3, dim=1)
        normed = modulated(mvs.norm(x), shift, scale)
        camera = mvs.camera_encoder(cameras_VFSR[:, :, 0].to(x.dtype))
        normed = normed + repeat(camera, "v f d -> v (f s) d", s=h * w)
        x, normed = (rearrange(y, "v (f s) d -> f (v s) d", f=frames) for y in (x, normed))
        x = x + gate * mvs.projector(self_attention(mvs.attn, normed, view_turns))
        x = rearrange(x, "f (v s) d -> v (f s) d", v=views)

        x = x + cross_attention(block.attn2, block.norm2(x), text)
        x = x + c_gate * block.ffn(modulated(block.norm3(x), c_shift, c_scale))
    shift, scale = (model.scale_shift_table + time.unsqueeze(1)).type_as(x).chunk(2, dim=1)
    x = model.proj_out(modulated(model.norm_out(x), shift, scale))
    return rearrange(
        x, "v (f h w) (ph pw c) -> v c f (h ph) (w pw)", f=frames, h=h, w=w, ph=2, pw=2
    )


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def self_attention(attn, x: Tensor, turns: Tensor) -> Tensor:
    query, key = rms_norm(attn.norm_q, attn.to_q(x)), rms_norm(attn.norm_k, attn.to_k(x))
    query, key = turned(query, turns, attn.heads), turned(key, turns, attn.heads)
    return attn.to_out[0](attended(query, key, attn.to_v(x), attn.heads))


def cross_attention(attn, x: Tensor, text: Tensor) -> Tensor:
    query, key = rms_norm(attn.norm_q, attn.to_q(x)), rms_norm(attn.norm_k, attn.to_k(text))
    return attn.to_out[0](attended(query, key, attn.to_v(text), attn.heads))


def attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    parts = (rearrange(y, "b s (n d) -> b n s d", n=heads) for y in (query, key, value))
    return rearrange(F.scaled_dot_product_attention(*parts), "b n s d -> b s (n d)")


def rms_norm(norm, x: Tensor) -> Tensor:
    full = x.float()
    full = full * torch.rsqrt(full.pow(2).mean(dim=-1, keepdim=True) + norm.eps)
    return full.to(x.dtype) * norm.weight


def turned(x: Tensor, turns: Tensor, heads: int) -> Tensor:
    pairs = rearrange(x, "b s (n d) -> b s n d", n=heads).to(torch.float64).unflatten(-1, (-1, 2))
    out = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turns)
    return out.flatten(2).to(x.dtype)


def rotary_turns(size: int, frames: int, h: int, w: int) -> Tensor:
    """Return each token's turns as complex numbers, [F h w, 1, size / 2]."""
    spatial = 2 * (size // 6)
    grid = torch.meshgrid(torch.arange(frames), torch.arange(h), torch.arange(w), indexing="ij")
    angles = [
        place.flatten()[:, None] / 10000.0 ** (torch.arange(0, dim, 2).double() / dim)
        for place, dim in zip(grid, (size - 2 * spatial, spatial, spatial), strict=True)
    ]
    angle = torch.cat(angles, dim=-1)[:, None]
    return torch.polar(torch.ones_like(angle), angle)
