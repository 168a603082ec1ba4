# SPDX-License-Identifier: Apache-2.0
"""The names and shapes in the released SynCamMaster checkpoint, and their names here.

The released file is one flat state dict of the whole transformer, base and MVS, in the original
Wan code's names. Everything here is generated from the network's sizes: for the 1.3B network the
table has 1,275 rows. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncam_engine.model.presets import TransformerConfig

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One tensor: its name in the released file, its name here, its shape."""

    released: str
    ours: str
    shape: Shape

    @property
    def is_mvs(self) -> bool:
        return ".mvs." in self.ours


def released_table(config: TransformerConfig) -> list[Row]:
    """Return one row a tensor, in the order of the network."""
    d, text, freq = config.width, config.text_dim, config.freq_dim
    patch = config.patch_size
    patch_values = patch[0] * patch[1] * patch[2] * config.in_channels
    condition = "condition_embedder."
    rows = [
        Row("patch_embedding.weight", "patch_embedding.weight", (d, config.in_channels, *patch)),
        Row("patch_embedding.bias", "patch_embedding.bias", (d,)),
        *_linear("text_embedding.0", condition + "text_embedder.linear_1", d, text),
        *_linear("text_embedding.2", condition + "text_embedder.linear_2", d, d),
        *_linear("time_embedding.0", condition + "time_embedder.linear_1", d, freq),
        *_linear("time_embedding.2", condition + "time_embedder.linear_2", d, d),
        *_linear("time_projection.1", condition + "time_proj", 6 * d, d),
    ]
    for index in range(config.num_layers):
        rows += _block(f"blocks.{index}.", config)
    return [
        *rows,
        *_linear("head.head", "proj_out", patch_values, d),
        Row("head.modulation", "scale_shift_table", (1, 2, d)),
    ]


def _block(p: str, config: TransformerConfig) -> list[Row]:
    d, f = config.width, config.ffn_dim
    return [
        *_attention(p + "self_attn.", p + "attn1.", d),
        *_attention(p + "cross_attn.", p + "attn2.", d),
        Row(p + "norm3.weight", p + "norm2.weight", (d,)),
        Row(p + "norm3.bias", p + "norm2.bias", (d,)),
        *_linear(p + "ffn.0", p + "ffn.net.0.proj", f, d),
        *_linear(p + "ffn.2", p + "ffn.net.2", d, f),
        Row(p + "modulation", p + "scale_shift_table", (1, 6, d)),
        *_attention(p + "mvs_attn.", p + "mvs.attn.", d),
        *_linear(p + "cam_encoder", p + "mvs.camera_encoder", d, config.camera_numbers),
        *_linear(p + "projector", p + "mvs.projector", d, d),
        Row(p + "modulation_mvs", p + "mvs.modulation", (1, 3, d)),
    ]


def _attention(released: str, ours: str, d: int) -> list[Row]:
    rows = []
    for theirs, here in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0")):
        rows += _linear(released + theirs, ours + here, d, d)
    for norm in ("norm_q.weight", "norm_k.weight"):
        rows.append(Row(released + norm, ours + norm, (d,)))
    return rows


def _linear(released: str, ours: str, out_features: int, in_features: int) -> list[Row]:
    return [
        Row(released + ".weight", ours + ".weight", (out_features, in_features)),
        Row(released + ".bias", ours + ".bias", (out_features,)),
    ]
