# SPDX-License-Identifier: Apache-2.0
"""What the sampler and the trainer ask of an autoencoder and a text encoder.

The hub's Wan autoencoder and UMT5 stand behind these (`hub_parts.py`), and so do the preview
model's own small ones. No torch is imported here: the annotations are for readers.

Shape legend: V views (or any batch), C channels, G guide channels, T pictures, F latent frames, H,
W picture or latent rows and columns, B prompts, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

SPATIAL_STRIDE = 8
TEMPORAL_STRIDE = 4


def latent_frame_count(frames: int) -> int:
    """Return F for T pictures: T = 4(F-1)+1, and latent frame 0 covers picture 0 alone.

    Raises ValueError for a T that the Wan family cannot hold, with the two nearest that it can.
    """
    if frames < 1 or (frames - 1) % TEMPORAL_STRIDE:
        below = max(1, (frames - 1) // TEMPORAL_STRIDE * TEMPORAL_STRIDE + 1)
        raise ValueError(
            f"frames is {frames}; it must be 4k+1, the nearest are {below} and "
            f"{below + TEMPORAL_STRIDE}"
        )
    return (frames - 1) // TEMPORAL_STRIDE + 1


def picture_of_latent_frame(latent_frame: int) -> int:
    """Return the picture whose camera pose stands for a latent frame: 0, 4, 8, ..."""
    return latent_frame * TEMPORAL_STRIDE


@runtime_checkable
class Autoencoder(Protocol):
    """Video to latents and back. Latents come out scaled to about unit variance."""

    z_channels: int
    spatial_stride: int
    temporal_stride: int

    def encode(self, video_VCTHW: Tensor) -> Tensor:
        """Return z_VCFHW of pictures in [-1, 1]; the mean, never a random draw."""
        ...

    def decode(self, z_VCFHW: Tensor) -> Tensor:
        """Return video_VCTHW in [-1, 1], T = 4(F-1)+1."""
        ...

    def preview(self, z_VCHW: Tensor) -> Tensor:
        """Return rgb_VCHW in [-1, 1] at the latents' own size, in milliseconds."""
        ...


class Sharpener(Protocol):
    """A last look at decoded pictures, for views whose geometry is known."""

    def __call__(self, video_VCTHW: Tensor, guides_VTGHW: Tensor, z_VCFHW: Tensor) -> Tensor:
        """Return video_VCTHW in about [-1, 1]; guides as `guides.guide_channels` makes them."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Prompts to tokens. The empty prompt is a valid one: it is the unconditional branch."""

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return (tokens_BLD float, mask_BL bool; True marks a token that counts)."""
        ...
