# SPDX-License-Identifier: Apache-2.0
"""The lies of a stand-in engine (`soak.evil_engine`), each with what a host may make of it.

A request's prompt names the lie. Bodies are plain data, so that they can be of any shape.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Body = dict[str, Any]
Telling = tuple[str, Any, list[bytes]]
"""A message's type, its body, its buffers."""
Chunks = list[tuple[Body, bytes]]

SECRET = b"a private file of whoever believes the engine"
LONG = "\x1b[2J\x07" + "x" * 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """`end`: a job that ends without clips, one whose clips cannot be had, or one that is whole."""

    end: Literal["failed", "not fetched", "whole"]
    done: Callable[[Body], Any] = lambda done: done
    """Change the body of an honest `done`; a list is several to say, one after the other."""
    file: Callable[[bytes], bytes] = lambda data: data
    """Change an honest clip; its size and digest are then told as they are."""
    chunks: Callable[[Chunks], Chunks] = lambda chunks: chunks
    """Change what answers a `fetch`."""
    before: Callable[[Body], list[Telling]] = lambda request: []
    """Say more before the end."""
    parts: int = 0
    """Of a message of 2 MiB each, said before the end."""


def _each(change: Callable[[Body], Any]) -> Callable[[Body], Body]:
    def changed(done: Body) -> Body:
        for clip in done["clips"]:
            change(clip)
        return done

    return changed


def _first(**values: Any) -> Callable[[Body], Body]:
    return lambda done: {**done, "clips": [{**done["clips"][0], **values}, *done["clips"][1:]]}


def _all(**values: Any) -> Callable[[Body], Body]:
    return _each(lambda clip: clip.update(values))


def _with(**values: Any) -> Callable[[Body], Body]:
    return lambda done: {**done, **values}


def _deep(levels: int = 300) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _odd_previews(request: Body) -> list[Telling]:
    names = [camera["name"] for camera in request["rig"]["cameras"]]
    job = {"job_id": request["job_id"], "step": 1}
    said = [
        {**job, "camera": f"made up {k}", "index": k % 3, "width": 16, "height": 9}
        for k in range(300)
    ]
    said += [
        {**job, "camera": names[0], "index": index, "width": width, "height": height}
        for index, width, height in (
            (1, 16, 9), (-1, 16, 9), (2**40, 16, 9), (0, -16, -9), (0, 0, 0), (0, 0, 2**40),
            (0, 699_050, 1), (0, 1, 699_050), (0, 2**31, 2**31),
        )
    ]  # fmt: skip
    return [
        ("preview", body, [bytes(max(0, min(2**21, 3 * body["width"] * body["height"])))])
        for body in said
    ]


def _odd_progress(request: Body) -> list[Telling]:
    job = {"job_id": request["job_id"]}
    notices = [{"code": LONG, "sentence": f"{LONG} {k}", "value": math.nan} for k in range(90)]
    numbers = (math.nan, math.inf, -math.inf, 1e300, -5.0)
    said: list[Telling] = [
        ("progress", {**job, "step": step, "steps": steps, "eta_s": eta}, [])
        for step, steps in ((1, 0), (-3, -4), (2**50, 1), (2**62, 2**62), (3, 2))
        for eta in numbers
    ]
    said += [("queued", {**job, "position": p, "eta_s": e, "warnings": notices}, [])
             for p, e in zip((-1, 2**60, 0, 1, 2), numbers, strict=True)]  # fmt: skip
    said += [("phase", {**job, "phase": LONG, "attempt": a}, []) for a in (-1, 2**60, 1)]
    return [*said, ("nonsense", job, [])]


def _to_another_job(done: Body) -> list[Body]:
    """The end of a job that was never sent, then of this one."""
    return [{**done, "job_id": "f" * 32}, done]


def _overlapping(chunks: Chunks) -> Chunks:
    chunk, data = chunks[0]
    if chunk["offset"]:
        return chunks
    early = [({**chunk, "offset": k}, data) for k in range(1, min(200, len(data)))]
    return [*early, *chunks]


def _playlist(_: bytes) -> bytes:
    return b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


def _elsewhere(data: bytes) -> bytes:
    """An MP4 whose pictures are said to lie in another file."""
    return data.replace(b"url \0\0\0\1", b"url \0\0\0\0")


