# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to one lossless clip (animated PNG). Pure: no bpy.

Used for viewport renders on their way to the engine: exact colours, exact frame times.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from syncam_engine.link import png


def encode(pictures: Sequence[bytes], width: int, height: int, fps: Fraction) -> bytes:
    """Return the clip of 8-bit sRGB pictures: width * height * 3 bytes each, rows from the top."""
    return png.clip([png.picture(picture, width, height) for picture in pictures], fps)
