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

`_paper_form` and `_released_form` below are these lines; F_s and F_v keep the paper's letters, and
have the shape [B, V, F, S, D] throughout the module.

Shape legend: B scenes (or guidance branches), V views, R = B x V rows, F latent frames, S tokens of
one latent frame of one view (h x w), N = F x S tokens of a view, D width.
"""

from __future__ import annotations

import torch
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention
from einops import rearrange
from torch import Tensor, nn

from syncam_engine.model.arithmetic import gated, shifted
from syncam_engine.model.attention import MultiViewAttnProcessor
from syncam_engine.model.views import Views

KEEP_BYTES = 32 * 2**20
"""The largest camera term remembered for each block: one vector a frame always fits; at full size
one vector a token (Pluecker rays) does not, and is cheap beside what it would hold."""


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
        F_s = rearrange(x_RND, "(b v) (f s) d -> b v f s d", v=views.views, f=views.frames)
        camera = self._camera_term(views, index, x_RND.dtype)  # E_c(cam)
        if self.form == "paper":
            out = self._paper_form(F_s, camera, views)
        else:
            out = self._released_form(F_s, camera, views, timestep_R6D)
        return rearrange(out, "b v f s d -> (b v) (f s) d")

    def _paper_form(self, F_s: Tensor, camera: Tensor, views: Views) -> Tensor:
        """Return Eq. 6 of the features F_s [B, V, F, S, D] and their camera term."""
        F_v = F_s + camera  # Eq. 5
        h = self.norm(F_v.float()).type_as(F_v)
        return F_v + self._projected_view_attention(h, views)  # Eq. 6

    def _released_form(
        self, F_s: Tensor, camera: Tensor, views: Views, timestep_R6D: Tensor
    ) -> Tensor:
        """Return the authors' code's form, modulated by the timestep."""
        shift, scale, gate = (
            rearrange(m, "(b v) 1 d -> b v 1 1 d", v=views.views)
            for m in (self.modulation + timestep_R6D[:, :3].float()).chunk(3, dim=1)
        )
        h = shifted(self.norm(F_s.float()), shift, scale, fused=self.fused).type_as(F_s) + camera
        change = self._projected_view_attention(h, views)
        return gated(F_s, change, gate, fused=self.fused).type_as(F_s)

    def _projected_view_attention(self, h_BVFSD: Tensor, views: Views) -> Tensor:
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
        keep = views.keep and not torch.compiler.is_compiling()
        if keep and index in views.camera_terms:
            return views.camera_terms[index]
        term = self.camera_encoder(views.cameras_BVFSR.to(dtype))
        if keep and term.numel() * term.element_size() <= KEEP_BYTES:
            views.camera_terms[index] = term
        return term
