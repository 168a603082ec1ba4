# SPDX-License-Identifier: Apache-2.0
"""diffusers' Wan transformer with an MVS module in every block.

`MultiViewWanTransformer` is a subclass with its own `forward`; the blocks are subclasses too, and
registered, so that diffusers' caches, offload, fp8 casting, attention backends, QKV fusion,
compilation, gradient checkpointing and saving work on it as on the plain model.

Shape legend: B scenes (or guidance branches), V views, R = B x V rows, T pictures, F latent frames,
H, W latent rows and columns, C channels, G guide channels, N = F x S tokens of a view, S = h x w, K
= V x S, P values of a patch, D width, L text tokens.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_wan import (
    WanTransformer3DModel,
    WanTransformerBlock,
)
from einops import rearrange, repeat
from torch import Tensor, nn

from syncam_engine.model.arithmetic import gated, shifted, use_fast_layers
from syncam_engine.model.attention import MultiViewAttnProcessor, TextKeys
from syncam_engine.model.guide_embedding import GuideEmbedding
from syncam_engine.model.input_shapes import check_guides, check_inputs, check_pattern
from syncam_engine.model.mvs import MultiViewSync
from syncam_engine.model.presets import TransformerConfig
from syncam_engine.model.registry import named
from syncam_engine.model.views import ViewExchange, Views, mask_of


class MultiViewWanBlock(WanTransformerBlock):
    """Self-attention in each view, MVS across views, cross-attention to the text, feed-forward."""

    fused = True
    """See `arithmetic.py`."""

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        qk_norm: str,
        cross_attn_norm: bool,
        eps: float,
        *,
        mvs_form: str,
        camera_numbers: int,
        index: int,
    ) -> None:
        super().__init__(dim, ffn_dim, num_heads, qk_norm, cross_attn_norm, eps)
        self.index = index
        self.attn1.set_processor(MultiViewAttnProcessor())
        self.attn2.set_processor(MultiViewAttnProcessor())
        self.mvs = MultiViewSync(dim, num_heads, camera_numbers, form=mvs_form, eps=eps)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        views: Views,
    ) -> Tensor:
        """Return the next hidden states [R, N, D]; text [B, L, D], temb [R, 6, D].

        The hidden states may come as those of one scene for all (`forward` of the network).
        """
        x, rows, fused = hidden_states, len(hidden_states), self.fused
        table_R6D = self.scale_shift_table + temb.float()
        shift, scale, gate = table_R6D[:rows, :3].chunk(3, dim=1)
        h = shifted(self.norm1(x.float()), shift, scale, fused=fused).type_as(x)
        x = gated(x, self.attn1(h, None, None, rotary_emb), gate, fused=fused).type_as(x)

        x = self.mvs(x, temb[:rows], views, self.index)

        if rows < len(temb):  # the first block of scenes that differ by their text alone
            x = x.repeat(len(temb) // rows, 1, 1)

        h = self.norm2(x.float()).type_as(x)
        x = x + self.attn2(
            h,
            encoder_hidden_states,
            views.text_mask_B11L,
            None,
            text_keys=self._text_keys(encoder_hidden_states, views),
        )
        shift, scale, gate = table_R6D[:, 3:].chunk(3, dim=1)
        h = shifted(self.norm3(x.float()), shift, scale, fused=fused).type_as(x)
        return gated(x, self.ffn(h).float(), gate, fused=fused).type_as(x)

    def _text_keys(self, text_BLD: Tensor, views: Views) -> TextKeys | None:
        # Compiled blocks are all one program: what differs by the block's index is not kept there.
        if not views.keep or torch.compiler.is_compiling():
            return None
        if self.index not in views.text_keys:
            weight_padding = self.fused and self.attn2.processor._attention_backend is None
            views.text_keys[self.index] = TextKeys.of(
                self.attn2, text_BLD, views.text_mask_B11L, weight_padding=weight_padding
            )
        return views.text_keys[self.index]


TransformerBlockRegistry.register(
    MultiViewWanBlock,
    TransformerBlockMetadata(return_hidden_states_index=0, return_encoder_hidden_states_index=None),
)


class MultiViewWanTransformer(WanTransformer3DModel):
    """The network: noisy latents of all views, times, a text and cameras in; prediction out."""

    fused = True
    """See `arithmetic.py` and `set_fused`."""
    _no_split_modules = ["MultiViewWanBlock"]  # noqa: RUF012 (diffusers' own attribute)
    _repeated_blocks = ["MultiViewWanBlock"]  # noqa: RUF012
    _keep_in_fp32_modules = [  # noqa: RUF012
        *WanTransformer3DModel._keep_in_fp32_modules,
        "modulation",
    ]

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, ...] = (1, 2, 2),
        num_attention_heads: int = 12,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 8960,
        num_layers: int = 30,
        cross_attn_norm: bool = True,
        qk_norm: str = "rms_norm_across_heads",
        eps: float = 1e-6,
        rope_max_seq_len: int = 1024,
        mask_text: bool = False,
        mvs_form: str = "paper",
        camera_numbers: int = 12,
        view_rope: bool = True,
        guide_channels: int = 0,
    ) -> None:
        super().__init__(
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=0,  # plain blocks would be built only to be thrown away
            cross_attn_norm=cross_attn_norm,
            qk_norm=qk_norm,
            eps=eps,
            rope_max_seq_len=rope_max_seq_len,
        )
        self.register_to_config(num_layers=num_layers)
        width = num_attention_heads * attention_head_dim
        self.blocks = nn.ModuleList(
            MultiViewWanBlock(
                width,
                ffn_dim,
                num_attention_heads,
                qk_norm,
                cross_attn_norm,
                eps,
                mvs_form=mvs_form,
                camera_numbers=camera_numbers,
                index=index,
            )
            for index in range(num_layers)
        )
        self.guide_embedding = GuideEmbedding(guide_channels, width) if guide_channels else None
        use_fast_layers(self)

    def set_fused(self, fused: bool) -> None:
        """Choose between fused arithmetic and diffusers' own order of operations, bit by bit."""
        for module in self.modules():
            for owner in (module, getattr(module, "processor", None)):
                if hasattr(owner, "fused"):
                    owner.fused = fused

    def fuse_qkv_projections(self) -> None:
        """As diffusers': one layer for query, key and value; it too is a fast one."""
        super().fuse_qkv_projections()
        use_fast_layers(self)

    def forward(
        self,
        z_BVCFHW: Tensor,
        t_BV: Tensor,
        text_tokens_BLD: Tensor,
        text_mask_BL: Tensor | None,
        cameras_BVFSR: Tensor,
        *,
        pattern_FhKK: Tensor | None = None,
        guides_BVTGHW: Tensor | None = None,
        views: Views | None = None,
    ) -> Tensor:
        """Return the prediction [B, V, C, F, H, W] (velocity or clean latents, as it was trained).

        z_BVCFHW: noisy latents; a clean reference view is given clean. With t_BV they may have one
        scene for several texts (guidance branches): what comes before the first cross-attention is
        then computed once.
        t_BV: times in [0, 1000], one a view, or t_B, one a scene.
        text_tokens_BLD, text_mask_BL: of a text encoder; the mask is used if `mask_text`.
        cameras_BVFSR: `EncodedCameras.numbers_VFSR` with a batch axis of B or 1.
        pattern_FhKK: `EncodedCameras.pattern_FhKK`, or with a batch axis of B before, or None.
        guides_BVTGHW: `guides.guide_channels`, with a batch axis of B or 1; None for none.
        views: what an earlier call of the same request prepared (`prepare_views`).
        Raises ValueError naming the argument whose shape is wrong.
        """
        check_inputs(self.config, z_BVCFHW, t_BV, text_tokens_BLD, text_mask_BL, cameras_BVFSR)
        view_count, batch = z_BVCFHW.shape[1], len(text_tokens_BLD)
        if views is None:
            shape = (batch, *z_BVCFHW.shape[1:])
            views = self.prepare_views(
                shape,
                cameras_BVFSR,
                text_mask_BL,
                pattern_FhKK=pattern_FhKK,
                guides_BVTGHW=guides_BVTGHW,
            )
        x = rearrange(z_BVCFHW, "b v c f h w -> (b v) c f h w")
        x = self.patch_embedding(x).flatten(2).transpose(1, 2).contiguous()
        if views.guide_tokens_RND is not None:
            x = x + views.guide_tokens_RND.repeat(len(x) // len(views.guide_tokens_RND), 1, 1)

        tokens_BLD = text_tokens_BLD
        if not self.fused:  # as in diffusers, every view carries its own copy of the text
            text_tokens_BLD = text_tokens_BLD.repeat_interleave(view_count, 0)
        t_BV = t_BV if t_BV.ndim == 2 else repeat(t_BV, "b -> b v", v=view_count)
        temb_RD, timestep_R6D, text, _ = self.condition_embedder(
            t_BV.flatten().to(x.device), text_tokens_BLD.to(x.dtype)
        )
        timestep_R6D = timestep_R6D.unflatten(1, (6, -1))
        if len(t_BV) < batch:
            temb_RD = temb_RD.repeat(batch, 1)
            timestep_R6D = timestep_R6D.repeat(batch, 1, 1)
        extra_BD = self.extra_modulation(temb_RD, tokens_BLD, text_mask_BL)
        if extra_BD is not None:
            temb_RD, timestep_R6D = self._modulated_by(temb_RD, extra_BD)
            x = x.repeat(len(temb_RD) // len(x), 1, 1)  # the texts differ from the start

        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                x = self._gradient_checkpointing_func(
                    block, x, text, timestep_R6D, views.own_rotary, views
                )
            else:
                x = block(x, text, timestep_R6D, views.own_rotary, views)

        shift, scale = (self.scale_shift_table + temb_RD.unsqueeze(1)).chunk(2, dim=1)
        x = (self.norm_out(x.float()) * (1 + scale) + shift).type_as(x)
        z_BVCFHW = z_BVCFHW.expand(batch, -1, -1, -1, -1, -1)
        return self.head(x, z_BVCFHW, temb_RD, views)

    def extra_modulation(
        self, temb_RD: Tensor, text_BLD: Tensor, mask_BL: Tensor | None
    ) -> Tensor | None:
        """Return what joins the timestep's embedding, [B, D], or None.

        A seam for models with more than Wan has; Wan has nothing there.
        """
        return None

    def head(self, x_RND: Tensor, z_BVCFHW: Tensor, temb_RD: Tensor, views: Views) -> Tensor:
        """Return the prediction [B, V, C, F, H, W] from the tokens behind the last norm.

        The other seam: a model may look at the noisy latents again.
        """
        batch, _, _, frames, rows, columns = z_BVCFHW.shape
        return self.cells(self.proj_out(x_RND), (batch, frames, rows, columns))

    def _modulated_by(self, temb_RD: Tensor, extra_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the time's embedding and modulation [R, 6, D] with the extra one in them."""
        temb_RD = temb_RD + extra_BD.repeat_interleave(len(temb_RD) // len(extra_BD), 0)
        embedder = self.condition_embedder
        return temb_RD, embedder.time_proj(embedder.act_fn(temb_RD)).unflatten(1, (6, -1))

    def cells(self, y_RNP: Tensor, grid: tuple[int, int, int, int]) -> Tensor:
        """Return the tokens' patches as latents [B, V, C, F, H, W]."""
        batch, frames, rows, columns = grid
        p_t, p_h, p_w = self.config.patch_size
        return rearrange(
            y_RNP,
            "(b v) (f h w) (pt ph pw c) -> b v c (f pt) (h ph) (w pw)",
            b=batch,
            f=frames // p_t,
            h=rows // p_h,
            w=columns // p_w,
            pt=p_t,
            ph=p_h,
            pw=p_w,
        )

    def prepare_views(
        self,
        shape: tuple[int, ...],
        cameras_BVFSR: Tensor,
        text_mask_BL: Tensor | None,
        *,
        pattern_FhKK: Tensor | None = None,
        guides_BVTGHW: Tensor | None = None,
        guided_B: Tensor | None = None,
        keep: bool = False,
        exchange: ViewExchange | None = None,
        all_views: int | None = None,
        frames_of_rank: slice = slice(None),
    ) -> Views:
        """Return what the blocks need beside the tokens, for latents of shape [B, V, C, F, H, W].

        With `keep`, text keys/values and camera terms are computed at the first step and read at
        the others: pass the result to every `forward` of one request. `guided_B` (bool) says which
        scenes of the batch see the guides; None: all.
        """
        batch, view_count, _, frames, rows, columns = shape
        _, p_h, p_w = self.config.patch_size
        device = cameras_BVFSR.device
        grid = torch.empty(1, 1, frames, rows, columns, device="meta")
        own_rotary = tuple(x.to(device) for x in self.rope(grid))
        rotary = self.view_rotary(all_views or view_count, rows // p_h, columns // p_w, device)
        mask = None
        if pattern_FhKK is not None:
            seen = (all_views or view_count) * (rows // p_h) * (columns // p_w)
            check_pattern(pattern_FhKK, batch, frames, seen)
            dtype = self.patch_embedding.weight.dtype
            heads = self.config.num_attention_heads
            mask = mask_of(pattern_FhKK, batch, frames, frames_of_rank, heads, dtype)
        text_mask = None
        if self.config.mask_text and text_mask_BL is not None:
            text_mask = text_mask_BL[:, None, None, :].to(torch.bool)
        tokens, features = self._guided(guides_BVTGHW, guided_B, shape)
        return Views(
            views=view_count,
            frames=frames,
            guide_tokens_RND=tokens,
            guide_features_RKFhw=features,
            cameras_BVFSR=cameras_BVFSR,
            own_rotary=own_rotary,
            rotary=rotary,
            mask=mask,
            text_mask_B11L=text_mask,
            exchange=exchange,
            keep=keep,
        )

    def _guided(
        self, guides_BVTGHW: Tensor | None, guided_B: Tensor | None, shape: tuple[int, ...]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what the guides add to the tokens, and their features; Nones without guides."""
        if guides_BVTGHW is None:
            return None, None
        check_guides(self.config, guides_BVTGHW, shape)
        dtype = self.patch_embedding.weight.dtype
        tokens, features = self.guide_embedding(guides_BVTGHW.flatten(0, 1).to(dtype))
        if guided_B is None:
            return tokens, features
        batch, views = shape[:2]
        scenes = len(guides_BVTGHW)
        share_R = guided_B.to(tokens).repeat_interleave(views)
        tokens, features = (
            x.repeat(batch // scenes, *[1] * (x.ndim - 1)) for x in (tokens, features)
        )
        return tokens * share_R[:, None, None], features * share_R[:, None, None, None, None]

    def view_rotary(
        self, views: int, rows: int, columns: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the rotary (cos, sin) of one latent frame of V views of `rows` x `columns` tokens.

        Each is [1, V S, 1, head size]. The view's index stands in the frame's place; without
        `view_rope` every view has index 0.
        """
        _, p_h, p_w = self.config.patch_size
        counted = views if self.config.view_rope else 1
        grid = torch.empty(1, 1, counted, rows * p_h, columns * p_w, device="meta")
        cos, sin = (x.to(device) for x in self.rope(grid))
        if not self.config.view_rope:
            cos, sin = (x.repeat(1, views, 1, 1) for x in (cos, sin))
        return cos, sin

    def compiled_parts(self) -> list[nn.Module]:
        """Return what torch.compile compiles, each alone: all blocks share one program."""
        return list(self.blocks)

    def mvs_parameters(self) -> list[nn.Parameter]:
        """Return the new parameters, the only ones that train on a pretrained base."""
        return [p for block in self.blocks for p in block.mvs.parameters()]

    def freeze_base(self) -> None:
        """Leave only the MVS modules trainable."""
        self.requires_grad_(False)
        for parameter in self.mvs_parameters():
            parameter.requires_grad_(True)

    def start_mvs_from_base(self) -> None:
        """Start every MVS module as its block's self-attention, with nothing coming out of it."""
        for block in self.blocks:
            block.mvs.start_from(block.attn1, block.scale_shift_table)


def build_transformer(config: TransformerConfig) -> MultiViewWanTransformer:
    """Return a fresh network of a preset's sizes: random base, MVS that changes nothing yet."""
    sizes = {field.name: getattr(config, field.name) for field in fields(config)}
    model = named(config.NETWORK)(**sizes, out_channels=config.in_channels)
    model.start_mvs_from_base()
    return model
