# SPDX-License-Identifier: Apache-2.0
"""A second look at decoded pictures, for views whose geometry is known.

Latents of 8x8 pixels cannot hold where a sleeve ends; the guides know it to the pixel. A small
U-Net reads the decoded picture, the guides and the latents of its cell and corrects the picture.
It starts as nothing: its last layer is zero. Without guides it is not used.

Shape legend: V views, T pictures, F latent frames, C channels, G guide channels, H, W pixels,
N = V x T pictures.
"""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from syncam_engine.model.convolutions import ResidualBlock
from syncam_engine.model.interfaces import TEMPORAL_STRIDE
from syncam_engine.model.presets import GUIDE_CHANNELS

SHARPENER_FILE = "sharpener.safetensors"
WIDTHS = (16, 32, 64, 96)
"""Channels at the full size, a half, a quarter and an eighth, where the latents join."""


class Sharpener(nn.Module):
    """Decoded pictures + what guides and latents say of them."""

    def __init__(self, z_channels: int) -> None:
        super().__init__()
        full, half, quarter, eighth = WIDTHS
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3 + GUIDE_CHANNELS, full, 3, padding=1),
                nn.Conv2d(full, half, 3, stride=2, padding=1),
                nn.Conv2d(half, quarter, 3, stride=2, padding=1),
                nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            ]
        )
        self.latents = nn.Conv2d(z_channels, eighth, 1)
        self.middle = nn.Sequential(ResidualBlock(eighth), ResidualBlock(eighth))
        self.up = nn.ModuleList(
            [
                nn.Conv2d(eighth + quarter, quarter, 3, padding=1),
                nn.Conv2d(quarter + half, half, 3, padding=1),
                nn.Conv2d(half + full, full, 3, padding=1),
            ]
        )
        self.refine = nn.ModuleList([ResidualBlock(quarter), ResidualBlock(half), nn.Identity()])
        self.leave = nn.Conv2d(full, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, video_VCTHW: Tensor, guides_VTGHW: Tensor, z_VCFHW: Tensor) -> Tensor:
        """Return video_VCTHW, not clamped; pictures in [-1, 1], T = 4(F-1)+1."""
        views, _, pictures = video_VCTHW.shape[:3]
        frame_of_picture = (torch.arange(pictures) + TEMPORAL_STRIDE - 1) // TEMPORAL_STRIDE
        z_NC = rearrange(z_VCFHW[:, :, frame_of_picture], "v c t h w -> (v t) c h w")
        decoded = rearrange(video_VCTHW, "v c t h w -> (v t) c h w")
        x = torch.cat([decoded, guides_VTGHW.flatten(0, 1).type_as(decoded)], dim=1)
        passed = []
        for layer in self.down:
            x = functional.silu(layer(x))
            passed.append(x)
        x = self.middle(passed.pop() + self.latents(z_NC))
        for layer, block in zip(self.up, self.refine, strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(functional.silu(layer(torch.cat([x, passed.pop()], dim=1))))
        change = rearrange(self.leave(x), "(v t) c h w -> v c t h w", v=views)
        return video_VCTHW + change

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
        path = Path(folder) / SHARPENER_FILE
        tensors = {
            k: v.detach().to("cpu", dtype).contiguous() for k, v in self.state_dict().items()
        }
        save_file(tensors, path, metadata={"format": "syncam-sharpener"})
        return path

    @classmethod
    def load(cls, folder: Path) -> Sharpener:
        """The sharpener of a package's folder, in float32, for inference."""
        tensors = {k: v.float() for k, v in load_file(Path(folder) / SHARPENER_FILE).items()}
        with torch.device("meta"):
            made = cls(tensors["latents.weight"].shape[1])
        made.load_state_dict(tensors, assign=True)
        return made.eval().requires_grad_(False)
