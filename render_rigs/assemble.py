# SPDX-License-Identifier: GPL-3.0-or-later
"""One whole scene from (seed, number): place, light, subjects, cameras, caption. No Blender."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from render_rigs import cameras as camera_draw
from render_rigs.captions import caption
from render_rigs.places import PLACES, build_place
from render_rigs.scene import Actor, Obstacle, Place
from render_rigs.seeds import plain_stream, stream
from render_rigs.spec import RenderSpec
from render_rigs.subjects.catalogue import animate, draw_figure
from syncam_engine.link.camera import Camera

ATTEMPTS = 12


@dataclass(slots=True)
class Scene:
    seed: int
    number: int
    place: Place
    actors: list[Actor]
    cameras: list[Camera]
    center_m: np.ndarray
    caption: str
    rejected: Counter
    attempt: int


def assemble(spec: RenderSpec, number: int, make_cast, own=None) -> Scene:
    """Make scene ``number`` of a set.

    ``make_cast(mesh)`` returns a ray caster for a place. A place where no cameras fit is drawn
    again (its rejections are kept in the count). ``own`` is an ``own.Library`` when the user
    brought subjects or places. Raises NoRoomForCameras after ``ATTEMPTS``.
    """
    rejected: Counter = Counter()
    error: Exception | None = None
    for attempt in range(ATTEMPTS):
        tag = f"{attempt}"
        rng = stream(spec.seed, number, "place" + tag)
        kinds = [k for k in PLACES if not spec.places or k in spec.places]
        if own and own.places:
            place = own.draw_place(rng)
        else:
            place = build_place(kinds[rng.integers(len(kinds))], rng, spec.fast)
        cast = make_cast(place.mesh)
        clear_sun(place, cast, stream(spec.seed, number, "sun" + tag))
        actors = draw_actors(spec, number, place, tag, own)
        center = np.concatenate(
            [
                np.mean([a.root_m[:, :2].mean(0) for a in actors], axis=0),
                [np.mean([0.5 * min(a.height_m, 1.9) for a in actors]) + 0.12],
            ]
        )
        try:
            drawn = camera_draw.draw_cameras(
                plain_stream(spec.seed, number, "cameras" + tag),
                spec.cameras,
                center_m=center,
                actors=actors,
                cast=cast,
                width_px=spec.width_px,
                height_px=spec.height_px,
                radius_m=spec.radius_m,
                elevation_deg=spec.elevation_deg,
                focal_mm=spec.focal_mm,
                sensor_mm=spec.sensor_mm,
                tall=0.36 if spec.fast else 0.14,
                motion=spec.camera_motion,
                frames=spec.frames,
                fps=spec.fps,
            )
        except camera_draw.NoRoomForCameras as caught:
            error = caught
            rejected["place drawn again"] += 1
            continue
        rejected.update(drawn.rejected)
        return Scene(
            spec.seed,
            number,
            place,
            actors,
            drawn.cameras,
            center,
            caption(place, actors),
            rejected,
            attempt,
        )
    raise camera_draw.NoRoomForCameras(f"scene {number}: {error}")


def clear_sun(place: Place, cast, rng: np.random.Generator) -> None:
    """Turn the sun to where it reaches the middle, so that most scenes have real shadows."""
    light = place.light
    if light.sun_strength <= 0:
        return
    e = np.radians(light.sun_elevation_deg)
    for azimuth in light.sun_azimuth_deg + rng.permutation(12) * 30.0:
        a = np.radians(azimuth)
        way = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        if cast(np.array([0.0, 0.0, 1.0]), way, 80.0) is None:
            light.sun_azimuth_deg = float(azimuth % 360)
            return


def draw_actors(spec: RenderSpec, number: int, place: Place, tag: str, own=None) -> list[Actor]:
    """One or two subjects that keep clear of each other and of the place's obstacles."""
    rng = stream(spec.seed, number, "actors" + tag)
    low, high = spec.subjects
    count = int(rng.integers(low, high + 1))
    size = min(place.free_m, 2.4)
    actors: list[Actor] = []
    for slot in range(count):
        for retry in range(20):
            mine = stream(spec.seed, number, f"actor{slot}.{retry}.{tag}")
            offset = (0.0, 0.0) if count == 1 else tuple(mine.uniform(-1.6, 1.6, 2))
            name = f"subject{slot + 1}"
            if own and own.subjects:
                actor = own.draw_subject(
                    mine, name, spec.frames, spec.fps, size_m=size, offset_m=offset
                )
            else:
                figure = draw_figure(mine, fast=spec.fast, indoor=place.indoor)
                actor = animate(
                    mine,
                    figure,
                    name,
                    spec.frames,
                    spec.fps,
                    size_m=size,
                    offset_m=offset,
                    seats=place.seats,
                )
            if not collides(actor, actors, place):
                actors.append(actor)
                break
    return actors


def reach_m(actor: Actor) -> np.ndarray:
    """[T] how far from its root on the ground any part of the subject is, at each frame."""
    flat = actor.vertices_m[1:-1, :, :2] - actor.root_m[:, None, :2]
    return np.sqrt((flat**2).sum(-1).max(1))


def collides(actor: Actor, others: list[Actor], place: Place) -> bool:
    """Whether a subject ever touches another, an obstacle, or the edge of the free ground."""
    xy = actor.root_m[:, :2]
    if (np.linalg.norm(xy, axis=1) + actor.radius_m > place.free_m + 0.5).any():
        return True
    blocks = [Obstacle(x, y, 0.45) for x, y, _, _ in place.seats] if actor.action != "sit" else []
    for ob in [*place.obstacles, *blocks]:
        if (np.hypot(xy[:, 0] - ob.x_m, xy[:, 1] - ob.y_m) < ob.radius_m + actor.radius_m).any():
            return True
    for other in others:
        gap = np.linalg.norm(xy - other.root_m[:, :2], axis=1)
        if (gap < reach_m(actor) + reach_m(other) + 0.05).any():
            return True
    return False
