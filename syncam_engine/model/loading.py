# SPDX-License-Identifier: Apache-2.0
"""From a preset to the three networks in memory: transformer, autoencoder, text encoder.

Every file is checked by its header before memory is taken; each refusal is one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from safetensors.torch import load_file

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import Autoencoder, TextEncoder
from syncam_engine.model.presets import Preset, TransformerConfig, package_folder
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.model.weight_files import check_shapes, digest_of, read_header

OnProgress = Callable[[float, str], None]
"""(fraction 0 to 1, what is going on)."""

TRANSFORMER_FILE = "transformer.safetensors"
FP32_NAMES = ("scale_shift_table", "modulation", "time_embedder", ".norm2.")
"""Parameters that stay in float32 whatever the network's dtype."""


@dataclass
class Parts:
    """A preset's networks, on one device, in evaluation mode."""

    transformer: MultiViewWanTransformer
    autoencoder: Autoencoder
    text_encoder: TextEncoder
    digest: str
    offload_hooks: list[Any] = field(default_factory=list)
    """Under model offload: what moves a network away again."""


def load_parts(
    preset: Preset,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    on_progress: OnProgress | None = None,
) -> Parts:
    """Return a preset's networks. Raises SynCamError ("weights.*") before memory is taken."""
    say = on_progress or (lambda fraction, text: None)
    if preset.source.kind == "diffusers":
        from syncam_engine.model.hub_parts import load_hub_parts

        return load_hub_parts(preset, device, dtype, say)
    return load_package_parts(preset, package_folder(preset.source.base), device, dtype, say)


def load_package_parts(
    preset: Preset, folder: Path, device: torch.device, dtype: torch.dtype, say: OnProgress
) -> Parts:
    """Return the networks of a folder in our own format."""
    files = check_package_files(preset, folder)
    from syncam_engine.preview.autoencoder import PatchAutoencoder
    from syncam_engine.preview.text_encoder import WordTextEncoder

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
    say(1.0, "ready")
    return Parts(transformer, autoencoder, text_encoder, digest_of(files))


def check_package_files(preset: Preset, folder: Path) -> list[Path]:
    """Return the folder's weight files; raise SynCamError for the first that is wrong.

    Only headers are read.
    """
    names = ("transformer", "autoencoder", "text_encoder")
    files = [folder / f"{name}.safetensors" for name in names]
    headers = [read_header(path) for path in files]
    check_shapes(
        headers[0].shapes,
        expected_shapes(preset.transformer),
        f"The transformer of preset {preset.name!r} ({files[0].name})",
    )
    return files


def check_files(preset: Preset) -> list[str]:
    """Return one line a weight file of a preset, all of them there and whole; no download.

    Raises SynCamError for the first that is not.
    """
    if preset.source.kind == "package":
        files = check_package_files(preset, package_folder(preset.source.base))
    else:
        from syncam_engine.model.hub_files import find_local_base, find_mvs_file
        from syncam_engine.model.hub_parts import check_hub_files

        mvs = find_mvs_file(preset.source.mvs_file)
        files = check_hub_files(preset, find_local_base(preset.source.base), mvs)
    return [f"{path}: {read_header(path).parameters:,} parameters, whole" for path in files]


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
    from safetensors.torch import save_file

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
