# SPDX-License-Identifier: GPL-3.0-or-later
"""Subjects and places from the user's library, in the same form as ours."""

import numpy as np

from render_rigs import assets, trajectories
from render_rigs.blender import library
from render_rigs.places import lighting
from render_rigs.scene import Actor, Place
from render_rigs.spec import RenderSpec
from render_rigs.subjects.catalogue import VERBS
from render_rigs.subjects.gait import Gait


class Library:
    """What a set draws from when ``--assets`` or ``--locations`` is given.

    A bad file is told to ``say`` once, by name, and not drawn again.
    """

    def __init__(self, spec: RenderSpec, say=lambda sentence: None) -> None:
        self.spec, self.say = spec, say
        self.subjects = self._read(spec.assets, "assets.json")
        self.places = self._read(spec.locations, "locations.json")

    def _read(self, folder: str, name: str) -> list[assets.Entry]:
        if not folder:
            return []
        good, bad = assets.read_manifest(folder, name)
        for sentence in bad:
            self.say(sentence)
        if not good:
            raise assets.AssetError(f"{folder}/{name} has no usable entry")
        return good

    def draw_place(self, rng: np.random.Generator) -> Place:
        """A place of the user's; raises AssetError when none is left."""
        while self.places:
            entry = self.places[rng.integers(len(self.places))]
            try:
                mesh = library.location_mesh(entry)
            except assets.AssetError as error:
                self.say(str(error))
                self.places.remove(entry)
                continue
            light = lighting.indoor(rng) if entry.indoor else lighting.outdoor(rng)
            return Place(
                "own",
                entry.words,
                entry.preposition,
                mesh,
                light,
                free_m=entry.free_m,
                indoor=entry.indoor,
                native=entry,
            )
        raise assets.AssetError("no usable location is left")

    def draw_subject(
        self, rng: np.random.Generator, name: str, frames: int, fps: int, *, size_m: float, offset_m
    ) -> Actor:
        """A subject of the user's on a trajectory; raises AssetError when none is left."""
        while self.subjects:
            entry = self.subjects[rng.integers(len(self.subjects))]
            action = (
                sorted(entry.actions)[rng.integers(len(entry.actions))]
                if entry.actions
                else ("stand")
            )
            try:
                points = library.measure(entry, action, frames, fps)
            except assets.AssetError as error:
                self.say(str(error))
                self.subjects.remove(entry)
                continue
            return _place_on_path(rng, entry, action, points, name, frames, fps, size_m, offset_m)
        raise assets.AssetError("no usable asset is left")


def _place_on_path(rng, entry, action, points, name, frames, fps, size_m, offset_m) -> Actor:
    time_s = np.arange(-1, frames + 1) / fps
    duration = frames / fps
    moving = action in ("walk", "run", "trot", "stroll", "gallop", "fly")
    if moving:
        gait = Gait(action, entry.speed_mps, 1.0, 0.6, 0.0)
        far = entry.speed_mps * duration > size_m * 1.6
        kind = (("circle", "eight") if far else ("line", "arc"))[rng.integers(2)]
        path = trajectories.travel(rng, kind, gait, duration, 0.8 * size_m)
    else:
        kind, path = "in place", trajectories.stand(rng, duration)
    xy, heading, _ = path.at(time_s)
    xy = xy + np.asarray(offset_m)
    lift = -float(points[..., 2].min())
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = points[..., 0], points[..., 1]
    placed = np.stack(
        [c * x - s * y + xy[:, :1], s * x + c * y + xy[:, 1:], points[..., 2] + lift], -1
    )
    root = np.concatenate([xy, np.full((len(xy), 1), lift)], 1)
    return Actor(
        name,
        "own",
        action,
        None,
        placed.astype(np.float32),
        root[1:-1],
        heading[1:-1],
        float(np.ptp(points[..., 2])),
        float(np.hypot(x, y).max()),
        entry.words,
        kind,
        {
            "kind": "own",
            "details": entry.file,
            "verb": VERBS.get(action, "moves"),
            "path_m": xy,
            "path_heading_rad": heading,
            "lift_m": lift,
        },
        entry,
    )
