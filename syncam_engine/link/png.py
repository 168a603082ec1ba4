# SPDX-License-Identifier: Apache-2.0
"""PNG pictures and lossless clips (animated PNG) with nothing but zlib: host programs have no
imaging package.

8-bit sRGB; a clip has exact colours and exact frame times, and the engine reads it like any other.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(rgb8: bytes, width: int, height: int, level: int = 3) -> bytes:
    """Return a PNG of `width * height * 3` bytes, rows from the top. `level` is zlib's, 0 to 9."""
    stride = width * 3
    if len(rgb8) != stride * height:
        raise ValueError(f"a picture has {len(rgb8)} bytes, not {stride * height}")
    rows = b"".join(b"\0" + rgb8[y * stride : (y + 1) * stride] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (
        _chunk(b"IHDR", header)
        + _chunk(b"sRGB", b"\0")
        + _chunk(b"IDAT", zlib.compress(rows, level))
    )
    return SIGNATURE + body + _chunk(b"IEND", b"")


def size_of(png: bytes) -> tuple[int, int]:
    """Return a PNG's width and height. Raises ValueError for what is no PNG."""
    header = _header(png)
    return struct.unpack(">II", header[:8])


def clip(pictures: Sequence[bytes], fps: Fraction) -> bytes:
    """Return PNG files of one size and form as one animated PNG, in order.

    Their compressed pixels are taken as they are, so this costs no more than copying. Raises
    ValueError where a file is no PNG, or unlike the first.
    """
    header = _header(pictures[0])
    width, height = size_of(pictures[0])
    delay = (1 / fps).limit_denominator(65535)
    parts = [
        SIGNATURE,
        _chunk(b"IHDR", header),
        _chunk(b"acTL", struct.pack(">II", len(pictures), 0)),
    ]
    number = 0
    for index, png in enumerate(pictures):
        if _header(png) != header:
            raise ValueError(f"picture {index} is of another size or form than the first")
        # No offset; the picture replaces the whole of the last one, its alpha included.
        shown = (width, height, 0, 0, delay.numerator, delay.denominator, 0, 0)
        parts.append(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *shown)))
        number += 1
        data = b"".join(body for kind, body in _chunks(png) if kind == b"IDAT")
        if index == 0:
            parts.append(_chunk(b"IDAT", data))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)


def _header(png: bytes) -> bytes:
    kind, header = next(_chunks(png), (b"", b""))
    if kind != b"IHDR" or len(header) != 13:
        raise ValueError("the file is no PNG")
    return header


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, data) of each chunk. Raises ValueError where the file ends early."""
    if not png.startswith(SIGNATURE):
        raise ValueError("the file is no PNG")
    at = len(SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            raise ValueError("the PNG ends early")
        (length,) = struct.unpack_from(">I", png, at)
        end = at + 12 + length
        if end > len(png):
            raise ValueError("the PNG ends early")
        yield png[at + 4 : at + 8], png[at + 8 : end - 4]
        at = end
