# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-defined ground trajectories: line, arc, circle, figure of eight, stop and turn, in place."""

import numpy as np

from render_rigs.subjects.gait import DENSE_HZ, BodyPath, Gait

KINDS = ("line", "arc", "circle", "eight", "stop_and_turn")


def curve(kind: str, length_m: float, size_m: float) -> np.ndarray:
    """Points [K,2] of a curve of at least ``length_m``, centred near the origin, 1 cm apart."""
    s = np.arange(0, length_m + 0.01, 0.01)
    if kind == "line":
        return np.stack([s - length_m / 2, 0 * s], -1)
    if kind == "arc":
        radius = max(length_m / 1.6, 1.2)
        a = (s - length_m / 2) / radius
        p = np.stack([np.sin(a), 1 - np.cos(a)], -1) * radius
        return p - [0, p[:, 1].mean()]
    if kind == "circle":
        a = s / size_m
        return np.stack([np.cos(a), np.sin(a)], -1) * size_m
    if kind == "eight":
        a = np.linspace(0, 2 * np.pi, 4001)
        p = np.stack([np.sin(a), np.sin(a) * np.cos(a)], -1) * size_m
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
        at = s % along[-1]
        return np.stack([np.interp(at, along, p[:, i]) for i in (0, 1)], -1)
    raise ValueError(f"unknown trajectory {kind!r}, expected one of {', '.join(KINDS)}")


def travel(
    rng: np.random.Generator,
    kind: str,
    gait: Gait,
    duration_s: float,
    size_m: float,
    margin_s: float = 1.5,
) -> BodyPath:
    """Move along a curve at the gait's speed; the path reaches ``margin_s`` beyond both ends."""
    time_s = np.arange(-margin_s, duration_s + margin_s, 1 / DENSE_HZ)
    if kind == "stop_and_turn":
        return _stop_and_turn(rng, gait, time_s, duration_s)
    distance = gait.speed_mps * (time_s - time_s[0])
    points = curve(kind, distance[-1] + 0.05, size_m)
    xy = np.stack(
        [np.interp(distance / 0.01, np.arange(len(points)), points[:, i]) for i in (0, 1)], -1
    )
    step = np.gradient(xy, axis=0)
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    turn = rng.uniform(0, 2 * np.pi)
    xy, heading = _turned(xy, heading, turn, rng.random() < 0.5)
    if kind in ("line", "arc"):  # the middle of the clip passes the centre
        middle = np.abs(time_s - duration_s / 2).argmin()
        xy = xy - xy[middle]
    return BodyPath(time_s, xy, heading, rng.random() + distance / gait.stride_m)


def stand(
    rng: np.random.Generator,
    duration_s: float,
    steps_per_s: float = 0.0,
    margin_s: float = 1.5,
    sway_m: float = 0.0,
) -> BodyPath:
    """Stay in place, stepping on the spot ``steps_per_s`` cycles a second (a dance)."""
    time_s = np.arange(-margin_s, duration_s + margin_s, 1 / DENSE_HZ)
    heading = np.full(len(time_s), rng.uniform(-np.pi, np.pi))
    cycle = 0.05 + steps_per_s * (time_s - time_s[0])
    xy = np.zeros((len(time_s), 2))
    if sway_m:
        xy[:, 0] = sway_m * np.sin(2 * np.pi * 0.4 * time_s)
        xy[:, 1] = sway_m * np.sin(2 * np.pi * 0.27 * time_s + 1)
    return BodyPath(time_s, xy, heading, cycle)


def _turned(xy, heading, turn, mirrored):
    if mirrored:
        xy, heading = xy * [1, -1], -heading
    c, s = np.cos(turn), np.sin(turn)
    return xy @ np.array([[c, s], [-s, c]]), heading + turn


def _stop_and_turn(rng, gait, time_s, duration_s):
    """Walk, stop, turn on the spot by 60-180 degrees, walk on; feet are all down at the stops."""
    angle = np.radians(rng.uniform(60, 180)) * rng.choice([-1, 1])
    stop = duration_s * rng.uniform(0.3, 0.5)
    turning = 0.35 + abs(angle) / 2.2
    t_walk2 = stop + 0.3 + turning + 0.2
    ramp = 0.35
    before = np.clip((stop - time_s) / ramp, 0, 1)
    after = np.clip((time_s - t_walk2) / ramp, 0, 1)
    spin = np.clip((time_s - stop - 0.3) / turning, 0, 1)
    spin = spin * spin * (3 - 2 * spin)
    heading = angle * spin
    dt = time_s[1] - time_s[0]
    speed = np.maximum(before, after) * gait.speed_mps
    # Each leg of the journey covers whole quanta of the cycle, so that it ends with all feet down.
    first, second = time_s < stop, time_s > t_walk2
    distance = np.cumsum(speed) * dt
    walked = distance[first][-1]
    cycles = max(round(walked / gait.stride_m / gait.quantum), 1) * gait.quantum
    scale = cycles * gait.stride_m / walked
    turn_cycles = max(round(abs(angle) / np.radians(70) / gait.quantum), 1) * gait.quantum
    cycle = 0.03 + np.minimum(distance, walked) * scale / gait.stride_m + turn_cycles * spin
    cycle += np.where(second, distance - walked, 0) / gait.stride_m
    speed = speed * np.where(first, scale, 1)
    step = np.stack([np.cos(heading), np.sin(heading)], -1) * speed[:, None] * dt
    xy = np.cumsum(step, axis=0)
    xy -= xy[np.abs(time_s - stop).argmin()]
    return BodyPath(time_s, *_turned(xy, heading, rng.uniform(0, 2 * np.pi), False), cycle)
