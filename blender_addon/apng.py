# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to one lossless clip (animated PNG), with nothing but zlib. Pure: no bpy.

Used for viewport renders on their way to the engine: exact colours, exact frame times.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode(pictures: Sequence[bytes], width: int, height: int, fps: Fraction) -> bytes:
    """Return the clip of 8-bit sRGB pictures: width * height * 3 bytes each, rows from the top."""
    stride = width * 3
    for picture in pictures:
        if len(picture) != stride * height:
            raise ValueError(f"a picture has {len(picture)} bytes, not {stride * height}")
    delay = (1 / fps).limit_denominator(65535)
    parts = [
        SIGNATURE,
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        _chunk(b"acTL", struct.pack(">II", len(pictures), 0)),
    ]
    number = 0
    for index, picture in enumerate(pictures):
        control = struct.pack(
            ">IIIIIHHBB", number, width, height, 0, 0, delay.numerator, delay.denominator, 0, 0
        )
        parts.append(_chunk(b"fcTL", control))
        number += 1
        rows = b"".join(b"\x00" + picture[y * stride : (y + 1) * stride] for y in range(height))
        data = zlib.compress(rows, 3)
        if index == 0:
            parts.append(_chunk(b"IDAT", data))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)
