# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the uncompressed scanline OpenEXR that Blender writes: every pass of every view at once.

One file for each frame, no compression, all channels of the same size: a header and rows. That is
an order of magnitude less work than one PNG a camera and a pass.
"""

import struct
from pathlib import Path

import numpy as np

_DTYPES = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Channel name -> [H,W] array (top row first).

    Raises ValueError for files this does not read (compressed, tiled or multi-part).
    """
    data = Path(path).read_bytes()
    magic, version = struct.unpack_from("<II", data)
    if magic != 20000630 or version & 0x1A00:
        raise ValueError(f"{path} is not a plain scanline OpenEXR file (version {version:#x})")
    channels, window, compression, offset = _header(data)
    if compression != 0:
        raise ValueError(f"{path} is compressed (method {compression}), expected none")
    width, height = window[2] - window[0] + 1, window[3] - window[1] + 1
    row = np.dtype(
        [("y", "<i4"), ("size", "<i4")]
        + [(f"c{i}", _DTYPES[kind], (width,)) for i, (_, kind) in enumerate(channels)]
    )
    start = offset + 8 * height  # after the table of row offsets
    rows = np.frombuffer(data, row, count=height, offset=start)
    return {name: rows[f"c{i}"] for i, (name, _) in enumerate(channels)}


def _header(data: bytes):
    offset, channels, window, compression = 8, [], None, None
    while data[offset]:
        end = data.index(0, offset)
        name, offset = data[offset:end], end + 1
        end = data.index(0, offset)
        (size,) = struct.unpack_from("<i", data, end + 1)
        value = data[end + 5 : end + 5 + size]
        offset = end + 5 + size
        if name == b"channels":
            channels = _channels(value)
        elif name == b"dataWindow":
            window = struct.unpack("<4i", value)
        elif name == b"compression":
            compression = value[0]
    return channels, window, compression, offset + 1


def _channels(value: bytes) -> list[tuple[str, int]]:
    out, offset = [], 0
    while value[offset]:
        end = value.index(0, offset)
        (kind,) = struct.unpack_from("<i", value, end + 1)
        out.append((value[offset:end].decode(), kind))
        offset = end + 17
    return out
