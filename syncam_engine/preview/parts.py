# SPDX-License-Identifier: Apache-2.0
"""The preview's networks from a folder in our own format: the package's, or an export's."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.parts import OnProgress, Parts
from syncam_engine.model.presets import PACKAGE_FILES, Preset, package_folder
from syncam_engine.model.transformer_files import expected_shapes, load_transformer
from syncam_engine.model.weight_files import check_shapes, digest_of, read_header
from syncam_engine.preview.autoencoder import PatchAutoencoder
from syncam_engine.preview.sharpener import SHARPENER_FILE, Sharpener
from syncam_engine.preview.text_encoder import WordTextEncoder


def load_package_parts(
    preset: Preset, device: torch.device, dtype: torch.dtype, say: OnProgress
) -> Parts:
    """Return the networks of a folder in our own format."""
    folder = package_folder(preset.source.base)
    files = check_package_files(preset)
    say(0.1, "reading the autoencoder")
    autoencoder = PatchAutoencoder.load(folder).to(device)
    if autoencoder.z_channels != preset.transformer.in_channels:
        raise SynCamError(
            "weights.mismatch",
            f"The autoencoder in {folder} has {autoencoder.z_channels} channels; the transformer "
            f"reads {preset.transformer.in_channels}.",
            value=autoencoder.z_channels,
            nearest=preset.transformer.in_channels,
        )
    say(0.2, "reading the text encoder")
    text_encoder = WordTextEncoder.load(folder).to(device)
    say(0.3, "reading the transformer")
    transformer = load_transformer(preset.transformer, load_file(files[0]), device, dtype)
    sharpener = None
    if preset.transformer.guide_channels:
        sharpener = Sharpener.load(folder).to(device)
    say(1.0, "ready")
    return Parts(transformer, autoencoder, text_encoder, digest_of(files), sharpener)


def check_package_files(preset: Preset) -> list[Path]:
    """Return the folder's weight files; raise SynCamError for the first that is wrong.

    Only headers are read.
    """
    folder = package_folder(preset.source.base)
    files = [folder / name for name in PACKAGE_FILES]
    if preset.transformer.guide_channels:
        files.append(folder / SHARPENER_FILE)
    headers = [read_header(path) for path in files]
    check_shapes(
        headers[0].shapes,
        expected_shapes(preset.transformer),
        f"The transformer of preset {preset.name!r} ({files[0].name})",
    )
    return files
