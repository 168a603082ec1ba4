# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bfloat16 on a CPU, of a network that is float32 otherwise.

Processors with bfloat16 in hardware multiply it two to three times as fast as float32. Held in it
are the weights of the blocks' linear layers, once, in half the memory; taken in it are their
products, the feed-forward's and those of self- and view attention. Each product is summed in
float32 and rounded once; normalisation, softmax, modulation, rotation, gates, residuals, time and
camera embeddings are computed in float32. For inference: what the weights lose does not come back.

Shape legend: R rows, N queries, M keys, h heads, d head size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from syncam_engine.model.arithmetic import FastLinear, on_plain_cpu, onednn_has_bfloat16

SCORES_AT_ONCE = 2**20
"""Attention scores held at a time, 2 bytes each: they stay in the cache."""
FEWEST_KEYS = 512
"""With fewer keys torch's own attention is as fast, and stays in float32."""


def has_bfloat16_hardware() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware (x86: AVX512-BF16 or AMX).

    Where it is emulated it is up to a hundred times slower than float32.
    """
    has = torch.cpu.get_capabilities()
    return onednn_has_bfloat16() and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def multiply_in_bfloat16(blocks: nn.Module) -> None:
    """Hold the weights of the blocks' linear layers in bfloat16, in place, and multiply in it."""
    for name, module in blocks.named_modules():
        if type(module) is FastLinear and not name.endswith("camera_encoder"):
            module.to(torch.bfloat16)
        processor = getattr(module, "processor", None)
        if hasattr(processor, "in_bfloat16"):
            processor.in_bfloat16 = True


def may_attend_in_bfloat16(query_RNhd: Tensor, key_RMhd: Tensor) -> bool:
    return on_plain_cpu(query_RNhd) and onednn_has_bfloat16() and key_RMhd.shape[1] >= FEWEST_KEYS


def attention_in_bfloat16(query_RNhd: Tensor, key_RMhd: Tensor, value_RMhd: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(d)) v as bfloat16 [R, N, h, d], some scores at a time.

    The softmax reads bfloat16 scores, computes in float32 and gives bfloat16 weights.
    """
    rows, queries, heads, size = query_RNhd.shape
    scaled = query_RNhd * size**-0.5
    # One matrix for each row and head.
    q, k, v = (
        x.transpose(1, 2).to(torch.bfloat16).flatten(0, 1) for x in (scaled, key_RMhd, value_RMhd)
    )
    k = k.transpose(1, 2)
    keys = k.shape[-1]
    queries_at_once = min(queries, max(1, SCORES_AT_ONCE // keys))
    matrices_at_once = max(1, SCORES_AT_ONCE // (queries_at_once * keys))
    out = torch.empty_like(q)
    memory = q.new_empty(min(matrices_at_once, len(q)) * queries_at_once * keys)
    for i in range(0, len(q), matrices_at_once):
        some = slice(i, i + matrices_at_once)
        for j in range(0, queries, queries_at_once):
            part = q[some, j : j + queries_at_once]
            scores = memory[: part[..., 0].numel() * keys].view(*part.shape[:2], keys)
            torch.bmm(part, k[some], out=scores)
            torch.softmax(scores, -1, out=scores)
            torch.bmm(scores, v[some], out=out[some, j : j + queries_at_once])
    return out.unflatten(0, (rows, heads)).transpose(1, 2)
