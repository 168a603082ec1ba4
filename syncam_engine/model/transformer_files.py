# SPDX-License-Identifier: Apache-2.0
"""The transformer and its file: what the file must hold, reading it, writing it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from safetensors.torch import save_file

from syncam_engine.model.presets import Preset, TransformerConfig
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer

TRANSFORMER_FILE = "transformer.safetensors"
FP32_NAMES = ("scale_shift_table", "modulation", "time_embedder", ".norm2.")
"""Parameters that stay in float32 whatever the network's dtype."""


def empty_transformer(config: TransformerConfig) -> MultiViewWanTransformer:
    """Return the network without memory for its parameters (on the meta device)."""
    with torch.device("meta"):
        return build_transformer(config)


def expected_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that a transformer file must hold."""
    return {k: tuple(v.shape) for k, v in empty_transformer(config).state_dict().items()}


def load_transformer(
    config: TransformerConfig,
    tensors: dict[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> MultiViewWanTransformer:
    """Return the network holding the given tensors, cast and placed one by one."""
    model = empty_transformer(config)
    for name in list(tensors):
        wanted = torch.float32 if any(part in name for part in FP32_NAMES) else dtype
        tensors[name] = tensors[name].to(device=device, dtype=wanted)
    model.load_state_dict(tensors, strict=True, assign=True)
    # The rotary tables are not in the file: they are computed, and were built without memory.
    with torch.device(device):
        model.rope = WanRotaryPosEmbed(
            config.attention_head_dim, config.patch_size, config.rope_max_seq_len
        )
    return model.eval().requires_grad_(False)


def write_package(
    folder: Path, preset: Preset, transformer: MultiViewWanTransformer, dtype: torch.dtype
) -> None:
    """Write a preset and its transformer in our own format; the other parts save themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: v.detach().cpu().to(dtype).contiguous() for k, v in transformer.state_dict().items()
    }
    save_file(
        tensors,
        folder / TRANSFORMER_FILE,
        metadata={"format": "syncam-transformer", "preset": json.dumps(preset.name)},
    )
    preset.write(folder / "preset.json")
