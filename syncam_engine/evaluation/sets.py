# SPDX-License-Identifier: Apache-2.0
"""`syncam evaluate sets`: FID, FVD and FVD-V of many jobs against a reference set.

A set is a folder whose subfolders each hold one job's clips (one .mp4 a view, alike in length). The
paper states neither its reference set nor which frames it takes: both stand in the provenance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syncam_engine.data.pictures import clip_facts, read_clip_frames
from syncam_engine.data.scene import BrokenFile
from syncam_engine.evaluation import features, networks
from syncam_engine.evaluation.frechet import frechet_distance
from syncam_engine.evaluation.learned import LearnedScore
from syncam_engine.link.errors import SynCamError

FEWEST_VIDEO_FRAMES = 10
"""I3D halves time too often for fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """The clips of one job, read when asked."""

    files: tuple[Path, ...]

    def clips_VTHW3(self) -> np.ndarray:
        try:
            count = min(clip_facts(path)[0] for path in self.files)
            return np.stack([read_clip_frames(path, range(count)) for path in self.files])
        except (BrokenFile, ValueError) as error:
            raise SynCamError(
                "clip.broken", f"The clips in {self.files[0].parent} cannot be scored: {error}."
            ) from error


def jobs_of(folder: Path) -> list[_Job]:
    """The jobs of a set. Raises `SynCamError` when there are fewer than two."""
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*.mp4")):
        by_folder.setdefault(path.parent, []).append(path)
    jobs = [_Job(files=tuple(files)) for files in by_folder.values()]
    if len(jobs) < 2:
        raise SynCamError(
            "clip.missing",
            f"The set {folder} has {len(jobs)} folders of clips; a Frechet distance needs two.",
            value=str(folder),
        )
    return jobs


def score_sets(
    made: Path, truth: Path, weights: Mapping[str, str], *, every: int = 4
) -> list[LearnedScore]:
    """FID (with `inception`), FVD and FVD-V (with `i3d`); pictures are every `every`-th frame."""
    if not weights:
        raise SynCamError(
            "option.weights",
            "FID, FVD and FVD-V need networks: give --weights inception=PLACE or i3d=PLACE.",
        )
    sets = [jobs_of(folder) for folder in (made, truth)]
    about = {
        "reference": str(truth),
        "jobs": [len(jobs) for jobs in sets],
        "clips": [sum(len(job.files) for job in jobs) for jobs in sets],
    }
    found = []
    if "inception" in weights:
        network = networks.from_script("inception", weights["inception"])
        vectors = [
            np.concatenate(
                [
                    features.picture_features(network, clip[::every])
                    for job in jobs
                    for clip in job.clips_VTHW3()
                ]
            )
            for jobs in sets
        ]
        known = networks.provenance("inception", weights["inception"], network, **about)
        found.append(_distance("FID", vectors, {**known, "every_frame": every}))
    if "i3d" in weights:
        found += _video_scores(sets, weights["i3d"], about, every)
    return found


def _video_scores(
    sets: list[list[_Job]], place: str, about: dict[str, Any], every: int
) -> list[LearnedScore]:
    network = networks.from_script("i3d", place)
    known = networks.provenance("i3d", place, network, **about)
    over_time, over_views = [], []
    for jobs in sets:
        time_videos, view_videos = [], []
        for job in jobs:
            clips = job.clips_VTHW3()
            if clips.shape[1] < FEWEST_VIDEO_FRAMES:
                raise SynCamError(
                    "clip.short",
                    f"The clips in {job.files[0].parent} have {clips.shape[1]} frames; FVD needs "
                    f"{FEWEST_VIDEO_FRAMES}.",
                )
            time_videos.append(features.video_features(network, clips))
            moments = range(0, clips.shape[1], every)
            view_videos.append(
                features.video_features(
                    network, [features.view_sequence(clips, moment) for moment in moments]
                )
            )
        over_time.append(np.concatenate(time_videos))
        over_views.append(np.concatenate(view_videos))
    rule = {
        "moments": f"every {every} frames",
        "views_as_video": f"each view held, {features.VIEW_FRAMES} frames at least",
    }
    return [_distance("FVD", over_time, known), _distance("FVD-V", over_views, {**known, **rule})]


def _distance(name: str, vectors: list[np.ndarray], known: dict[str, Any]) -> LearnedScore:
    return LearnedScore(
        name=name,
        value=frechet_distance(*vectors),
        beside="against the reference set",
        provenance={**known, "vectors": [len(v) for v in vectors]},
    )
