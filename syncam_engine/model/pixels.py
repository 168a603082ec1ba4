# SPDX-License-Identifier: Apache-2.0
"""Pictures as people have them (uint8, colours last) and as networks do ([-1, 1], colours second).

Shape legend: V views (or any batch), T pictures, C colours (3 = RGB), H, W. Without T: pictures
instead of clips.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_network(clips_VTHW3: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Return float32 [V, 3, T, H, W] in [-1, 1]; of pictures [V, H, W, 3] likewise [V, 3, H, W]."""
    video = torch.from_numpy(np.ascontiguousarray(clips_VTHW3)).to(device)
    return video.movedim(-1, 1).float() / 127.5 - 1.0


def to_pictures(video_VCTHW: Tensor) -> np.ndarray:
    """Return uint8 [V, T, H, W, 3] of a video in [-1, 1]; what lies outside is cut off."""
    scaled = ((video_VCTHW.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.movedim(1, -1).cpu().numpy())
