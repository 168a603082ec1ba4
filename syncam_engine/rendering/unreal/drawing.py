# SPDX-License-Identifier: Apache-2.0
"""One scene drawn from (seed, number): place, subjects with trajectories, cameras, caption.

Positions are metres in the project's world (right-handed, Z up) about the location's centre; the
editor adds the centre in its own units. The same seed and number give the same plan.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncam_engine.link.camera import intrinsics_from_lens
from syncam_engine.link.hemisphere import ELEVATION_DEG, sample_hemisphere_cameras
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict

from .library import Animation, Library, Location, Subject

FORMAT, VERSION = "syncam-unreal-scene", 1
SEPARATION_M = 1.2
ATTEMPTS = 200

At = Callable[[float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Path2:
    """Seconds to x, y in metres and heading in degrees (0 along +X, 90 along +Y)."""

    kind: str
    at: At

    def __call__(self, time_s: float) -> tuple[float, float, float]:
        return self.at(time_s)


def draw_scene(
    library: Library,
    *,
    seed: int,
    number: int,
    cameras: int = 36,
    frames: int = 100,
    fps: int = 15,
    width: int = 672,
    height: int = 384,
    focal_mm: tuple[float, float] = (24.0, 24.0),
    sensor_mm: float = 23.76,
    elevation_deg: tuple[float, float] = ELEVATION_DEG,
    radius_m: tuple[float, float] | None = None,
    subjects: tuple[int, int] = (1, 2),
) -> dict[str, Any]:
    """Return the plan of scene `number` as plain data (docs/unreal.md describes it).

    The sensor is as wide as `sensor_mm` and as high as the picture's aspect says, so that filmback
    and output agree and no engine rule about unequal aspects comes in.
    """
    rng = {
        name: random.Random(f"{seed}:{number}:{name}") for name in ("place", "subjects", "cameras")
    }
    location = rng["place"].choice(library.locations)
    duration_s = frames / fps
    cast = draw_subjects(rng["subjects"], library, location, duration_s, subjects)
    lens_mm = rng["cameras"].uniform(*focal_mm)
    placed = sample_hemisphere_cameras(
        rng["cameras"],
        cameras,
        center_m=(0.0, 0.0, 0.0),
        K=intrinsics_from_lens(lens_mm, sensor_mm, width, height),
        width_px=width,
        height_px=height,
        radius_m=_room(radius_m or location.radius_m, location),
        elevation_deg=elevation_deg,
    )
    rig = Rig(cameras=tuple(placed), fps=fps, source=location.map)
    times = [frame / fps for frame in range(frames)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "scene": f"scene{number + 1}",
        "number": number,
        "seed": seed,
        "map": location.map,
        "center_uu": list(location.center_uu),
        "ground_uu": location.ground_uu,
        "fps": fps,
        "frames": frames,
        "width": width,
        "height": height,
        "lens": {
            "focal_mm": lens_mm,
            "sensor_width_mm": sensor_mm,
            "sensor_height_mm": sensor_mm * height / width,
        },
        "rig": json.loads(json.dumps(rig_to_dict(rig))),
        "subjects": [
            {
                "name": f"subject{index + 1}",
                "mesh": subject.mesh,
                "animation": animation.path,
                "scale": subject.scale,
                "yaw_offset_deg": subject.yaw_offset_deg,
                "caption": subject.caption,
                "action": animation.caption,
                "trajectory": path.kind,
                "keys": keys_of(path, times),
            }
            for index, (subject, animation, path) in enumerate(cast)
        ],
        "caption": caption(location, cast),
        "place": location.caption,
        "package": f"/Game/SynCam/Rigs/scene{number + 1}",
    }


def keys_of(path: Path2, times_s: list[float]) -> list[list[float]]:
    """Return [frame, x, y, heading] for each time; headings run on past 360 degrees, so that what
    lies between two keys is between them."""
    keys: list[list[float]] = []
    for frame, time_s in enumerate(times_s):
        x, y, heading = path(time_s)
        if keys:
            heading += 360.0 * round((keys[-1][3] - heading) / 360.0)
        keys.append([frame, x, y, heading])
    return keys


def _room(radius_m: tuple[float, float], location: Location) -> tuple[float, float]:
    """Return the asked distances as far as the place has room for them."""
    low, high = location.radius_m
    return min(max(radius_m[0], low), high), max(low, min(radius_m[1], high))


def caption(location: Location, cast: list[tuple[Subject, Animation, Path2]]) -> str:
    """Return one sentence of who does what where."""
    who = " and ".join(f"{subject.caption} {animation.caption}" for subject, animation, _ in cast)
    text = f"{who} in {location.caption}."
    return text[0].upper() + text[1:]


def draw_subjects(
    rng: random.Random,
    library: Library,
    location: Location,
    duration_s: float,
    least_most: tuple[int, int],
) -> list[tuple[Subject, Animation, Path2]]:
    """Return subjects, as many as `least_most` says, that keep SEPARATION_M apart."""
    count = rng.randint(*least_most)
    cast: list[tuple[Subject, Animation, Path2]] = []
    for _ in range(ATTEMPTS):
        if len(cast) == count:
            break
        subject = rng.choice(library.subjects)
        animation = rng.choice(subject.animations)
        path = draw_path(rng, animation.speed_m_s, duration_s, location.walk_radius_m)
        if all(_keep_apart(path, other, duration_s) for _, _, other in cast):
            cast.append((subject, animation, path))
    return cast


def _keep_apart(a: Path2, b: Path2, duration_s: float) -> bool:
    steps = max(2, int(duration_s * 5))
    return all(
        math.dist(a(duration_s * k / steps)[:2], b(duration_s * k / steps)[:2]) >= SEPARATION_M
        for k in range(steps + 1)
    )


def draw_path(rng: random.Random, speed_m_s: float, duration_s: float, room_m: float) -> Path2:
    """Return a path inside a disc of `room_m`: standing, a line, an arc, a circle or an eight."""
    turn = rng.uniform(0.0, 360.0)
    distance = speed_m_s * duration_s
    if distance < 0.05:
        x, y = _in_disc(rng, room_m * 0.7)
        return Path2("in place", lambda t: (x, y, turn))
    kinds = ["circle", "eight"] + (["line", "arc"] if distance <= 2.0 * room_m * 0.9 else [])
    kind = rng.choice(kinds)
    if kind == "line":
        offset = math.sqrt(max(0.0, room_m**2 - (distance / 2.0) ** 2)) * rng.uniform(-0.9, 0.9)
        straight = lambda t: (speed_m_s * t - distance / 2.0, offset, 0.0)  # noqa: E731
        return Path2(kind, _turned(straight, turn))
    if kind == "eight":
        return Path2(kind, _turned(_eight(speed_m_s, room_m * rng.uniform(0.6, 0.95)), turn))
    # An arc is a part of a circle that is not gone round.
    radius = room_m * rng.uniform(0.35, 0.95)
    if kind == "arc":
        radius = max(radius, distance / 3.0) if distance / 3.0 <= room_m else radius
    way = rng.choice((-1.0, 1.0))
    return Path2(kind, _turned(_circle(speed_m_s, radius, way), turn))


def _in_disc(rng: random.Random, radius_m: float) -> tuple[float, float]:
    r, a = radius_m * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
    return r * math.cos(a), r * math.sin(a)


def _circle(speed_m_s: float, radius_m: float, way: float) -> At:
    def at(t: float) -> tuple[float, float, float]:
        a = way * speed_m_s * t / radius_m
        heading = math.degrees(a) + 90.0 * way
        return radius_m * math.cos(a), radius_m * math.sin(a), heading

    return at


def _eight(speed_m_s: float, size_m: float) -> At:
    """x = sin a, y = sin a cos a, gone at one speed (arc length from a table of 2,000 steps)."""
    steps = 2000
    angles = [2.0 * math.pi * k / steps for k in range(steps + 1)]
    points = [(size_m * math.sin(a), size_m * math.sin(a) * math.cos(a)) for a in angles]
    along = [0.0]
    for p, q in itertools.pairwise(points):
        along.append(along[-1] + math.dist(p, q))

    def at(t: float) -> tuple[float, float, float]:
        s = (speed_m_s * t) % along[-1]
        low, high = 0, steps
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if along[middle] <= s else (low, middle)
        part = (s - along[low]) / (along[high] - along[low])
        (x0, y0), (x1, y1) = points[low], points[high]
        heading = math.degrees(math.atan2(y1 - y0, x1 - x0))
        return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part, heading

    return at


def _turned(path: At, turn_deg: float) -> At:
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))

    def at(t: float) -> tuple[float, float, float]:
        x, y, heading = path(t)
        return c * x - s * y, s * x + c * y, heading + turn_deg

    return at
