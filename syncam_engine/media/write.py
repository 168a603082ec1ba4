# SPDX-License-Identifier: Apache-2.0
"""Clips to files: H.264 in MP4 at an exact frame rate, and PNG sequences.

Shape legend: T frames, H, W, 3 channels (8-bit sRGB).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

METADATA_KEY = "comment"
_BT709 = 1
_SRGB = 13


def write_mp4(
    path: Path,
    frames_THW3: np.ndarray,
    fps: Fraction,
    metadata: Mapping[str, Any] | None = None,
    *,
    crf: int = 12,
) -> None:
    """Write uint8 [T,H,W,3] as one MP4; the same frames give the same bytes.

    8-bit 4:2:0, BT.709 primaries and matrix, limited range, all tagged, so that players agree on
    the colours. An odd width or height loses its last column or row, which 4:2:0 cannot hold.
    `metadata` is JSON in the file's comment.
    """
    frames_THW3 = np.ascontiguousarray(frames_THW3)
    if frames_THW3.dtype != np.uint8 or frames_THW3.ndim != 4 or frames_THW3.shape[3] != 3:
        raise ValueError(f"frames must be uint8 [T,H,W,3], got {describe(frames_THW3)}")
    height, width = (side // 2 * 2 for side in frames_THW3.shape[1:3])
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if metadata is not None:
            container.metadata[METADATA_KEY] = json.dumps(metadata, sort_keys=True)
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = 1 / fps
        # Frame threads and the CPU's own instructions would make the bytes depend on the machine
        # and on where buffers lie: the same pictures are to be the same file.
        stream.options = {
            "crf": str(crf),
            "preset": "medium",
            "threads": "1",
            "x264-params": "cpu-independent=1",
        }
        context = stream.codec_context
        context.thread_count = 1
        context.color_primaries = _BT709
        context.color_trc = _BT709
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        for index, picture in enumerate(frames_THW3):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture[:height, :width]), format="rgb24"
            )
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_png_sequence(folder: Path, frames_THW3: np.ndarray) -> list[Path]:
    """Write frame_0001.png ... into `folder`, without loss; return the paths."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, picture in enumerate(frames_THW3, start=1):
        path = folder / f"frame_{index:04d}.png"
        Image.fromarray(picture).save(path, compress_level=4)
        paths.append(path)
    return paths


def describe(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
