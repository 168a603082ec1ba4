# SPDX-License-Identifier: Apache-2.0
"""What a run starts from: a diffusers-format Wan folder, or a preset's folder in our own format.

Of Wan, FOLDER/{transformer, vae, text_encoder, tokenizer}: text encoder and autoencoder stay as is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.hub_files import headers_of
from syncam_engine.model.interfaces import Autoencoder, TextEncoder
from syncam_engine.model.presets import Preset
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.model.transformer_files import TRANSFORMER_FILE, expected_shapes
from syncam_engine.model.weight_files import check_shapes, read_header
from syncam_engine.preview.text_encoder import WordTextEncoder
from syncam_engine.training.config import TrainConfig

REMEMBERED_PROMPTS = 64
"""A prompt of UMT5 is 8 MB in 32 bits."""


class FrozenText:
    """A text encoder that does not learn; prompts met before are remembered."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(tokens_BLD, mask_BL), on the CPU, outside the gradient."""
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._known:
                if len(self._known) >= REMEMBERED_PROMPTS:
                    self._known.pop(next(iter(self._known)))
                with torch.no_grad():
                    tokens_BLD, mask_BL = self.encoder.encode([prompt])
                self._known[prompt] = (tokens_BLD[0].float().cpu(), mask_BL[0].cpu())
        found = [self._known[prompt] for prompt in prompts]
        return torch.stack([t for t, _ in found]), torch.stack([m for _, m in found])


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    transformer: MultiViewWanTransformer
    autoencoder: Autoencoder
    text: FrozenText


def load_base(config: TrainConfig, preset: Preset) -> Base:
    """The base's parts, with fresh multi-view modules that start as its self-attention.

    Raises `SynCamError` when the folder is missing or of another shape than the preset.
    """
    folder = expand(config.model.base)
    if not config.model.base or not folder.is_dir():
        raise SynCamError(
            "config.base",
            f"The base folder {config.model.base or '(empty)'} of the training config is not "
            f"there; preset {preset.name} needs a diffusers-format Wan folder.",
            value=config.model.base,
            fix=f"Download {preset.source.base} and name its folder in model.base",
        )
    headers = headers_of(folder / "transformer")
    found = {name: shape for header in headers for name, shape in header.shapes.items()}
    wanted = {k: v for k, v in expected_shapes(preset.transformer).items() if ".mvs." not in k}
    check_shapes(found, wanted, f"The base transformer in {folder}")

    from diffusers import AutoencoderKLWan
    from transformers import AutoTokenizer, UMT5EncoderModel

    from syncam_engine.model.hub_parts import UMT5Text, WanAutoencoder

    tensors: dict[str, Tensor] = {}
    for header in headers:
        tensors.update(load_file(header.path))
    transformer = build_transformer(preset.transformer)
    transformer.load_state_dict(tensors, strict=False)
    transformer.start_mvs_from_base()
    device = torch.device("cpu")
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    frozen = encoder.eval().requires_grad_(False)
    return Base(
        transformer=transformer,
        autoencoder=WanAutoencoder(vae.eval().requires_grad_(False), device),
        text=FrozenText(UMT5Text(tokenizer, frozen, device)),
    )


OWN_PARTS = ("text_pooler.", "refiner.")
"""Parts of a transformer that weights may lack: they start as nothing."""


def package_base(config: TrainConfig, preset: Preset) -> Path | None:
    """The folder in our own format whose weights a run starts from; None to start from noise.

    Raises `SynCamError` when it is not there, or its transformer has other shapes than the preset.
    """
    if not config.model.base:
        return None
    folder = expand(config.model.base)
    if not folder.is_dir():
        raise SynCamError(
            "config.base",
            f"The base folder {config.model.base} of the training config is not there.",
            value=config.model.base,
            fix="Name a folder that `syncam train CONFIG --export FOLDER` wrote",
        )
    header = read_header(folder / TRANSFORMER_FILE)
    wanted = expected_shapes(preset.transformer)
    lacking = {k for k in wanted if k.startswith(OWN_PARTS) and k not in header.shapes}
    wanted = {k: v for k, v in wanted.items() if k not in lacking}
    check_shapes(header.shapes, wanted, f"The base transformer in {folder}")
    return folder


def load_package_base(
    folder: Path, transformer: MultiViewWanTransformer, text_encoder: WordTextEncoder
) -> None:
    """Put a folder's weights into a fresh network and text encoder; words beyond it stay fresh."""
    tensors = load_file(folder / TRANSFORMER_FILE)
    transformer.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    found = WordTextEncoder.load(folder)
    if found.config != replace(text_encoder.config, word_skip=found.config.word_skip) or (
        found.config.word_skip and not text_encoder.config.word_skip
    ):
        raise SynCamError(
            "config.base",
            f"The base's text encoder has {found.config}, the config asks for "
            f"{text_encoder.config}.",
            value=str(folder),
            fix="Set model.word_skip as the base has it",
        )
    # A `word_skip` that the folder's encoder lacks starts as nothing.
    text_encoder.load_state_dict(found.state_dict(), strict=False)
