# SPDX-License-Identifier: Apache-2.0
"""Files to clips, and a clip to another rate by a stated rule.

A file may come from anybody: its format is one of `FORMATS`, and what is decoded and kept of it is
limited. Shape legend: T frames, H, W, 3 channels (8-bit sRGB).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError, reason_of

from .write import METADATA_KEY

FORMATS = {
    "MP4 and MOV": "mov,mp4,m4a,3gp,3g2,mj2",
    "Matroska and WebM": "matroska,webm",
    "AVI": "avi",
    "MPEG-TS": "mpegts",
    "GIF": "gif",
    "PNG": "png_pipe,apng",
    "JPEG": "jpeg_pipe",
    "WebP": "webp_pipe",
    "TIFF": "tiff_pipe",
    "BMP": "bmp_pipe",
    "EXR": "exr_pipe",
}
"""What is read, and FFmpeg's names of it. Of its others some are text that names more files to
read, and some are programs to draw with."""
MOST_PIXELS = 8192 * 8192
"""Of one picture."""
MOST_DECODED_PIXELS = 2**33
"""Of all pictures that must be decoded: 1035 of 3840x2160."""
MOST_KEPT_PIXELS = 2**30
"""Of the pictures that `read_clip` returns, which weigh three bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    frames_THW3: np.ndarray
    fps: Fraction
    times_s: tuple[float, ...]
    """When each frame is shown, from the first one's 0."""
    metadata: dict[str, Any]


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file's first video stream; yields PyAV's container and stream. Raises `SynCamError`
    "clip.*" naming the file, also for what goes wrong while it is read."""
    try:
        with _opened(path) as container:
            if not container.streams.video:
                raise SynCamError("clip.no_video", f"{path.name} has no video in it.")
            stream = container.streams.video[0]
            _check_size(path, stream.codec_context.width, stream.codec_context.height)
            yield container, stream
    except (av.FFmpegError, OSError, ValueError) as error:
        # The text of an error that has a file names it with its folder, which is nobody's business.
        raise SynCamError(
            "clip.unreadable", f"{path.name} is not a readable clip: {reason_of(error)}."
        ) from error


def read_clip(path: Path) -> Clip:
    """Decode the first video stream of a file. Raises `SynCamError` "clip.*" naming the file."""
    pictures, times, kept = [], [], 0
    with open_video(path) as (container, stream):
        fps = _rate(stream)
        for frame in container.decode(stream):
            kept += frame.width * frame.height
            if kept > MOST_KEPT_PIXELS:
                raise SynCamError(
                    "clip.size",
                    f"{path.name} has more than {len(pictures)} pictures of "
                    f"{frame.width}x{frame.height}, which is more than is read whole.",
                    value=kept,
                    nearest=MOST_KEPT_PIXELS,
                )
            pictures.append(_upright(frame, rgb_of(frame)))
            times.append(None if frame.time is None else float(frame.time))
        metadata = _metadata(container.metadata.get(METADATA_KEY, ""))
    if not pictures:
        raise SynCamError("clip.empty", f"{path.name} has no frame in it.")
    return Clip(
        frames_THW3=np.stack(pictures), fps=fps, times_s=_from_zero(times, fps), metadata=metadata
    )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what `write_mp4` was given as metadata; {} for a file of others."""
    try:
        with open_video(path) as (container, _):
            return _metadata(container.metadata.get(METADATA_KEY, ""))
    except SynCamError:
        return {}


def rgb_of(frame: av.VideoFrame, most_pixels: int | None = None) -> np.ndarray:
    """Return a decoded frame as uint8 [H, W, 3], sRGB; smaller where it has more than
    `most_pixels`.

    Files without a tag are BT.709 from 720 lines up, BT.601 below: FFmpeg's own guess is BT.601 for
    all, so the tag is read here.
    """
    is_709 = frame.colorspace == Colorspace.ITU709 or frame.height >= 720
    space = Colorspace.ITU709 if is_709 else Colorspace.ITU601
    size = {}
    pixels = frame.width * frame.height
    if most_pixels is not None and pixels > most_pixels:
        scale = math.sqrt(most_pixels / pixels)
        sides = (max(1, round(side * scale)) for side in (frame.width, frame.height))
        size = dict(zip(("width", "height"), sides, strict=True), interpolation="AREA")
    return frame.reformat(format="rgb24", src_colorspace=space, **size).to_ndarray()


def resample(clip: Clip, frames: int, fps: Fraction) -> np.ndarray:
    """Return uint8 [frames, H, W, 3]: the clip at another rate and length.

    The rule: picture k of the result shows the clip's frame that is on the screen at k / fps
    seconds (the latest that began by then); after its end the last frame is held.
    """
    starts = np.asarray(clip.times_s)
    index = np.searchsorted(starts, _wanted_s(frames, fps), side="right") - 1
    return clip.frames_THW3[np.clip(index, 0, len(starts) - 1)]


