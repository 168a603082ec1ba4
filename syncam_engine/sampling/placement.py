# SPDX-License-Identifier: Apache-2.0
"""Where the networks lie and how much is traded for memory or speed; all by diffusers' own means.

docs/model.md describes each option; `syncam bench sampler` prints its speed and its error against
the exact run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from syncam_engine.model.presets import Preset

if TYPE_CHECKING:
    from syncam_engine.model.loading import Parts
    from syncam_engine.model.transformer import MultiViewWanTransformer

StepCache = Literal["none", "first_block", "mag", "taylorseer"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One way of running a preset. The defaults are exact."""

    device: str
    dtype: Literal["float32", "bfloat16"]
    offload: Literal["none", "model", "group"] = "none"
    """`model`: each network on the device only while it works; `group`: block by block."""
    tiling: bool = False
    """Autoencoder in slices and tiles."""
    fp8: bool = False
    """Transformer weights stored in 8 bits, computed in `dtype`."""
    step_cache: StepCache = "none"
    cache_threshold: float = 0.05
    attention_backend: str | None = None
    rows_at_once: int = 64
    """Views x guidance branches (x pairs) in one batch at most."""
    round_timestep_to_bf16: bool = False
    """As the released pipeline does; only to compare with it bit by bit."""

    @classmethod
    def default(cls, preset: Preset, device: str | None) -> Placement:
        """Return the exact placement of a preset: GPU where there is one, bfloat16 there."""
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        big = preset.source.kind == "diffusers"
        on_gpu = torch.device(chosen).type != "cpu"
        return cls(device=chosen, dtype="bfloat16" if big and on_gpu else "float32", tiling=big)

    def after_request(self, transformer: MultiViewWanTransformer) -> None:
        """Forget what the step cache remembers of a request, also of one that was stopped."""
        if self.step_cache != "none":
            transformer._reset_stateful_cache()


def apply_placement(parts: Parts, placement: Placement) -> None:
    """Put loaded networks where the placement says, with its savings switched on."""
    transformer = parts.transformer
    dtype = getattr(torch, placement.dtype)
    if placement.fp8:
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    if placement.attention_backend:
        transformer.set_attention_backend(placement.attention_backend)
    if placement.tiling and hasattr(parts.autoencoder, "enable_tiling"):
        parts.autoencoder.enable_tiling()
    if placement.offload == "group":
        transformer.enable_group_offload(
            onload_device=torch.device(placement.device),
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=torch.device(placement.device).type == "cuda",
        )
    if placement.step_cache != "none":
        transformer.enable_cache(cache_config(placement))


def cache_config(placement: Placement, steps: int = 50):
    """Return diffusers' configuration of a step cache."""
    from diffusers.hooks import FirstBlockCacheConfig, TaylorSeerCacheConfig

    if placement.step_cache == "first_block":
        return FirstBlockCacheConfig(threshold=placement.cache_threshold)
    if placement.step_cache == "taylorseer":
        return TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=3,
            max_order=1,
            taylor_factors_dtype=torch.float32,
            cache_identifiers=[r"blocks\.\d+\.(attn1|attn2|ffn|mvs)"],
        )
    raise ValueError(f"step_cache is {placement.step_cache!r}")
