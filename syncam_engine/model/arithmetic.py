# SPDX-License-Identifier: Apache-2.0
"""The small steps between matrix products, in two orders of operations.

Fused (the default): one pass where diffusers' Wan makes several, and on a CPU in float32 oneDNN's
linear layers, the activation inside. The same sums, rounded elsewhere. Not fused: diffusers' own
operations in diffusers' own order, so that a network whose MVS modules change nothing gives the
base model's output bit by bit (`MultiViewWanTransformer.set_fused(False)`).

Shape legend: R rows, N tokens, D width, h heads, d head size.
"""

from __future__ import annotations

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

TOKENS_AT_ONCE = 1320
"""Tokens of one pass of the feed-forward on a CPU: its hidden layer stays in the cache."""


def shifted(normed: Tensor, shift: Tensor, scale: Tensor, *, fused: bool) -> Tensor:
    """Return normed * (1 + scale) + shift."""
    return torch.addcmul(shift, normed, 1 + scale) if fused else normed * (1 + scale) + shift


def gated(x: Tensor, change: Tensor, gate: Tensor, *, fused: bool) -> Tensor:
    """Return x + gate * change in float32."""
    return torch.addcmul(x.float(), change, gate) if fused else x.float() + change * gate


def rms_normalised(norm: nn.RMSNorm, x: Tensor, *, fused: bool) -> Tensor:
    """Return norm(x). Fused, x may be overwritten: callers give a fresh projection."""
    if not (fused and on_plain_cpu(x)):
        return norm(x)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x.mul_(length.square_().div_(x.shape[-1]).add_(norm.eps).rsqrt_()).mul_(norm.weight)


def turned(x_RNhd: Tensor, rotary: tuple[Tensor, Tensor], *, fused: bool) -> Tensor:
    """Return x with each pair of channels turned by its token's angle (rotary embedding).

    Fused, x may be overwritten.
    """
    cos, sin = rotary[0][..., 0::2], rotary[1][..., 1::2]
    eager_cpu = x_RNhd.device.type == "cpu" and not torch.compiler.is_compiling()
    if fused and eager_cpu and x_RNhd.dtype == torch.float32:
        # One pass as complex numbers; compilers and GPUs prefer the real form below.
        pairs = torch.view_as_complex(x_RNhd.unflatten(-1, (-1, 2)))
        turn = torch.complex(cos, sin)
        pairs = pairs.mul_(turn) if on_plain_cpu(x_RNhd) else pairs * turn
        return torch.view_as_real(pairs).flatten(3)
    a, b = x_RNhd.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(3).type_as(x_RNhd)


def on_plain_cpu(x: Tensor) -> bool:
    """Return whether oneDNN's own operators may run: they know no gradients, no compiler."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
    )


def onednn_has_bfloat16() -> bool:
    """Return whether oneDNN's operators take bfloat16 here, in hardware or emulated."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class FastLinear(nn.Linear):
    """nn.Linear, on a CPU by oneDNN: a fifth faster than torch's default at these sizes.

    Its weight may be in bfloat16 while what comes and goes is float32 (`bfloat16_products.py`).
    """

    fused = True

    def forward(self, x: Tensor) -> Tensor:
        if self.can_be_fast(x):
            return self.product(x.to(self.weight.dtype)).to(x.dtype)
        if self.is_mixed(x):
            return super().forward(x.to(self.weight.dtype)).to(x.dtype)
        return super().forward(x)

    def product(self, x: Tensor, activation: tuple = ("none", [], "")) -> Tensor:
        """Return oneDNN's product with an x of the weight's dtype, the activation inside."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, *activation)

    def can_be_fast(self, x: Tensor) -> bool:
        if not (self.fused and on_plain_cpu(x)):
            return False
        return self.weight.dtype == torch.float32 or (self.is_mixed(x) and onednn_has_bfloat16())

    def is_mixed(self, x: Tensor) -> bool:
        return self.weight.dtype == torch.bfloat16 and x.dtype == torch.float32


class FastFeedForward(FeedForward):
    """diffusers' feed-forward, on a CPU some tokens at a time, the activation inside the matrix
    product. Set over an existing module's class (`use_fast_layers`)."""

    fused = True

    def forward(self, hidden_states: Tensor, *args, **kwargs) -> Tensor:
        up, down = self.net[0].proj, self.net[2]
        # A layer that something else has replaced or cast (LoRA, 8-bit storage) is left to it.
        fast = all(type(m) is FastLinear and m.can_be_fast(hidden_states) for m in (up, down))
        if not (self.fused and fast and up.weight.dtype == down.weight.dtype):
            return super().forward(hidden_states, *args, **kwargs)
        tokens = hidden_states.flatten(0, -2).to(up.weight.dtype)
        parts = [
            down.product(up.product(part, ("gelu", [], "tanh")))
            for part in tokens.split(TOKENS_AT_ONCE)
        ]
        return torch.cat(parts).view(hidden_states.shape).to(hidden_states.dtype)


def use_fast_layers(model: nn.Module) -> None:
    """Make the linear and feed-forward layers that diffusers built the fast ones, in place."""
    fast = {nn.Linear: FastLinear, FeedForward: FastFeedForward}
    for module in model.modules():
        if type(module) in fast:
            module.__class__ = fast[type(module)]
