# SPDX-License-Identifier: Apache-2.0
"""Input clips that are little to send and much to decode, or no clips at all."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request
from syncam_engine.link.messages import Done

from .findings import Finding

SIDE = 4000
"""Pixels; the picture that is no clip has 8192."""
MOST_MORE_MB = 700
"""A picture of 8192x8192 as it is decoded, and as its own sampler makes it smaller."""


def soak_media(pictures: int, pipeline: str, side: int = SIDE) -> Finding:
    """Send each bomb as the reference of a job, then an honest clip again."""
    finding = Finding(
        "media",
        f"clips of 600 pictures of {SIDE}x{SIDE} a microsecond apart, a picture of 8192x8192, "
        f"text: each ends in clips or in why not, the worker at most {MOST_MORE_MB} MiB larger",
        f"{pictures} pictures of {side}x{side}",
    )
    engine = LocalEngine(pipeline=pipeline)
    try:
        engine.start()
        client = engine.client()
        honest = engine.folder / "honest.mp4"
        write_bomb(honest, side=256, pictures=20, step_s=Fraction(1, 15))
        _judge(finding, client, honest, {"done"})
        before_mb = peak_mb(engine.worker_pid())
        for path, ends in _bombs(engine.folder, pictures, side):
            _judge(finding, client, path, ends)
        _judge(finding, client, honest, {"done"})
        after_mb = peak_mb(engine.worker_pid())
        finding.figures["most memory of the worker (MiB)"] = after_mb
        finding.figures["with an honest clip (MiB)"] = before_mb
        if engine.status(client).workers[0].restarts:
            finding.fault("the worker ended over a clip")
        elif after_mb - before_mb > MOST_MORE_MB:
            finding.fault(f"the worker grew from {before_mb:.0f} to {after_mb:.0f} MiB")
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        engine.close()
    return finding


def write_bomb(path: Path, *, side: int, pictures: int, step_s: Fraction) -> None:
    """An MP4 that says one plain picture again and again, `step_s` apart."""
    stream: Any
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = side
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "ultrafast", "tune": "zerolatency"}
        stream.time_base = step_s
        grey = np.full((side * 3 // 2, side), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts, frame.time_base = 0, step_s
        (said,) = [bytes(packet) for packet in [*stream.encode(frame), *stream.encode(None)]]
        for k in range(pictures):
            packet = av.Packet(said)
            packet.stream, packet.time_base = stream, step_s
            packet.pts = packet.dts = k
            packet.is_keyframe = True
            container.mux(packet)


def peak_mb(pid: int) -> float:
    """The most memory that a process ever held; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) / 1024


def _bombs(folder: Path, pictures: int, side: int) -> list[tuple[Path, set[str]]]:
    """Files, and how a job with each may end: "done", or the error's code."""
    from PIL import Image

    most, some = folder / "most.mp4", folder / "some.mp4"
    write_bomb(most, side=side, pictures=pictures, step_s=Fraction(1, 1_000_000))
    write_bomb(some, side=side, pictures=max(2, pictures // 15), step_s=Fraction(1, 1_000_000))
    large = folder / "large.png"
    Image.new("RGB", (2 * side + 192, 2 * side + 192), (90, 120, 40)).save(large)
    texts = {
        "list": "ffconcat version 1.0\nfile some.mp4\n",
        "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsome.mp4\n#EXT-X-ENDLIST\n",
        "drawing": '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [
        (most, {"done", "clip.size"}),
        (some, {"done"}),
        (large, {"done"}),
        *((folder / name, {"clip.format", "clip.unreadable"}) for name in texts),
    ]


def _judge(finding: Finding, client: Any, path: Path, ends: set[str]) -> None:
    request = sample_request(1, mode="reference", seed=len(finding.figures))
    client.submit(request, [path])
    end = follow(client, [request.job_id], 600)[0][request.job_id]
    said = "done" if isinstance(end, Done) else end.error.code
    if path.stem != "honest":
        size = path.stat().st_size
        finding.figures[f"{path.name}, {size // 1000} kB"] = said
    if said not in ends:
        why = "" if isinstance(end, Done) else f": {end.error.sentence}"
        finding.fault(f"{path.name} ended with {said}{why}")
