# SPDX-License-Identifier: Apache-2.0
"""Clips whose camera stands still (paper, App. B): points tracked from frame 0, displacement small.

Points and trackers are those of `point_tracks.py`, on the clip at 8 frames a second. The paper's
rule asks that ALL points stay, which also turns away clips with a subject that walks across a
point; the quantile rule asks it of a share of them.

Shape legend: N points, T pictures, H, W rows and columns.
"""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from syncam_engine.data.pictures import CLIP_SUFFIXES, clip_facts, read_clip_frames
from syncam_engine.data.point_tracks import Points, Track, corner_points, track_klt
from syncam_engine.data.scene import BrokenFile
from syncam_engine.data.static_clips import FILTER_FILE
from syncam_engine.link.errors import SynCamError

Rule = Literal["all", "quantile"]
FPS = 8.0
LINES = 480
"""Displacements are in pixels of a picture of so many lines."""
FEWEST_POINTS = 8
BUILT_IN = f"8x8 grid of corners, Lucas-Kanade (opencv {cv2.__version__})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipMotion:
    """How far the tracked points of a clip went, in pixels at 480 lines."""

    clip: str
    passed: bool
    reason: str
    tracked: int
    """Points that survived the forward-backward check in every frame."""
    median_px: float | None
    largest_px: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterReport:
    clips: int
    passed: int
    broken: int
    page: Path


def displacements_px(
    clip_THW3: np.ndarray, points: Points = corner_points, track: Track = track_klt
) -> np.ndarray:
    """Largest distance of each tracked point from its place in frame 0, (N,), in the clip's pixels.

    Points that were lost are left out; a single picture shows no point's motion.
    """
    start_N2 = points(clip_THW3[0])
    if not len(start_N2) or len(clip_THW3) < 2:
        return np.zeros(0)
    tracks_TN2 = track(clip_THW3, start_N2)
    return np.linalg.norm(tracks_TN2 - tracks_TN2[:1], axis=2).max(axis=0)


def judge(
    name: str,
    moved_px: np.ndarray,
    *,
    rule: Rule = "all",
    threshold_px: float = 2.0,
    quantile: float = 0.5,
) -> ClipMotion:
    """Whether the points stayed; `moved_px` in pixels at 480 lines."""
    if len(moved_px) < FEWEST_POINTS:
        return ClipMotion(
            clip=name,
            passed=False,
            reason=f"only {len(moved_px)} points could be tracked",
            tracked=len(moved_px),
            median_px=None,
            largest_px=None,
        )
    value = float(moved_px.max() if rule == "all" else np.quantile(moved_px, quantile))
    passed = value < threshold_px
    what = "largest" if rule == "all" else f"{quantile:g} quantile of the"
    return ClipMotion(
        clip=name,
        passed=passed,
        reason=f"{what} displacement {value:.2f} px, threshold {threshold_px:g}",
        tracked=len(moved_px),
        median_px=float(np.median(moved_px)),
        largest_px=float(moved_px.max()),
    )


def filter_folder(
    folder: Path,
    *,
    rule: Rule = "all",
    threshold_px: float = 2.0,
    quantile: float = 0.5,
    points: Points = corner_points,
    track: Track = track_klt,
    way: str = BUILT_IN,
) -> FilterReport:
    """Judge every clip of a folder; write `static-filter.json` and a page with thumbnails.

    `way` says in the report which points and tracker these are.
    """
    results: list[ClipMotion] = []
    broken: dict[str, str] = {}
    thumbnails = folder / "static-filter"
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in CLIP_SUFFIXES)
    if not files:
        raise SynCamError(
            "data.missing",
            f"The folder {folder} has no clip in it ({', '.join(sorted(CLIP_SUFFIXES))}).",
            value=str(folder),
        )
    thumbnails.mkdir(exist_ok=True)
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            count, _, height, fps = clip_facts(path)
            step = max(1.0, (fps or FPS) / FPS)
            frames = sorted({int(k) for k in np.arange(0, count, step)})
            clip = read_clip_frames(path, frames)
        except BrokenFile as error:
            broken[name] = error.reason
            continue
        moved = displacements_px(clip, points, track) * LINES / height
        results.append(judge(name, moved, rule=rule, threshold_px=threshold_px, quantile=quantile))
        pair = np.concatenate([clip[0], clip[-1]], axis=1)
        small = cv2.resize(pair, (320, round(320 * pair.shape[0] / pair.shape[1])))
        cv2.imwrite(str(thumbnails / f"{name.replace('/', '_')}.jpg"), small[..., ::-1])
    document = {
        "format": "syncam-static-filter",
        "version": 1,
        "tracker": way,
        "rule": rule,
        "threshold_px": threshold_px,
        "quantile": quantile,
        "clips": [asdict(result) for result in results],
        "broken": broken,
    }
    (folder / FILTER_FILE).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    page = folder / "static-filter.html"
    page.write_text(_page(results, broken, way), "utf-8")
    return FilterReport(
        clips=len(results) + len(broken),
        passed=sum(result.passed for result in results),
        broken=len(broken),
        page=page,
    )


def _page(results: list[ClipMotion], broken: dict[str, str], way: str) -> str:
    rows = "".join(
        f"<tr><td><img src='static-filter/{html.escape(r.clip.replace('/', '_'))}.jpg'>"
        f"<td>{html.escape(r.clip)}<td>{'passes' if r.passed else 'left out'}"
        f"<td>{html.escape(r.reason)}"
        for r in sorted(results, key=lambda r: r.passed)
    )
    faults = "".join(
        f"<li>{html.escape(name)}: {html.escape(reason)}" for name, reason in broken.items()
    )
    return (
        "<!doctype html><meta charset=utf-8><title>Static cameras</title>"
        "<h1>Clips and their cameras' motion</h1><p>First and last frame of each clip. "
        f"Points: {html.escape(way)}.</p>"
        f"<table>{rows}</table><h2>Broken files: {len(broken)}</h2><ul>{faults}</ul>\n"
    )
