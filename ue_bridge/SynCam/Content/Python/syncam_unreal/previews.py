# SPDX-License-Identifier: Apache-2.0
"""A running job's previews as one picture: a grid of all cameras, as PNG (`link.png`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from syncam_engine.link import png
from syncam_engine.link.messages import Preview

GAP_PX = 2
GAP_GREY = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """8-bit sRGB, rows from the top."""

    width: int
    height: int
    rgb8: bytes


class PreviewBoard:
    """The newest preview of each camera of the newest job; `number` changes with each."""

    def __init__(self) -> None:
        self.job_id, self.number = "", 0
        self._pictures: dict[str, Picture] = {}

    def take(self, event: Preview) -> None:
        if event.job_id != self.job_id:
            self.job_id, self._pictures = event.job_id, {}
        self._pictures[event.camera] = Picture(event.width, event.height, event.rgb8)
        self.number += 1

    def png(self, cameras: list[str]) -> bytes:
        """Return the board as a PNG, or b"" where there is no preview."""
        if not self._pictures:
            return b""
        return grid_png([self._pictures.get(name) for name in cameras])


def grid_png(pictures: list[Picture | None]) -> bytes:
    """Return a PNG of the pictures in order, about as many columns as rows; None stays grey."""
    there = [picture for picture in pictures if picture is not None]
    if not there:
        raise ValueError("pictures must hold at least one picture")
    width, height = max(p.width for p in there), max(p.height for p in there)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    full = columns * (width + GAP_PX) - GAP_PX
    lines = []
    for row in range(rows):
        cells = pictures[row * columns : (row + 1) * columns]
        if row:
            lines += [bytes([GAP_GREY]) * (3 * full)] * GAP_PX
        for y in range(height):
            line = bytearray()
            for index in range(columns):
                if index:
                    line += bytes([GAP_GREY]) * (3 * GAP_PX)
                cell = cells[index] if index < len(cells) else None
                line += _row_of(cell, y, width)
            lines.append(bytes(line))
    return png.picture(b"".join(lines), full, len(lines), level=1)


def _row_of(picture: Picture | None, y: int, width: int) -> bytes:
    if picture is None or y >= picture.height:
        return bytes([GAP_GREY]) * (3 * width)
    start = 3 * picture.width * y
    row = picture.rgb8[start : start + 3 * picture.width]
    return row + bytes([GAP_GREY]) * (3 * (width - picture.width))
