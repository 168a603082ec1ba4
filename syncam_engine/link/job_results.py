# SPDX-License-Identifier: Apache-2.0
"""What an engine says of a job, held against what the host asked for.

A host builds on what passes here: cameras by name in its own order, one video each, sizes and
counts as asked, and no more bytes than such a clip can have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from . import limits, mp4
from .errors import SynCamError
from .messages import ClipResult, Done, GenerateRequest, Preview

_ONE = 1 + 1e-6
KINDS = ("video/mp4", "image/png")
_BESIDE_PICTURES_BYTES = 64 * limits.MIB
"""A clip's index and the recipe in its metadata, at the very most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a host asked for, as far as it knows; None: the engine chose."""

    cameras: tuple[str, ...]
    """In the rig's order."""
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    fps: tuple[int, int] | None = None
    outputs: tuple[str, ...] = ("mp4",)

    @classmethod
    def of_rig(cls, rig: dict[str, Any], **known: Any) -> Asked:
        """`rig` is a rig as plain data (`link.rig_json`)."""
        cameras = rig.get("cameras")
        named = [c for c in cameras if isinstance(c, dict)] if isinstance(cameras, list) else []
        return cls(cameras=tuple(str(camera.get("name", "")) for camera in named), **known)

    @classmethod
    def of_request(cls, request: GenerateRequest | dict[str, Any]) -> Asked:
        """`request` is a request, or one as plain data."""
        if isinstance(request, GenerateRequest):
            values = {name: getattr(request, name) for name in request.__struct_fields__}
        else:
            values = request
        known = {name: values.get(name) for name in ("width", "height", "frames")}
        return cls.of_rig(
            values["rig"],
            fps=tuple(values["fps"]) if values.get("fps") else None,
            outputs=tuple(values.get("outputs") or ("mp4",)),
            **known,
        )

    def is_preview(self, preview: Preview) -> bool:
        """Whether a preview is of one of these cameras, in its place."""
        index = preview.index
        return 0 <= index < len(self.cameras) and self.cameras[index] == preview.camera


def checked(done: Done, asked: Asked | None) -> Done:
    """Return the result with its clips in the rig's order, videos first.

    `asked` None, a job of which only the id is known, has the clips agree among themselves. Raises
    `SynCamError` "result.invalid" where anything is not what was asked for.
    """
    for clip in done.clips:
        _check_clip(clip, asked)
    videos = sorted(
        (clip for clip in done.clips if clip.kind == "video/mp4"), key=lambda clip: clip.index
    )
    pictures = sorted(
        (clip for clip in done.clips if clip.kind == "image/png"), key=lambda clip: clip.index
    )
    count = len(asked.cameras) if asked else len(videos)
    if [clip.index for clip in videos] != list(range(count)):
        raise _invalid(f"it has {len(videos)} clips, not one for each of {count} cameras")
    if pictures and [clip.index for clip in pictures] != list(range(count)):
        raise _invalid(f"it has {len(pictures)} picture sequences for {count} cameras")
    if len({clip.camera for clip in videos}) != count:
        raise _invalid("two of its clips are of the same camera")
    shapes = {(clip.width, clip.height, clip.frames, Fraction(*clip.fps)) for clip in done.clips}
    if len(shapes) > 1:
        raise _invalid("its clips differ in size, length or rate")
    return replace(done, clips=videos + pictures)


def check_file(path: Path, clip: ClipResult) -> None:
    """Raise `SynCamError` "fetch.not_video" for a file that is not the video that `clip` says."""
    if clip.kind != "video/mp4":
        return
    try:
        shape = mp4.video_shape(path)
    except mp4.NotVideo as error:
        raise _not_video(clip, str(error)) from error
    # 4:2:0 has no odd sizes: the last column or row is left out.
    sizes = {(clip.width, clip.height), (clip.width // 2 * 2, clip.height // 2 * 2)}
    if clip.width and (shape.width, shape.height) not in sizes:
        size = f"{shape.width}x{shape.height}, not {clip.width}x{clip.height}"
        raise _not_video(clip, f"its pictures are {size}")
    if clip.frames and shape.frames != clip.frames:
        raise _not_video(clip, f"it has {shape.frames} pictures, not {clip.frames}")


def most_bytes(clip: ClipResult) -> int:
    """The most bytes that a clip of this shape can have: twice its bare pixels, and the rest."""
    pixels = clip.width * clip.height * clip.frames
    return min(limits.MAX_CLIP_BYTES, 6 * pixels + _BESIDE_PICTURES_BYTES)


def _check_clip(clip: ClipResult, asked: Asked | None) -> None:
    if clip.kind not in KINDS:
        raise _invalid(f'a clip\'s kind is "{clip.kind}"')
    cameras = asked.cameras if asked else None
    most = len(cameras) if cameras is not None else limits.MAX_VIEWS
    if not 0 <= clip.index < most:
        raise _invalid(f"a clip is of camera {clip.index} of {most}")
    if cameras is not None and cameras[clip.index] != clip.camera:
        wanted = cameras[clip.index]
        raise _invalid(f'clip {clip.index} is of camera "{clip.camera}", not "{wanted}"')
    if not 0 < len(clip.camera) <= limits.MAX_NAME_CHARS:
        raise _invalid(f"a camera's name has {len(clip.camera)} characters")
    for what, value, highest, wanted in (
        ("width", clip.width, limits.MAX_SIDE_PX, asked and asked.width),
        ("height", clip.height, limits.MAX_SIDE_PX, asked and asked.height),
        ("number of pictures", clip.frames, limits.MAX_FRAMES, asked and asked.frames),
    ):
        if not 0 < value <= highest or wanted not in (None, value):
            raise _invalid(f"the {what} of a clip is {value}")
    if not all(0 < part <= 2**31 for part in clip.fps):
        raise _invalid(f"the rate of a clip is {clip.fps[0]}/{clip.fps[1]}")
    if asked and asked.fps and Fraction(*clip.fps) != Fraction(*asked.fps):
        raise _invalid(f"the rate of a clip is {Fraction(*clip.fps)}, not {Fraction(*asked.fps)}")
    u0, v0, u1, v1 = clip.plate_crop
    if not (0 <= u0 < u1 <= _ONE and 0 <= v0 < v1 <= _ONE):
        raise _invalid(f"the part of a clip for its plate is {clip.plate_crop}")
    if clip.kind == "image/png":
        if asked and "png" not in asked.outputs:
            raise _invalid("it has picture sequences that were not asked for")
        return
    if not re.fullmatch(limits.DIGEST_PATTERN, clip.digest):
        raise _invalid("a clip has no SHA-256")
    if not 0 < clip.bytes <= most_bytes(clip):
        raise _invalid(f"a clip has {clip.bytes} bytes, which is not 1 to {most_bytes(clip)}")


def _invalid(what: str) -> SynCamError:
    return SynCamError(
        "result.invalid",
        f"The engine's result is not what was asked for: {what}.",
        fix="Run the job again, or use another engine",
    )


def _not_video(clip: ClipResult, what: str) -> SynCamError:
    return SynCamError(
        "fetch.not_video",
        f'The clip of camera "{clip.camera}" is not the video that was asked for: {what}.',
        value=clip.camera,
        fix="Run the job again, or use another engine",
    )
