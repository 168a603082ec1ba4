# SPDX-License-Identifier: GPL-3.0-or-later
"""Footsteps: where each foot stands and for how long, so that no foot slides.

A foot is on the ground for the share ``duty`` of its cycle and does not move in that time; its
place is where the body will be in the middle of that stance. Between two stances it swings.
"""

from dataclasses import dataclass

import numpy as np

DENSE_HZ = 120
"""Paths are made on this grid and read between its points."""


@dataclass(frozen=True, slots=True)
class Gait:
    name: str
    speed_mps: float
    stride_m: float
    """Ground covered in one whole cycle."""
    duty: float
    lift_m: float
    phases: tuple[float, ...] | None = None
    """When each leg lands; None: the legs' own (walking) phases."""
    quantum: float = 0.5
    """Stopping is in order at multiples of this share of a cycle (all feet down)."""
    flight_m: float = 0.0
    """How high the body rises when no foot is down."""


@dataclass(slots=True)
class BodyPath:
    """The root on the ground over a dense time grid: xy_m [D,2], heading_rad [D], cycle [D]."""

    time_s: np.ndarray
    xy_m: np.ndarray
    heading_rad: np.ndarray
    cycle: np.ndarray

    def at(self, time_s):
        """(xy [T,2], heading [T], cycle [T]) at the given times."""
        t = self.time_s
        xy = np.stack([np.interp(time_s, t, self.xy_m[:, i]) for i in (0, 1)], -1)
        return xy, np.interp(time_s, t, self.heading_rad), np.interp(time_s, t, self.cycle)

    def moving(self, time_s) -> np.ndarray:
        """0 standing .. 1 in full motion, by the rate of the cycle."""
        rate = np.gradient(self.cycle, self.time_s)
        return np.interp(time_s, self.time_s, np.clip(rate / max(rate.max(), 1e-6), 0, 1))


@dataclass(slots=True)
class Footfalls:
    """Feet over the frames: place_m [T,L,3], heading_rad [T,L], swing [T,L] (0 = standing)."""

    place_m: np.ndarray
    heading_rad: np.ndarray
    swing: np.ndarray


def plan_feet(path: BodyPath, time_s, offsets_m, phases, duty: float, lift_m: float) -> Footfalls:
    """Footfalls for feet at ``offsets_m`` [L,2] from the root (x forward, y left)."""
    _, _, cycle = path.at(time_s)
    places, headings, swings = [], [], []
    for offset, phase in zip(np.asarray(offsets_m, float), phases, strict=True):
        turn = cycle + phase
        step = np.floor(turn)
        share = turn - step
        swing = np.clip((share - duty) / (1 - duty), 0, 1)
        here, here_heading = _stance(path, step + duty / 2 - phase, offset)
        there, there_heading = _stance(path, step + 1 + duty / 2 - phase, offset)
        ease = (swing * swing * (3 - 2 * swing))[:, None]
        xy = here + (there - here) * ease
        z = lift_m * np.sin(np.pi * swing) ** 1.3
        places.append(np.concatenate([xy, z[:, None]], 1))
        headings.append(here_heading + (there_heading - here_heading) * ease[:, 0])
        swings.append(swing)
    return Footfalls(np.stack(places, 1), np.stack(headings, 1), np.stack(swings, 1))


def _stance(path: BodyPath, cycle, offset):
    """Where a foot with ``offset`` stands when its stance is centred on ``cycle``."""
    # A standing body has many times for one cycle: np.interp needs it to rise, so tilt it a hair.
    rising = path.cycle + np.arange(len(path.cycle)) * 1e-9
    time_s = np.interp(cycle, rising, path.time_s)
    xy, heading, _ = path.at(time_s)
    c, s = np.cos(heading), np.sin(heading)
    turned = np.stack([c * offset[0] - s * offset[1], s * offset[0] + c * offset[1]], -1)
    return xy + turned, heading
