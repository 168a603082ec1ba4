# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of one scene: what the numpy side makes and the Blender side shows."""

from dataclasses import dataclass, field

import numpy as np

from render_rigs.mesh import MeshData


@dataclass(slots=True)
class Light:
    """World and sun of a scene. Angles in degrees, colours linear."""

    words: str
    """"at sunset", "under an overcast sky" ..."""
    hdri: str
    hdri_strength: float
    hdri_turn_deg: float
    sun_elevation_deg: float
    sun_azimuth_deg: float
    sun_strength: float
    sun_color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sun_angle_deg: float = 0.8
    sky_color: tuple[float, float, float] | None = None
    """Seen by the camera instead of the HDRI (which still lights); linear."""
    horizon_color: tuple[float, float, float] | None = None
    key: float = 0.30
    """Mean picture brightness to expose for, linear."""


@dataclass(slots=True)
class Lamp:
    """An area lamp that shines down (or a point when ``size_m`` is 0)."""

    at_m: tuple[float, float, float]
    power_w: float
    size_m: float
    color: tuple[float, float, float] = (1.0, 0.93, 0.82)


@dataclass(slots=True)
class Obstacle:
    """A circle on the ground that subjects keep out of."""

    x_m: float
    y_m: float
    radius_m: float


@dataclass(slots=True)
class Place:
    """A built location. Its middle is the origin; subjects move inside ``free_m`` of it."""

    kind: str
    words: str
    """"a stone plaza" """
    preposition: str
    """For those who move through it: "across"."""
    mesh: MeshData
    light: Light
    lamps: list[Lamp] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    free_m: float = 3.0
    seats: list[tuple[float, float, float, float]] = field(default_factory=list)
    """x, y, seat height, heading."""
    at: str = "in"
    """For those who stay: "on"."""
    indoor: bool = False
    native: object = None
    """An ``assets.Entry``: shown instead of ``mesh``, which then serves ray casts only."""


@dataclass(slots=True)
class Actor:
    """A subject through the clip: vertices_m [T+2,N,3] (one frame before, one after), words."""

    name: str
    kind: str
    action: str
    mesh: MeshData | None
    """None: ``native`` says which file is shown instead."""
    vertices_m: np.ndarray
    root_m: np.ndarray
    """[T,3]"""
    heading_rad: np.ndarray
    height_m: float
    radius_m: float
    caption: str
    trajectory: str
    info: dict = field(default_factory=dict)
    native: object = None
    """An ``assets.Entry`` of the user's own."""
