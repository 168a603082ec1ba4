# SPDX-License-Identifier: Apache-2.0
"""Cameras by times: one row for each clip, a few of its pictures side by side.

Run with the engine's Python:  contact_sheet.py OUT.png NAME=CLIP.mp4 ...
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from syncam_engine.media.read import read_clip

TIMES, SCALE, GAP, TITLE = 5, 2, 4, 16


def sheet(clips: dict[str, Path]) -> Image.Image:
    """Return the sheet; every clip has the same size and length."""
    rows = {name: read_clip(path).frames_THW3 for name, path in clips.items()}
    frames, height, width = next(iter(rows.values())).shape[:3]
    shown = [round(k * (frames - 1) / max(1, TIMES - 1)) for k in range(TIMES)]
    cell = (width * SCALE + GAP, height * SCALE + GAP + TITLE)
    made = Image.new("RGB", (cell[0] * TIMES + GAP, cell[1] * len(rows) + GAP), (24, 24, 24))
    draw = ImageDraw.Draw(made)
    for row, (name, pictures) in enumerate(rows.items()):
        for column, k in enumerate(shown):
            picture = Image.fromarray(pictures[k]).resize(
                (width * SCALE, height * SCALE), Image.Resampling.NEAREST
            )
            at = (GAP + column * cell[0], GAP + row * cell[1])
            draw.text((at[0] + 2, at[1] + 1), f"{name}, picture {k + 1}", fill=(220, 220, 220))
            made.paste(picture, (at[0], at[1] + TITLE))
    return made


def main() -> None:
    target, *named = sys.argv[1:] or [""]
    if not named or not all("=" in text for text in named):
        sys.exit("usage: contact_sheet.py OUT.png NAME=CLIP.mp4 ...")
    sheet({name: Path(path) for name, path in (text.split("=", 1) for text in named)}).save(target)


if __name__ == "__main__":
    main()
