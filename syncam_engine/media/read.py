# SPDX-License-Identifier: Apache-2.0
"""Files to clips, and a clip to another rate by a stated rule.

Legend: T frames, H, W, 3 channels (8-bit sRGB).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError

from .write import METADATA_KEY

MOST_FRAMES = 4000
MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    frames_THW3: np.ndarray
    fps: Fraction
    times_s: tuple[float, ...]
    """When each frame is shown, from the first one's 0."""
    metadata: dict[str, Any]


def read_clip(path: Path, *, most_frames: int = MOST_FRAMES, last_s: float | None = None) -> Clip:
    """Decode the first video stream of a file. Raises `SynCamError` "clip.*" naming the file.

    Decoding is limited in frames and pixels: the file may come from anybody. `last_s`: what is
    shown later is not decoded.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise SynCamError("clip.no_video", f"{path.name} has no video in it.")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
                raise SynCamError(
                    "clip.size",
                    f"{path.name} is {stream.codec_context.width}x{stream.codec_context.height}; "
                    "8192x8192 is the most.",
                )
            stream.thread_count = 1
            pictures, times = [], []
            for frame in container.decode(stream):
                if len(pictures) >= most_frames:
                    break
                time = float(frame.time) if frame.time is not None else None
                if times and None not in (last_s, time) and time - (times[0] or 0.0) > last_s:
                    break
                # A phone films as it was held, and says how to turn that.
                pictures.append(np.rot90(rgb_of(frame), round(frame.rotation / 90)))
                times.append(time)
            fps = Fraction(stream.average_rate or stream.guessed_rate or 0)
            metadata = _metadata(container.metadata.get(METADATA_KEY, ""))
    except (av.FFmpegError, OSError, ValueError) as error:
        # The text of an error that has a file names it with its folder, which is nobody's business.
        reason = getattr(error, "strerror", None) or error
        raise SynCamError(
            "clip.unreadable", f"{path.name} is no readable clip: {reason}."
        ) from error
    if not pictures:
        raise SynCamError("clip.empty", f"{path.name} has no frame in it.")
    if fps <= 0:
        fps = Fraction(15)
    start = times[0] or 0.0
    times_s = tuple(
        float(k / fps) if time is None else time - start for k, time in enumerate(times)
    )
    return Clip(frames_THW3=np.stack(pictures), fps=fps, times_s=times_s, metadata=metadata)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what `write_mp4` was given as metadata; {} for a file of others."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return _metadata(container.metadata.get(METADATA_KEY, ""))
    except (av.FFmpegError, OSError, ValueError):
        return {}


def rgb_of(frame: av.VideoFrame) -> np.ndarray:
    """Return a decoded frame as uint8 [H, W, 3], sRGB.

    Files without a tag are BT.709 from 720 lines up, BT.601 below: FFmpeg's own guess is BT.601 for
    all, so the tag is read here.
    """
    is_709 = frame.colorspace == Colorspace.ITU709 or frame.height >= 720
    space = Colorspace.ITU709 if is_709 else Colorspace.ITU601
    return frame.reformat(format="rgb24", src_colorspace=space).to_ndarray()


def resample(clip: Clip, frames: int, fps: Fraction) -> np.ndarray:
    """Return uint8 [frames, H, W, 3]: the clip at another rate and length.

    The rule: picture k of the result shows the clip's frame that is on the screen at k / fps
    seconds (the latest that began by then); after its end the last frame is held.
    """
    starts = np.asarray(clip.times_s)
    wanted = np.arange(frames) / float(fps)
    # A thousandth of a frame forgives the rounding of time stamps.
    index = np.searchsorted(starts, wanted + 1e-3 / float(fps), side="right") - 1
    return clip.frames_THW3[np.clip(index, 0, len(starts) - 1)]


def read_resampled(path: Path, frames: int, fps: Fraction) -> np.ndarray:
    """Return uint8 [frames, H, W, 3] of a file at another rate and length; decodes no more than
    these show (minutes of film may be given for seconds of clip). Raises `SynCamError` "clip.*"."""
    return resample(read_clip(path, last_s=float(frames / fps)), frames, fps)


def _metadata(text: str) -> dict[str, Any]:
    try:
        data = json_text.loads(text) if text else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
