# SPDX-License-Identifier: Apache-2.0
"""Small random networks and inputs for the tests of the model."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from diffusers import WanTransformer3DModel

from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.hemisphere import sample_hemisphere_cameras
from syncam_engine.link.rig import Rig
from syncam_engine.model.camera_encoding import encode_rig
from syncam_engine.model.presets import CameraEncoding, TransformerConfig
from syncam_engine.model.transformer import build_transformer
from syncam_engine.preview.config import PreviewTransformerConfig

# Odd on purpose: 5 x 7 tokens, three latent frames.
WIDTH_PX, HEIGHT_PX, FRAMES = 112, 80, 3


def small_config(**changes) -> TransformerConfig:
    values = {
        "num_attention_heads": 3,
        "attention_head_dim": 14,
        "num_layers": 2,
        "ffn_dim": 50,
        "in_channels": 5,
        "text_dim": 11,
        "freq_dim": 18,
    }
    kind = PreviewTransformerConfig if {"pooled_text", "refiner_width"} & set(changes) else None
    return (kind or TransformerConfig)(**{**values, **changes})


def randomized(config: TransformerConfig, seed: int = 17):
    """Return a network in which every parameter counts (nothing at zero)."""
    torch.manual_seed(seed)
    model = build_transformer(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.ndim == 1 or "modulation" in name else 0.15
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn_like(parameter) * scale + centre)
    return model.eval()


def base_of(model) -> WanTransformer3DModel:
    """Return the plain diffusers model with the same base weights."""
    config = {k: v for k, v in model.config.items() if not k.startswith("_")}
    ours = ("mask_text", "mvs_form", "camera_numbers", "view_rope", "guide_channels")
    base = WanTransformer3DModel(**{k: v for k, v in config.items() if k not in ours})
    base.load_state_dict({k: v for k, v in model.state_dict().items() if ".mvs." not in k})
    return base.eval()


def make_rig(views: int, seed: int = 5, moving: bool = False, frames: int = FRAMES) -> Rig:
    K = intrinsics_from_lens(24.0, 23.76, WIDTH_PX, HEIGHT_PX)
    size = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    pictures = 4 * (frames - 1) + 1 if moving else 1
    draws = [
        sample_hemisphere_cameras(
            random.Random(seed + k), views, center_m=(0.4, -0.3, 1.2), K=K, **size
        )
        for k in range(pictures)
    ]
    if not moving:
        return Rig(cameras=tuple(draws[0]))
    cameras = [
        replace(draws[0][v], c2w_cv_m=tuple(draw[v].c2w_cv_m for draw in draws))
        for v in range(views)
    ]
    return Rig(cameras=tuple(cameras))


def inputs(config: TransformerConfig, encoding: CameraEncoding, views: int, scenes: int = 1, **rig):
    """Return keyword arguments of `forward`: latents, a time a view, text, cameras, pattern."""
    generator = torch.Generator().manual_seed(100 + views)
    encoded = [
        encode_rig(make_rig(views, seed=5 + 31 * b, **rig), encoding, FRAMES, WIDTH_PX, HEIGHT_PX)
        for b in range(scenes)
    ]
    rows, columns = HEIGHT_PX // 8, WIDTH_PX // 8
    shape = (scenes, views, config.in_channels, FRAMES, rows, columns)
    mask = torch.ones(scenes, 6, dtype=torch.bool)
    mask[:, 4:] = False
    pattern = encoded[0].pattern_FhKK
    return {
        "z_BVCFHW": torch.randn(shape, generator=generator),
        "t_BV": torch.rand(scenes, views, generator=generator) * 1000.0,
        "text_tokens_BLD": torch.randn(scenes, 6, config.text_dim, generator=generator),
        "text_mask_BL": mask,
        "cameras_BVFSR": torch.stack([torch.from_numpy(e.numbers_VFSR) for e in encoded]),
        "pattern_FhKK": None if pattern is None else torch.from_numpy(pattern),
    }
