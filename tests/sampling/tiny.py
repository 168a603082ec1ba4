# SPDX-License-Identifier: Apache-2.0
"""A whole preset of random small networks in a folder, and requests for it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.hemisphere import sample_hemisphere_cameras
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict
from syncam_engine.model.presets import Preset, get_preset
from syncam_engine.model.transformer import build_transformer
from syncam_engine.model.transformer_files import write_package
from syncam_engine.preview.autoencoder import PatchAutoencoder, PatchAutoencoderConfig
from syncam_engine.preview.sharpener import Sharpener
from syncam_engine.preview.text_encoder import WordTextEncoder, WordTextEncoderConfig
from syncam_engine.preview.vocabulary import Vocabulary


def randomize(model: torch.nn.Module, seed: int = 11, scale: float = 0.08) -> torch.nn.Module:
    """Fill every parameter, so that nothing is zero and every part shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + (1.0 if parameter.ndim == 1 and parameter.mean() > 0.5 else 0))
    return model


def tiny_preset(folder: Path, *, guide_channels: int = 0, **sampling) -> Preset:
    """Return a preset of the preview's kind with two thin blocks, its files in `folder`."""
    shipped = get_preset("preview")
    config = replace(
        shipped.transformer,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        ffn_dim=48,
        in_channels=6,
        text_dim=16,
        refiner_width=8,
        guide_channels=guide_channels,
    )
    return replace(
        shipped,
        name="tiny",
        source=replace(shipped.source, base=str(folder)),
        transformer=config,
        sampling=replace(shipped.sampling, **sampling),
    )


def write_tiny(folder: Path, **changes) -> Path:
    """Write the preset and its random weights; return the path of its preset.json."""
    torch.manual_seed(5)
    preset = tiny_preset(folder, **changes)
    write_package(folder, preset, randomize(build_transformer(preset.transformer)), torch.float16)
    PatchAutoencoder(
        PatchAutoencoderConfig(z_channels=6, width=8, encoder_blocks=1, decoder_blocks=1)
    ).save(folder)
    if preset.transformer.guide_channels:
        randomize(Sharpener(6), scale=0.02).save(folder)
    vocabulary = Vocabulary.from_captions(["a red dog runs in the street", "a woman waves"])
    WordTextEncoder(vocabulary, WordTextEncoderConfig(width=16, layers=1, heads=2)).save(folder)
    return folder / "preset.json"


def make_rig(views: int, *, seed: int = 3, width_px: int = 160, height_px: int = 96) -> Rig:
    K = intrinsics_from_lens(24.0, 23.76, width_px, height_px)
    cameras = sample_hemisphere_cameras(
        random.Random(seed), views, center_m=(0.3, -0.2, 1.1), K=K, width_px=width_px,
        height_px=height_px,
    )  # fmt: skip
    return Rig(cameras=tuple(cameras))


def make_request(rig: Rig, **changed) -> SimpleNamespace:
    """Return a request with the fields of `link.messages.GenerateRequest`."""
    fields = {
        "rig": rig_to_dict(rig),
        "prompt": "a red dog runs",
        "negative_prompt": None,
        "seed": 7,
        "variation": 0,
        "steps": 3,
        "guidance_scale": 2.0,
        "width": 160,
        "height": 96,
        "frames": 9,
        "fps": (8, 1),
        "mode": "text",
        "previz_strength": 0.6,
        "fit_rule": "crop",
    }
    return SimpleNamespace(**{**fields, **changed})
