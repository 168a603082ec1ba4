# SPDX-License-Identifier: Apache-2.0
"""The sections of a training config that belong to the preview's own tasks. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncam_engine.training.config import at_least, config_fault

if TYPE_CHECKING:
    from syncam_engine.training.config import TrainConfig

PATCH_NUMBERS = 3 * 4 * 8 * 8
"""Of the patch autoencoder: colours, pictures, rows and columns of a cell."""


def _are_classes(classes: Any) -> bool:
    """Whether this is class -> words, two classes at least."""
    return (
        isinstance(classes, dict)
        and len(classes) > 1
        and all(
            isinstance(w, list) and all(isinstance(x, str) for x in w) for w in classes.values()
        )
    )


@dataclass(kw_only=True, slots=True)
class AutoencoderConfig:
    """Sizes and loss of the patch autoencoder (`kind: autoencoder`)."""

    z_channels: int = 24
    width: int = 128
    encoder_blocks: int = 3
    decoder_blocks: int = 5
    moving_weight: float = 4.0
    """Weight of pixels that change over the clip, against 1 for those that stand."""
    latent_noise: float = 0.03
    """Most noise on the latents while training, relative to their scale; each picture draws how
    much of it: a decoder that forgives."""
    noise_block: int = 1
    """Above 1, half of the noise is one for each square of so many cells: a model whose tokens are
    such squares errs so, and the decoder learns to smooth over their borders."""
    decoder_only: bool = False
    """Train the decoder alone, from the autoencoder in `model.base`: latents keep their meaning."""
    pca_clips: int = 400
    """Clips whose patches give the linear start."""

    def __post_init__(self) -> None:
        at_least(self, "autoencoder.", 1, "z_channels", "width", "pca_clips", "noise_block")
        at_least(self, "autoencoder.", 1, "encoder_blocks", "decoder_blocks")
        if self.z_channels > PATCH_NUMBERS:
            right = f"at most {PATCH_NUMBERS}, the numbers of a patch"
            raise config_fault("autoencoder.z_channels", self.z_channels, right, PATCH_NUMBERS)
        if self.width % 8:
            nearest = max(8, self.width // 8 * 8)
            raise config_fault("autoencoder.width", self.width, "a multiple of 8", nearest)
        at_least(self, "autoencoder.", 0.0, "moving_weight", "latent_noise")

    def check(self, config: TrainConfig) -> None:
        """Nothing of the other sections is out of place."""

    def kept(self) -> Any:
        """What must stay the same for a run to go on."""
        return [self.z_channels, self.width, self.encoder_blocks, self.decoder_blocks]


@dataclass(kw_only=True, slots=True)
class ClassifierConfig:
    """What the prompt classifier tells apart (`kind: classifier`)."""

    attributes: dict[str, Any] = field(default_factory=dict)
    """Attribute -> class -> the caption's words that mean it."""

    def __post_init__(self) -> None:
        words = self.attributes
        if not words or not all(map(_are_classes, words.values())):
            right = "attributes with two classes or more, each a list of words"
            raise config_fault("classifier.attributes", words, right)

    def check(self, config: TrainConfig) -> None:
        """Raise the fault of what a classifier has not."""
        if config.run.sheet_steps:
            raise config_fault("run.sheet_steps", config.run.sheet_steps, "0 for a classifier", 0)

    def kept(self) -> Any:
        """What must stay the same for a run to go on."""
        return self.attributes
