# SPDX-License-Identifier: Apache-2.0
"""Which cameras of a scene may stand together in a sample: the paper's progressive angles.

The relative angle of two views is the wrapped difference of their azimuths, 0 to 180 degrees, where
a camera's azimuth is that of its viewing direction (for cameras that look at one centre this is
the difference of their places around it, and it needs no centre).

Shape legend: C cameras.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from syncam_engine.data.scene import Scene
from syncam_engine.link import json_text
from syncam_engine.link.files import write_whole

AngleRule = Literal["anchor", "pairwise"]
ANGLES_FILE = "angles.json"


def azimuths_deg(scene: Scene) -> np.ndarray:
    """Azimuth of each camera's viewing direction at frame 0, degrees in [0, 360), shape (C,)."""
    forward_C3 = scene.c2w_cv_m_CT44[:, 0, :3, 2]
    return np.degrees(np.arctan2(forward_C3[:, 1], forward_C3[:, 0])) % 360.0


def relative_angles_deg(azimuth_deg_C: np.ndarray) -> np.ndarray:
    """Wrapped differences between all cameras, (C, C), 0 to 180: 359 and 1 are 2 apart."""
    difference = np.abs(azimuth_deg_C[:, None] - azimuth_deg_C[None, :]) % 360.0
    return np.minimum(difference, 360.0 - difference)


def eligible_sets(
    relative_deg_CC: np.ndarray,
    degrees: tuple[float, float],
    views: int,
    rule: AngleRule = "anchor",
    limit: int = 2000,
) -> list[tuple[int, ...]]:
    """Camera sets of `views` cameras, anchor first, whose angles lie in `degrees`.

    `anchor`: every other view lies in the range from the anchor. `pairwise`: every two views lie
    in the range; four views cannot all be 60 to 120 degrees apart, so the list may be empty.
    Above `limit` an even, seeded choice is kept.
    """
    low, high = degrees
    count = len(relative_deg_CC)
    within = (relative_deg_CC >= low - 1e-6) & (relative_deg_CC <= high + 1e-6)
    share = max(1, limit // max(1, count))
    found: list[tuple[int, ...]] = []
    for anchor in range(count):
        others = [c for c in range(count) if c != anchor and within[anchor, c]]
        if rule == "pairwise":
            rests = _cliques(others, views - 1, within)
            there = len(rests)
        else:  # any others do: millions of sets are counted, and only those kept are built
            rests, there = None, math.comb(len(others), views - 1)
        picks = range(there)
        if there > share:
            picks = sorted(np.random.default_rng(anchor).choice(there, share, replace=False))
        for pick in picks:
            rest = rests[pick] if rests else nth_set(others, views - 1, int(pick))
            found.append((anchor, *rest))
    return found


def nth_set(candidates: Sequence[int], size: int, rank: int) -> tuple[int, ...]:
    """Return set number `rank` of all sets of `size` candidates, in their order."""
    chosen: list[int] = []
    for i, candidate in enumerate(candidates):
        if len(chosen) == size:
            break
        beginning_here = math.comb(len(candidates) - i - 1, size - len(chosen) - 1)
        if rank < beginning_here:
            chosen.append(candidate)
        else:
            rank -= beginning_here
    return tuple(chosen)


def _cliques(candidates: list[int], size: int, within: np.ndarray) -> list[tuple[int, ...]]:
    """All sets of `size` candidates of which all pairs are true in `within`, in order."""
    if size == 0:
        return [()]
    found = []
    for i, first in enumerate(candidates):
        rest = [c for c in candidates[i + 1 :] if within[first, c]]
        found.extend((first, *tail) for tail in _cliques(rest, size - 1, within))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class AngleTable:
    """The eligible sets of every scene for one range, precomputed."""

    degrees: tuple[float, float]
    views: int
    rule: AngleRule
    sets: dict[str, list[tuple[int, ...]]]
    """Scene key -> camera sets; scenes that cannot meet the range are left out."""
    without: tuple[str, ...]
    """Keys of multi-view scenes that cannot meet the range."""

    def name(self) -> str:
        low, high = self.degrees
        return f"{self.rule}-{self.views}-{low:g}-{high:g}"


def angle_table(
    scenes: Sequence[Scene], degrees: tuple[float, float], views: int, rule: AngleRule = "anchor"
) -> AngleTable:
    """Precompute the eligible sets of every multi-view scene."""
    sets: dict[str, list[tuple[int, ...]]] = {}
    without: list[str] = []
    for scene in scenes:
        if scene.kind != "multiview":
            continue
        found = eligible_sets(relative_angles_deg(azimuths_deg(scene)), degrees, views, rule)
        if found:
            sets[scene.key] = found
        else:
            without.append(scene.key)
    return AngleTable(degrees=degrees, views=views, rule=rule, sets=sets, without=tuple(without))


def cached_angle_table(
    folder: Path,
    scenes: Sequence[Scene],
    degrees: tuple[float, float],
    views: int,
    rule: AngleRule = "anchor",
) -> AngleTable:
    """Like `angle_table`, kept in `angles.json` beside the data and reused while it fits: for the
    same scenes with the same cameras."""
    path = Path(folder) / ANGLES_FILE
    cameras = _cameras_digest(scenes)
    document = _read_document(path)
    name = AngleTable(degrees=degrees, views=views, rule=rule, sets={}, without=()).name()
    entry = document["tables"].get(name)
    if isinstance(entry, dict) and entry.get("cameras") == cameras:
        sets = {key: [tuple(s) for s in value] for key, value in entry["sets"].items()}
        return AngleTable(
            degrees=degrees, views=views, rule=rule, sets=sets, without=tuple(entry["without"])
        )
    table = angle_table(scenes, degrees, views, rule)
    document["tables"][name] = {
        "cameras": cameras,
        "sets": table.sets,
        "without": list(table.without),
    }
    if os.access(folder, os.W_OK):
        write_whole(path, json.dumps(document))
    return table


def _read_document(path: Path) -> dict:
    """What is kept so far; an empty document where that is nothing, or damaged."""
    try:
        document = json_text.loads(path.read_text("utf-8"))
        known = (document["format"], document["version"]) == ("syncam-angles", 2)
        if known and isinstance(document["tables"], dict):
            return document
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"format": "syncam-angles", "version": 2, "tables": {}}


def _cameras_digest(scenes: Sequence[Scene]) -> str:
    """SHA-256 of all that a table follows from: scenes, and where their cameras look."""
    total = hashlib.sha256()
    for scene in scenes:
        if scene.kind == "multiview":
            total.update(f"{scene.key}\n".encode())
            total.update(azimuths_deg(scene).astype(np.float64).tobytes())
    return total.hexdigest()
