# SPDX-License-Identifier: Apache-2.0
"""What a multi-view run starts from; here a diffusers-format Wan folder.

FOLDER/{transformer, vae, text_encoder, tokenizer}: text encoder and autoencoder stay as they are.
Shape legend: B prompts, L text tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from syncam_engine.data.scene import Scene
from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.hub_files import headers_of
from syncam_engine.model.hub_parts import read_autoencoder, read_text_encoder
from syncam_engine.model.interfaces import Autoencoder, TextEncoder
from syncam_engine.model.presets import Preset
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.model.transformer_files import expected_shapes
from syncam_engine.model.weight_files import check_shapes
from syncam_engine.training.config import TrainConfig

REMEMBERED_PROMPTS = 64
"""A prompt of UMT5 is 8 MB in 32 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Prompts of a batch: word ids for a text encoder that learns, else its finished tokens."""

    ids_BL: Tensor | None = None
    tokens_BLD: Tensor | None = None
    mask_BL: Tensor | None = None

    def to(self, device: torch.device) -> Text:
        moved = {k: getattr(self, k) for k in ("ids_BL", "tokens_BLD", "mask_BL")}
        return Text(**{k: None if v is None else v.to(device) for k, v in moved.items()})


class Base(Protocol):
    """What a run of a kind of models starts from (`registry.BASES`).

    Made of (config, preset, scenes, words): the trained preset, and the words that a run which goes
    on remembers. Raises `SynCamError` for a base that is not there or does not fit.
    """

    autoencoder: Autoencoder | None
    words: Sequence[str]
    """A vocabulary that the run must remember; empty without one."""

    def transformer(self) -> MultiViewWanTransformer:
        """Return what is trained: the base's, or a fresh one."""
        ...

    def text_encoder(self) -> nn.Module | None:
        """Return a fresh text encoder that learns with the transformer, where there is one."""
        ...

    def start(self, transformer: MultiViewWanTransformer, text_encoder: nn.Module | None) -> None:
        """Put into fresh networks the weights that only a fresh run starts from."""
        ...

    def text(self, prompts: Sequence[str]) -> Text:
        """Return prompts as a batch carries them."""
        ...

    def encoder(self, text_encoder: nn.Module | None) -> TextEncoder:
        """Return what turns prompts into tokens, for sampling."""
        ...

    def rate_shares(self) -> dict[str, float]:
        """Return parts of parameters' names -> their share of the learning rate."""
        ...


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


class HubBase:
    """A Wan base's parts, with fresh multi-view modules that start as its self-attention."""

    words: Sequence[str] = ()

    def __init__(
        self, config: TrainConfig, preset: Preset, scenes: Sequence[Scene], words: Sequence[str]
    ) -> None:
        folder = expand(config.model.base)
        if not config.model.base or not folder.is_dir():
            raise SynCamError(
                "config.base",
                f"The base folder {config.model.base or '(empty)'} of the training config is not "
                f"there; preset {preset.name} needs a diffusers-format Wan folder.",
                value=config.model.base,
                fix=f"Download {preset.source.base} and name its folder in model.base",
            )
        self._transformer = _wan_transformer(folder, preset)
        cpu = torch.device("cpu")
        self.autoencoder: Autoencoder | None = read_autoencoder(folder / "vae", cpu)
        self.frozen_text = FrozenText(read_text_encoder(folder, cpu, torch.float32))

    def transformer(self) -> MultiViewWanTransformer:
        return self._transformer

    def text_encoder(self) -> None:
        return None

    def start(self, transformer: MultiViewWanTransformer, text_encoder: nn.Module | None) -> None:
        """Nothing: the transformer holds the base's weights already."""

    def text(self, prompts: Sequence[str]) -> Text:
        tokens_BLD, mask_BL = self.frozen_text(prompts)
        return Text(tokens_BLD=tokens_BLD, mask_BL=mask_BL)

    def encoder(self, text_encoder: nn.Module | None) -> TextEncoder:
        return self.frozen_text.encoder

    def rate_shares(self) -> dict[str, float]:
        return {}


def _wan_transformer(folder: Path, preset: Preset) -> MultiViewWanTransformer:
    headers = headers_of(folder / "transformer")
    found = {name: shape for header in headers for name, shape in header.shapes.items()}
    wanted = {k: v for k, v in expected_shapes(preset.transformer).items() if ".mvs." not in k}
    check_shapes(found, wanted, f"The base transformer in {folder}")
    tensors: dict[str, Tensor] = {}
    for header in headers:
        tensors.update(load_file(header.path))
    transformer = build_transformer(preset.transformer)
    transformer.load_state_dict(tensors, strict=False)
    transformer.start_mvs_from_base()
    return transformer
