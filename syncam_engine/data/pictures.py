# SPDX-License-Identifier: Apache-2.0
"""Pictures and clips from files, with one kind of error for all that can be wrong with them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from syncam_engine.data.scene import BrokenFile
from syncam_engine.link.errors import SynCamError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CLIP_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")


def read_picture(path: Path | str, data: bytes | None = None) -> np.ndarray:
    """A picture as uint8 HW3, from the file or from its bytes. Raises `BrokenFile`."""
    try:
        with Image.open(io.BytesIO(data) if data is not None else path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise BrokenFile(str(path), str(error) or type(error).__name__) from error


def read_clip_frames(path: Path, frames: Sequence[int]) -> np.ndarray:
    """Frames of a clip by number, uint8 THW3. Raises `BrokenFile` when the clip is too short."""
    from syncam_engine.media.read import open_video, rgb_of

    wanted, found = set(frames), {}
    try:
        with open_video(path) as (container, stream):
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    found[number] = rgb_of(frame)
                if len(found) == len(wanted):
                    break
    except SynCamError as error:
        raise BrokenFile(str(path), str(error)) from error
    missing = sorted(wanted - set(found))
    if missing:
        raise BrokenFile(str(path), f"it has no frame {missing[0]}")
    return np.stack([found[k] for k in frames])


def clip_facts(path: Path) -> tuple[int, int, int, float]:
    """Frames, width, height and fps of a clip. Raises `BrokenFile`."""
    from syncam_engine.media.read import open_video

    try:
        with open_video(path) as (container, stream):
            frames = stream.frames
            if not frames:  # Some containers do not say: count the packets.
                frames = sum(1 for packet in container.demux(stream) if packet.size)
            rate = float(stream.average_rate or 0.0)
            return frames, stream.codec_context.width, stream.codec_context.height, rate
    except SynCamError as error:
        raise BrokenFile(str(path), str(error)) from error


def check_clip(path: Path, pictures: int) -> None:
    """Read a clip to its end without decoding it. Raises `BrokenFile` when it was cut off, or has
    fewer pictures than `pictures`."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            promised, found = max(stream.frames, pictures), 0
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    break
                found += packet.size > 0
    except (av.FFmpegError, IndexError, OSError) as error:
        raise BrokenFile(str(path), str(error)) from error
    if found < promised:
        raise BrokenFile(str(path), f"it ends after {found} of {promised} pictures")


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height without decoding. Raises `BrokenFile`."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise BrokenFile(str(path), str(error)) from error
