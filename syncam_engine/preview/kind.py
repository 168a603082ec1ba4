# SPDX-License-Identifier: Apache-2.0
"""The kind "package": a folder of safetensors in our own format, the preview's (`kinds.Kind`).

No torch until something is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from syncam_engine.model.kinds import Footprint
from syncam_engine.model.presets import Preset
from syncam_engine.preview.config import PreviewCameraEncoding, PreviewTransformerConfig
from syncam_engine.preview.vocabulary import prompt_issues

if TYPE_CHECKING:
    import torch

    from syncam_engine.model.interfaces import Autoencoder
    from syncam_engine.model.parts import OnProgress, Parts

__all__ = [
    "AUTOENCODER_FILE",
    "CAMERA",
    "FOOTPRINT",
    "TRANSFORMER",
    "check_files",
    "load_autoencoder",
    "load_parts",
    "prompt_issues",
]

GIB = 2**30
TRANSFORMER = PreviewTransformerConfig
CAMERA = PreviewCameraEncoding
AUTOENCODER_FILE = "autoencoder.safetensors"
FOOTPRINT = Footprint(
    text_encoder_bytes=0.01 * GIB,
    text_largest_layer_bytes=0.01 * GIB,
    autoencoder_bytes=0.01 * GIB,
    decode_bytes_per_pixel=64.0,
    large=False,
)


def load_parts(preset: Preset, device: torch.device, dtype: torch.dtype, say: OnProgress) -> Parts:
    from syncam_engine.preview.parts import load_package_parts

    return load_package_parts(preset, device, dtype, say)


def check_files(preset: Preset) -> list[Path]:
    from syncam_engine.preview.parts import check_package_files

    return check_package_files(preset)


def load_autoencoder(folder: Path, device: torch.device) -> Autoencoder:
    from syncam_engine.preview.autoencoder import PatchAutoencoder

    return PatchAutoencoder.load(folder).requires_grad_(False).to(device)
