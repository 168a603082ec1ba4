# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: rows of pictures under their captions, for eyes.

Shape legend: V views, T pictures, H, W, 3 = RGB; uint8.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

CAPTION_PX = 12


def strip(pictures_VTHW3: np.ndarray) -> np.ndarray:
    """One row: of each view its first, middle and last picture (a still once), HW3."""
    frames = pictures_VTHW3.shape[1]
    times = [0] if frames == 1 else [0, frames // 2, frames - 1]
    return np.concatenate([view[t] for view in pictures_VTHW3 for t in times], axis=1)


def contact_sheet(rows: list[np.ndarray], captions: list[str]) -> Image.Image:
    """Rows of pictures under their captions."""
    width = max(row.shape[1] for row in rows)
    height = sum(row.shape[0] + CAPTION_PX for row in rows)
    sheet = Image.new("RGB", (width, height), (24, 24, 24))
    pen = ImageDraw.Draw(sheet)
    top = 0
    for row, caption in zip(rows, captions, strict=True):
        pen.text((3, top), caption[: width // 6], fill=(230, 230, 230), font_size=10)
        sheet.paste(Image.fromarray(row), (0, top + CAPTION_PX))
        top += row.shape[0] + CAPTION_PX
    return sheet
