# SPDX-License-Identifier: Apache-2.0
"""The multi-view synchronisation (MVS) module: the views of one moment look at each other.

One stands in every block of the base transformer, between self-attention and cross-attention. It
works on each latent frame alone, across the views (Eq. 5-6 of the SynCamMaster paper):

    F_v = F_s + E_c(cam)                                       Eq. 5
    out = F_v + projector(view_attention(F_v of all views))    Eq. 6

The released code has another form, which its checkpoint needs (`form="released"`): the input is
normalised and modulated by the timestep like the self-attention's, the camera term is added inside
only (it does not stay in the residual), and a gate scales what comes back:

    h   = LayerNorm(F_s) * (1 + scale) + shift + E_c(cam)
    out = F_s + gate * projector(view_attention(h of all views))

In both, E_c and the projector start at zero, so a fresh module changes nothing, and the view
attention starts as a copy of the block's self-attention. Like every attention of the base (paper,
appendix A), the paper form's view attention reads a normalised input.

Shape legend: B scenes (or guidance branches), V views, F latent frames, S tokens of one latent
frame of one view (h x w), N = F x S tokens of a view, D width, R camera numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention
from einops import rearrange
from torch import Tensor, nn

from syncam_engine.model.arithmetic import gated, shifted
from syncam_engine.model.attention import MultiViewAttnProcessor, TextKeys


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
    rotary: tuple[Tensor, Tensor]
    """(cos, sin) for the V x S tokens of one latent frame, all ranks' views."""
    mask: Tensor | None = None
    """True where a token may look: [1, 1, VS, VS] or [BF, 1, VS, VS]; None means everywhere."""
    text_mask_B11L: Tensor | None = None
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


class MultiViewSync(nn.Module):
    """The module of one block. See the top of this file."""

    fused = True
    """See `arithmetic.py`."""

    def __init__(
        self, width: int, heads: int, camera_numbers: int, *, form: str = "paper", eps: float = 1e-6
    ) -> None:
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form is {form!r}; it must be 'paper' or 'released'")
        self.form = form
        self.norm = FP32LayerNorm(width, eps, elementwise_affine=False)
        self.attn = WanAttention(
            dim=width,
            heads=heads,
            dim_head=width // heads,
            eps=eps,
            processor=MultiViewAttnProcessor(),
        )
        self.camera_encoder = nn.Linear(camera_numbers, width)
        self.projector = nn.Linear(width, width)
        if form == "released":
            self.modulation = nn.Parameter(torch.randn(1, 3, width) / width**0.5)
        self.zero_init()

    def zero_init(self) -> None:
        """Make the module the identity: camera encoder and projector at zero."""
        for layer in (self.camera_encoder, self.projector):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def start_from(self, self_attention: WanAttention, modulation_16D: Tensor) -> None:
        """Start as the block's self-attention: its weights, and its shift, scale and gate."""
        self.attn.load_state_dict(self_attention.state_dict())
        if self.form == "released":
            self.modulation.copy_(modulation_16D[:, :3])
        self.zero_init()

    def forward(self, x_RND: Tensor, timestep_R6D: Tensor, views: Views, index: int = 0) -> Tensor:
        """Return x with the views synchronised; rows R are scenes x views, same shape and dtype."""
        camera_BVFSD = self._camera_term(views, index, x_RND.dtype)
        x_BVFSD = rearrange(x_RND, "(b v) (f s) d -> b v f s d", v=views.views, f=views.frames)
        if self.form == "paper":
            x_BVFSD = x_BVFSD + camera_BVFSD
            h_BVFSD = self.norm(x_BVFSD.float()).type_as(x_RND)
            return rearrange(
                x_BVFSD + self._view_attention(h_BVFSD, views),
                "b v f s d -> (b v) (f s) d",
            )
        shift, scale, gate = (
            rearrange(m, "(b v) 1 d -> b v 1 1 d", v=views.views)
            for m in (self.modulation + timestep_R6D[:, :3].float()).chunk(3, dim=1)
        )
        h_BVFSD = shifted(self.norm(x_BVFSD.float()), shift, scale, fused=self.fused).type_as(x_RND)
        synced = self._view_attention(h_BVFSD + camera_BVFSD, views)
        x_BVFSD = gated(x_BVFSD, synced, gate, fused=self.fused).type_as(x_RND)
        return rearrange(x_BVFSD, "b v f s d -> (b v) (f s) d")

    def _view_attention(self, h_BVFSD: Tensor, views: Views) -> Tensor:
        """Return projector(attn_view(h)); a token reads all views' tokens of its latent frame."""
        if views.exchange is not None:
            h_BVFSD = views.exchange.to_frames(h_BVFSD)
        batch, all_views, frames = h_BVFSD.shape[:3]
        y = rearrange(h_BVFSD, "b v f s d -> (b f) (v s) d")
        mask = views.mask
        if mask is not None and len(mask) > 1:
            mask = mask[: len(y)]  # fewer rows in the first block of scenes that share their start
        y = self.projector(self.attn(y, None, mask, views.rotary))
        y = rearrange(y, "(b f) (v s) d -> b v f s d", b=batch, v=all_views, f=frames)
        return y if views.exchange is None else views.exchange.to_views(y)

    def _camera_term(self, views: Views, index: int, dtype: torch.dtype) -> Tensor:
        """Return E_c(cam) as [B or 1, V, F, S or 1, D], remembered for the request if asked."""
        if index in views.camera_terms:
            return views.camera_terms[index]
        term = self.camera_encoder(views.cameras_BVFSR.to(dtype))
        if views.keep and term.numel() * term.element_size() <= KEEP_BYTES:
            views.camera_terms[index] = term
        return term


KEEP_BYTES = 32 * 2**20
"""The largest camera term remembered for each block: one vector a frame always fits; at full size
one vector a token (Pluecker rays) does not, and is cheap beside what it would hold."""
