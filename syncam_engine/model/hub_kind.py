# SPDX-License-Identifier: Apache-2.0
"""The kind "diffusers": a Wan base in diffusers' format plus a file of MVS modules (`kinds.Kind`).

No torch until something is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from syncam_engine.link.envelope import EnvelopeIssue
from syncam_engine.model.hub_files import find_local_base, find_mvs_file
from syncam_engine.model.kinds import Footprint
from syncam_engine.model.presets import CameraEncoding, Preset, TransformerConfig

if TYPE_CHECKING:
    import torch

    from syncam_engine.model.interfaces import Autoencoder
    from syncam_engine.model.parts import OnProgress, Parts

GIB = 2**30
TRANSFORMER = TransformerConfig
CAMERA = CameraEncoding
AUTOENCODER_FILE = "diffusion_pytorch_model.safetensors"
FOOTPRINT = Footprint(
    text_encoder_bytes=11.4 * GIB,  # UMT5-XXL in bfloat16
    text_largest_layer_bytes=2.1 * GIB,  # its word table
    autoencoder_bytes=0.5 * GIB,
    # The Wan decoder works in chunks of 4 pictures and keeps a cache of the last 2 of each layer;
    # measured on a CPU.
    decode_bytes_per_pixel=37_000.0,
    large=True,
)


def load_parts(preset: Preset, device: torch.device, dtype: torch.dtype, say: OnProgress) -> Parts:
    from syncam_engine.model.hub_parts import load_hub_parts

    return load_hub_parts(preset, device, dtype, say)


def check_files(preset: Preset) -> list[Path]:
    from syncam_engine.model.hub_parts import check_hub_files

    mvs = find_mvs_file(preset.source.mvs_file)
    return check_hub_files(preset, find_local_base(preset.source.base), mvs)


def load_autoencoder(folder: Path, device: torch.device) -> Autoencoder:
    from syncam_engine.model.hub_parts import read_autoencoder

    return read_autoencoder(folder, device)


def prompt_issues(preset: Preset, prompt: str) -> list[EnvelopeIssue]:
    """Nothing: UMT5 reads any text."""
    return []
