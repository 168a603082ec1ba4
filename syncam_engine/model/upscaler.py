# SPDX-License-Identifier: Apache-2.0
"""An optional last step: pictures four times as wide and high by a small convolutional network.

The network is Real-ESRGAN's `realesr-animevideov3` (0.62 M parameters, BSD-3-Clause, see LICENSES):
seventeen 3x3 convolutions with a learned leak, one that makes 4x4 pixels of each, and the picture
itself enlarged beside them. Two times is the mean of 2x2 pixels of four times: one network serves.

Shape legend: N pictures, H, W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = (
    Path(__file__).parent.parent / "weights" / "upscaler" / "realesr-animevideov3-x4.safetensors"
)
FACTORS = (1, 2, 4)
"""What a request may ask for; 1 leaves pictures as they are."""
WIDTH, LAYERS, SCALE = 64, 17, 4
PIXELS_AT_ONCE = 1 << 16
"""Pictures are taken together up to so many pixels: the network needs 0.5 kB for each."""


class Upscaler(nn.Module):
    """Pictures [N, 3, H, W] in [0, 1] -> [N, 3, 4H, 4W], not clamped."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(LAYERS):
            layers.append(nn.Conv2d(WIDTH if index else 3, WIDTH, 3, padding=1))
            layers.append(nn.PReLU(WIDTH))
        layers.append(nn.Conv2d(WIDTH, 3 * SCALE**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    @classmethod
    def load(cls, device: torch.device | str = "cpu") -> Upscaler:
        """The network in the package."""
        with torch.device("meta"):
            network = cls()
        tensors = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
        network.load_state_dict(tensors, assign=True)
        return network.to(device).eval().requires_grad_(False)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        detail = functional.pixel_shuffle(self.body(x_N3HW), SCALE)
        return detail + functional.interpolate(x_N3HW, scale_factor=SCALE, mode="nearest")

    @torch.inference_mode()
    def enlarge(self, pictures_NHW3: np.ndarray, factor: int) -> np.ndarray:
        """uint8 pictures -> uint8 pictures `factor` times as wide and high.

        Raises ValueError for a factor that is not one of `FACTORS`.
        """
        if factor not in FACTORS:
            raise ValueError(f"factor is {factor}; it must be 1, 2 or 4")
        if factor == 1:
            return pictures_NHW3
        count, height, width, _ = pictures_NHW3.shape
        device = self.body[0].weight.device
        made = np.empty((count, height * factor, width * factor, 3), np.uint8)
        together = max(1, PIXELS_AT_ONCE // (height * width))
        for start in range(0, count, together):
            some = torch.from_numpy(np.ascontiguousarray(pictures_NHW3[start : start + together]))
            large = self(some.to(device).permute(0, 3, 1, 2).float() / 255.0).clamp(0.0, 1.0)
            if factor < SCALE:
                large = functional.avg_pool2d(large, SCALE // factor)
            rounded = (large * 255.0).round().to(torch.uint8)
            made[start : start + together] = rounded.permute(0, 2, 3, 1).cpu().numpy()
        return made
