# SPDX-License-Identifier: Apache-2.0
"""Whether a file is an MP4 with one video track of its own, before a host's decoder opens it.

A decoder goes by what a file looks like, not by its name: a playlist, for one, has it open other
files. The boxes are those of ISO/IEC 14496-12; nothing is decoded, and little is read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_TOP = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"udta", b"meta", b"uuid"}
_MOST_BOXES = 256
_MOST_INDEX_BYTES = 64 * 1024 * 1024
"""Of the `moov` box: tables of sizes and times, and the recipe, which has the rig in it."""
_CODECS = {b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp09", b"mp4v"}
_SELF_CONTAINED = 1


class NotVideo(ValueError):
    """The file is not such an MP4; the text says how it is seen."""


class VideoShape(NamedTuple):
    """What the file says of its video track."""

    width: int
    height: int
    frames: int


class _Box(NamedTuple):
    kind: bytes
    start: int
    """Of its content."""
    end: int


def video_shape(path: Path) -> VideoShape:
    """Return the shape of the video in an MP4. Raises `NotVideo`, and `OSError`."""
    with open(path, "rb") as file:
        boxes = _top_boxes(file)
        if not boxes or boxes[0].kind != b"ftyp":
            raise NotVideo("it does not begin as an MP4 does")
        moov = [box for box in boxes if box.kind == b"moov"]
        if len(moov) != 1 or not any(box.kind == b"mdat" for box in boxes):
            raise NotVideo("it lacks its index or its pictures")
        if moov[0].end - moov[0].start > _MOST_INDEX_BYTES:
            raise NotVideo("its index is too large")
        file.seek(moov[0].start)
        data = file.read(moov[0].end - moov[0].start)
    try:
        return _shape_of(data)
    except (struct.error, IndexError) as error:
        raise NotVideo("its index is cut off") from error


def _shape_of(moov: bytes) -> VideoShape:
    whole = _Box(b"moov", 0, len(moov))
    tracks = [box for box in _inside(moov, whole) if box.kind == b"trak"]
    if len(tracks) != 1:
        raise NotVideo(f"it has {len(tracks)} tracks, not one")
    media = _child(moov, tracks[0], b"mdia")
    handler = _child(moov, media, b"hdlr")
    if moov[handler.start + 8 : handler.start + 12] != b"vide":
        raise NotVideo("its track is not a video")
    info = _child(moov, media, b"minf")
    _check_references(moov, _child(moov, _child(moov, info, b"dinf"), b"dref"))
    table = _child(moov, info, b"stbl")
    entry = _child(moov, table, b"stsd").start + 8
    if moov[entry + 4 : entry + 8] not in _CODECS:
        raise NotVideo("its codec is not one of a clip")
    width, height = struct.unpack_from(">HH", moov, entry + 32)
    _, frames = struct.unpack_from(">II", moov, _child(moov, table, b"stsz").start + 4)
    return VideoShape(width, height, frames)


def _check_references(moov: bytes, references: _Box) -> None:
    """A track may say that its pictures lie in another file: a clip's never do."""
    (count,) = struct.unpack_from(">I", moov, references.start + 4)
    entries = list(_inside(moov, _Box(b"dref", references.start + 8, references.end)))
    flags = [struct.unpack_from(">I", moov, entry.start)[0] for entry in entries]
    if count != 1 or flags != [_SELF_CONTAINED]:
        raise NotVideo("its pictures lie in another file")


def _top_boxes(file: BinaryIO) -> list[_Box]:
    size = file.seek(0, os.SEEK_END)
    boxes: list[_Box] = []
    at = 0
    while at < size:
        file.seek(at)
        box = _box(file.read(16), 0, size - at)
        if box.kind not in _TOP or len(boxes) == _MOST_BOXES:
            raise NotVideo("it is not made of the parts of an MP4")
        boxes.append(_Box(box.kind, at + box.start, at + box.end))
        at += box.end
    return boxes


def _box(data: bytes, at: int, end: int) -> _Box:
    """The box at `at`, of which nothing may lie at or beyond `end`."""
    try:
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
    except struct.error as error:
        raise NotVideo("it is cut off") from error
    if length < head or at + length > end:
        raise NotVideo("it is cut off")
    return _Box(kind, at + head, at + length)


def _inside(data: bytes, parent: _Box) -> Iterator[_Box]:
    at = parent.start
    for _ in range(_MOST_BOXES):
        if at >= parent.end:
            return
        box = _box(data, at, parent.end)
        yield box
        at = box.end
    raise NotVideo("it has too many parts")


def _child(data: bytes, parent: _Box, kind: bytes) -> _Box:
    for box in _inside(data, parent):
        if box.kind == kind:
            return box
    raise NotVideo(f'it lacks its "{kind.decode("ascii")}"')
