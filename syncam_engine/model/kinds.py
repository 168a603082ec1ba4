# SPDX-License-Identifier: Apache-2.0
"""The kinds of models (`Source.kind`): how each is configured, kept in files and fitted in memory.

No torch here, nor when the module of a kind is imported: the server reads presets with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from syncam_engine.link.envelope import EnvelopeIssue
from syncam_engine.model.presets import CameraEncoding, Preset, TransformerConfig
from syncam_engine.model.registry import KINDS, named

if TYPE_CHECKING:
    import torch

    from syncam_engine.model.interfaces import Autoencoder
    from syncam_engine.model.parts import OnProgress, Parts


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What the networks of a kind take beside the transformer, and how they are best run."""

    text_encoder_bytes: float
    text_largest_layer_bytes: float
    """What is on the device when the text encoder is offloaded layer by layer."""
    autoencoder_bytes: float
    decode_bytes_per_pixel: float
    """Of decoding one clip: the widest feature maps at full size, a pixel and picture held at
    once."""
    large: bool
    """Whether a GPU runs them in 16 bits, few rows at once, and decodes in tiles."""


class Kind(Protocol):
    """What the module of a kind has."""

    TRANSFORMER: type[TransformerConfig]
    CAMERA: type[CameraEncoding]
    AUTOENCODER_FILE: str
    """What a folder with an autoencoder of this kind holds."""
    FOOTPRINT: Footprint

    def load_parts(
        self, preset: Preset, device: torch.device, dtype: torch.dtype, say: OnProgress
    ) -> Parts:
        """Return a preset's networks. Raises SynCamError before memory is taken."""
        ...

    def check_files(self, preset: Preset) -> list[Path]:
        """Return the weight files, all there and whole; raise SynCamError for the first that is
        not. Downloads nothing."""
        ...

    def load_autoencoder(self, folder: Path, device: torch.device) -> Autoencoder:
        """Return the frozen autoencoder that a folder holds."""
        ...

    def prompt_issues(self, preset: Preset, prompt: str) -> list[EnvelopeIssue]:
        """Return what of a prompt the preset cannot read."""
        ...


def kind_of(preset: Preset) -> Kind:
    """Return the kind of a preset."""
    return named(KINDS[preset.source.kind])