LIES: dict[str, Lie] = {
    "nothing": Lie(end="whole"),
    # What `done` says.
    "a path": Lie(end="whole", done=_all(path="SECRET", name="../../SECRET", local=True)),
    "a file of mine": Lie(
        end="not fetched",
        done=_all(path="SECRET", digest=hashlib.sha256(SECRET).hexdigest(), bytes=len(SECRET)),
    ),
    "another camera": Lie(end="failed", done=_first(camera="nobody")),
    "a camera twice": Lie(end="failed", done=lambda d: {**d, "clips": [d["clips"][0]] * 2}),
    "a clip too few": Lie(end="failed", done=lambda d: {**d, "clips": d["clips"][:1]}),
    "no clips": Lie(end="failed", done=_with(clips=[])),
    "thousands of clips": Lie(end="failed", done=lambda d: {**d, "clips": d["clips"] * 2000}),
    "an index of minus one": Lie(end="failed", done=_first(index=-1)),
    "a large index": Lie(end="failed", done=_first(index=2**40)),
    "no size": Lie(end="failed", done=_all(width=0, height=0)),
    "a negative size": Lie(end="failed", done=_all(width=-160, height=-96)),
    "a huge size": Lie(end="failed", done=_all(width=2**31, height=2**31)),
    "another size": Lie(end="failed", done=_all(width=176)),
    "many pictures": Lie(end="failed", done=_all(frames=2**40)),
    "a rate of zero": Lie(end="failed", done=_all(fps=(0, 0))),
    "a negative rate": Lie(end="failed", done=_all(fps=(-8, 1))),
    "negative bytes": Lie(end="failed", done=_first(bytes=-5)),
    "an exabyte": Lie(end="failed", done=_first(bytes=2**60)),
    "a digest that is a path": Lie(end="failed", done=_first(digest="../../../etc/passwd")),
    "a kind of its own": Lie(end="failed", done=_first(kind="text/x-python")),
    "pictures unasked": Lie(end="failed", done=_first(kind="image/png")),
    "a plate of nothing": Lie(end="failed", done=_first(plate_crop=(math.nan, 2.0, -1.0, 0.0))),
    "a body of another type": Lie(end="failed", done=lambda d: [d["clips"]]),
    "a clip of text": Lie(end="failed", done=_with(clips="all of them")),
    "nesting": Lie(end="failed", done=_with(placement={"a": _deep()})),
    "a type of its own": Lie(
        end="whole", done=_with(sampling={"x": msgspec.msgpack.Ext(5, b"\0" * 9)})
    ),
    "numbers that are none": Lie(
        end="whole", done=_with(seconds={LONG: math.nan, "total": math.inf}, model=LONG)
    ),
    "another job's end": Lie(end="whole", done=_to_another_job),
    # What it says on the way.
    "odd previews": Lie(end="whole", before=_odd_previews),
    "odd progress": Lie(end="whole", before=_odd_progress),
    "a message of 1200 parts": Lie(end="whole", parts=1200),
    # What it sends as a clip.
    "a playlist": Lie(end="not fetched", file=_playlist),
    "a vector picture": Lie(end="not fetched", file=lambda _: b"<svg xmlns='a'/>" * 9),
    "random bytes": Lie(end="not fetched", file=lambda data: bytes(len(data))),
    "half a clip": Lie(end="not fetched", file=lambda data: data[: len(data) // 2]),
    "sound": Lie(end="not fetched", file=lambda data: data.replace(b"vide", b"soun")),
    "pictures elsewhere": Lie(end="not fetched", file=_elsewhere),
    "other bytes": Lie(end="not fetched", chunks=lambda cs: [(c, bytes(len(d))) for c, d in cs]),
    "more than asked": Lie(end="not fetched", chunks=lambda cs: [(c, d * 3) for c, d in cs]),
    "early chunks": Lie(end="not fetched", chunks=_overlapping),
    "negative offsets": Lie(
        end="not fetched", chunks=lambda cs: [({**c, "offset": -4}, d) for c, d in cs]
    ),
    "empty chunks": Lie(end="not fetched", chunks=lambda cs: [(c, b"") for c, _ in cs]),
    "another clip's chunks": Lie(
        end="not fetched", chunks=lambda cs: [({**c, "digest": "e" * 64}, d) for c, d in cs]
    ),
}
