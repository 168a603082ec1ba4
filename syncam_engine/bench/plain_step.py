# SPDX-License-Identifier: Apache-2.0
"""A guided step the straightforward way, as published multi-view code does it: what
`syncam bench sampler` compares with.

Each guidance branch is a call of its own, each view carries its own copy of the text, and text
keys/values, camera embeddings and rotary tables are computed anew in every block of every step.
The same weights and the same attention kernels as ours.

Shape legend: V views, F latent frames, N tokens of a view, D width, L text tokens.
"""

from __future__ import annotations

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from einops import rearrange, repeat
from torch import Tensor

from syncam_engine.model.transformer import MultiViewWanTransformer

PROCESSOR = WanAttnProcessor()


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
    """Return v(none) + scale [v(text) - v(none)], one branch after the other."""
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
    rotary = model.rope(z_VCFHW)
    x = model.patch_embedding(z_VCFHW).flatten(2).transpose(1, 2)
    time, six, text, _ = model.condition_embedder(
        z_VCFHW.new_full((views,), timestep), repeat(text_LD, "l d -> v l d", v=views)
    )
    six = six.unflatten(1, (6, -1))
    for block in model.blocks:
        shift, scale, gate, c_shift, c_scale, c_gate = (
            block.scale_shift_table + six.float()
        ).chunk(6, dim=1)
        normed = (block.norm1(x.float()) * (1 + scale) + shift).type_as(x)
        x = (x.float() + block.attn1(normed, None, None, rotary) * gate).type_as(x)

        mvs = block.mvs
        shift, scale, gate = (mvs.modulation + six[:, :3].float()).chunk(3, dim=1)
        camera = mvs.camera_encoder(
            repeat(cameras_VFSR, "v f 1 r -> v (f s) r", s=h * w).to(x.dtype)
        )
        normed = (mvs.norm(x.float()) * (1 + scale) + shift).type_as(x) + camera
        together = rearrange(normed, "v (f s) d -> f (v s) d", f=frames)
        turned = model.view_rotary(views, h, w, x.device)
        seen = mvs.attn(together, None, None, turned)
        seen = mvs.projector(rearrange(seen, "f (v s) d -> v (f s) d", v=views))
        x = (x.float() + seen * gate).type_as(x)

        normed = block.norm2(x.float()).type_as(x)
        x = x + PROCESSOR(block.attn2, normed, text)
        normed = (block.norm3(x.float()) * (1 + c_scale) + c_shift).type_as(x)
        x = (x.float() + block.ffn(normed).float() * c_gate).type_as(x)
    shift, scale = (model.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
    x = model.proj_out((model.norm_out(x.float()) * (1 + scale) + shift).type_as(x))
    return rearrange(
        x, "v (f h w) (ph pw c) -> v c f (h ph) (w pw)", f=frames, h=h, w=w, ph=2, pw=2
    )