def read_resampled(
    path: Path,
    frames: int,
    fps: Fraction,
    *,
    most_pixels: int | None = None,
    fit: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray,
) -> np.ndarray:
    """Return uint8 [frames, H, W, 3] of a file at another rate and length, as `resample` has it.

    Decodes no more than these show (minutes of film may be given for seconds of clip), converts no
    more than are shown, and keeps each as `fit` returns it. A picture of more than `most_pixels` is
    made smaller before. Raises `SynCamError` "clip.*".
    """
    wanted_s = _wanted_s(frames, fps)
    shown: list[np.ndarray] = []
    last: av.VideoFrame | None = None
    with open_video(path) as (container, stream):
        _check_decoded(path, container, stream, float(wanted_s[-1]))
    with open_video(path) as (container, stream):
        start_s, decoded, own_fps = 0.0, 0, _rate(stream)
        for index, frame in enumerate(container.decode(stream)):
            decoded += frame.width * frame.height
            _check_size(path, frame.width, frame.height)
            if decoded > MOST_DECODED_PIXELS:
                raise _too_much(path, index + 1, frame.width, frame.height)
            time_s = float(index / own_fps) if frame.time is None else float(frame.time) - start_s
            if last is None:
                start_s, time_s = time_s, 0.0
            due = int(np.searchsorted(wanted_s, time_s, side="left"))
            if last is not None and due > len(shown):
                picture = fit(_upright(last, rgb_of(last, most_pixels)))
                shown += [picture] * (due - len(shown))
            last = frame
            if due == frames:
                break
        if last is None:
            raise SynCamError("clip.empty", f"{path.name} has no frame in it.")
        if len(shown) < frames:
            picture = fit(_upright(last, rgb_of(last, most_pixels)))
            shown += [picture] * (frames - len(shown))
    return np.stack(shown)


def _opened(path: Path) -> Any:
    options = {"format_whitelist": ",".join(FORMATS.values()), "protocol_whitelist": "file"}
    try:
        return av.open(str(path), options=options, metadata_errors="replace")
    except av.ArgumentError as error:  # what a format that is not in the list is answered with
        raise SynCamError(
            "clip.format",
            f"{path.name} has none of the formats that are read: {', '.join(FORMATS)}.",
        ) from error


def _wanted_s(frames: int, fps: Fraction) -> np.ndarray:
    """When each picture of a clip is shown; a thousandth of a frame forgives the rounding of the
    time stamps that it is compared with."""
    return (np.arange(frames) + 1e-3) / float(fps)


def _check_decoded(path: Path, container: Any, stream: Any, last_s: float) -> None:
    """Raise "clip.size" where too many pixels would be decoded to come to `last_s`: seen from the
    packets, before one of them is decoded."""
    width, height = stream.codec_context.width, stream.codec_context.height
    count, first_s = 0, None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        if count * width * height > MOST_DECODED_PIXELS:
            raise _too_much(path, count, width, height)
        if packet.dts is not None:
            time_s = float(packet.dts * packet.time_base)
            first_s = time_s if first_s is None else first_s
            if time_s - first_s > last_s:
                return


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise SynCamError(
            "clip.size",
            f"{path.name} is {width}x{height}; 8192x8192 is the most.",
            value=[width, height],
            nearest=[8192, 8192],
        )


def _too_much(path: Path, pictures: int, width: int, height: int) -> SynCamError:
    most = MOST_DECODED_PIXELS // max(1, width * height)
    return SynCamError(
        "clip.size",
        f"{path.name} has {pictures} or more pictures of {width}x{height} in the time that is "
        f"shown; {most} of that size are the most.",
        value=pictures,
        nearest=most,
        fix="Make it smaller or slower",
    )


def _upright(frame: av.VideoFrame, picture_HW3: np.ndarray) -> np.ndarray:
    """A phone films as it was held, and says how to turn that."""
    return np.rot90(picture_HW3, round(frame.rotation / 90))


def _rate(stream: Any) -> Fraction:
    fps = Fraction(stream.average_rate or stream.guessed_rate or 0)
    return fps if fps > 0 else Fraction(15)


def _from_zero(times: list[float | None], fps: Fraction) -> tuple[float, ...]:
    start = times[0] or 0.0
    return tuple(float(k / fps) if time is None else time - start for k, time in enumerate(times))


def _metadata(text: str) -> dict[str, Any]:
    try:
        data = json_text.loads(text) if text else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
