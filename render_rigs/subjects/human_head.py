# SPDX-License-Identifier: GPL-3.0-or-later
"""The head: a shaped skull with a face that reads as a face, hair, beard, glasses, hats."""

import numpy as np

from render_rigs.mesh import linear_passthrough, sphere
from render_rigs.subjects.human_shape import COLORS, HAIRS, SKINS, HumanShape
from render_rigs.subjects.rig import FigureBuilder

_EYE_AZ, _EYE_EL = np.radians(20), np.radians(4)


def add_head(b: FigureBuilder, shape: HumanShape) -> None:
    """Add the head around the head joint; sizes are metres of a head about 23 cm tall."""
    rng = np.random.default_rng(shape.face_seed)
    joint = b.skeleton.heads_m[b.skeleton.index("head")]
    grown = {"child": 0.93, "old": 0.99}.get(shape.age, 1.0)
    size = 0.118 * (shape.height_m / 1.72) ** 0.35 * grown
    size *= 1.0 if shape.gender == "male" else 0.96
    center = joint + np.array([0.012, 0, 0.075 * size / 0.118 + 0.01])
    face = _Face(rng, shape, size, center)
    weight = b.weight(head=1)
    skin = np.array(linear_passthrough(SKINS[shape.skin]), float)
    _skull(b, face, weight, skin, shape)
    _features(b, face, weight, skin, shape, rng)
    _hair(b, face, weight, shape)
    _hat(b, face, weight, shape)


class _Face:
    """The skull as a function of direction, so that hair and eyes can sit on it."""

    def __init__(self, rng, shape: HumanShape, size: float, center) -> None:
        child = shape.age == "child"
        self.size, self.center = size, np.asarray(center)
        self.wide = (
            0.66 * rng.uniform(0.95, 1.06) * (1.06 if child else 1) * (0.93 + 0.07 * shape.weight)
        )
        self.deep = 0.83 * rng.uniform(0.97, 1.03)
        self.jaw = rng.uniform(0.72, 0.86) * (1.0 if shape.gender == "male" else 0.92)
        self.chin = rng.uniform(0.0, 0.06)

    def at(self, unit, grow=1.0):
        """Points [N,3] of the skull in the directions ``unit`` [N,3]."""
        x, y, z = np.asarray(unit, float).T
        low = np.clip(-z, 0, 1)
        front = np.clip(x, 0, 1)
        wide = self.wide * (1 - (1 - self.jaw) * low**1.2) * (1 + 0.05 * np.clip(z, 0, 1))
        deep = self.deep * (1 - 0.28 * low * (x < 0)) * (1 - 0.10 * low * front)
        px = x * deep + self.chin * low**3 + 0.05 * low * front
        pz = z * (1.0 + 0.04 * front * low)
        flat = 1 - 0.06 * front * np.exp(-(((z - 0.05) / 0.35) ** 2)) * (np.abs(y) > 0.2)
        return self.center + np.stack([px * flat, y * wide, pz], -1) * self.size * grow

    def on(self, azimuth, elevation, grow=1.0):
        """A point of the face; azimuth 0 is ahead, positive left."""
        ce = np.cos(elevation)
        unit = np.array([[np.cos(azimuth) * ce, np.sin(azimuth) * ce, np.sin(elevation)]])
        return self.at(unit, grow)[0]


def _skull(b, face, weight, skin, shape) -> None:
    unit, faces = sphere(20, 16)
    colors = np.broadcast_to(skin, (len(unit), 3)).copy()
    x, y, z = unit.T
    # Warm cheeks and lips, darker eye sockets, a beard shadow: what makes it read from afar.
    cheek = np.exp(-(((np.abs(y) - 0.45) / 0.2) ** 2 + ((z + 0.2) / 0.2) ** 2)) * (x > 0)
    colors *= 1 - cheek[:, None] * np.array([-0.03, 0.06, 0.06])
    socket = np.exp(-(((np.abs(y) - 0.34) / 0.16) ** 2 + ((z - 0.07) / 0.12) ** 2)) * (x > 0)
    colors *= 1 - 0.16 * socket[:, None]
    if shape.beard:
        hair = np.array(linear_passthrough(HAIRS[shape.hair]), float)
        mask = (x > -0.1) & (z < -0.32) & (x < 0.97)
        mask &= ~((z > -0.52) & (np.abs(y) < 0.2) & (z < -0.42))
        colors[mask] = hair * 0.9
    b.add(face.at(unit), faces, weight, np.clip(colors, 0, 1), "skin")
    for sign in (1, -1):
        ear, ear_faces = sphere(8, 6)
        place = face.on(sign * np.radians(95), np.radians(-2), 0.99)
        b.add(
            place + ear * np.array([0.22, 0.07, 0.3]) * face.size,
            ear_faces,
            weight,
            skin * 0.95,
            "skin",
        )


def _features(b, face, weight, skin, shape, rng) -> None:
    s = face.size
    ball, ball_faces = sphere(10, 8)
    iris = np.array(linear_passthrough(rng.choice(["#3a2615", "#4a3520", "#3c5a78", "#4b6b4a"])))
    for sign in (1, -1):
        eye = face.on(sign * _EYE_AZ, _EYE_EL, 0.955)
        b.add(
            eye + ball * 0.1 * s * np.array([1, 1.25, 0.72]),
            ball_faces,
            weight,
            (0.93, 0.92, 0.9),
            "skin",
        )
        b.add(
            eye + np.array([0.068, 0.004 * sign, 0]) * s + ball * 0.058 * s,
            ball_faces,
            weight,
            iris,
            "skin",
        )
        b.add(
            eye + np.array([0.1, 0.006 * sign, 0]) * s + ball * 0.034 * s,
            ball_faces,
            weight,
            (0.02, 0.02, 0.02),
            "skin",
        )
        lid = np.array(
            [(np.radians(a) * sign, e) for a, e in ((8, 0.09), (15, 0.14), (22, 0.145), (30, 0.09))]
        )
        points = np.array([face.on(a, _EYE_EL + e - 0.03, 1.005) for a, e in lid])
        b.tube(points, np.full(4, 0.026 * s), weight, skin * 0.66, "skin", segments=5)
        points = np.array(
            [
                face.on(np.radians(a) * sign, _EYE_EL + e, 1.015)
                for a, e in ((7, 0.24), (14, 0.3), (23, 0.31), (32, 0.24))
            ]
        )
        brow = np.array(linear_passthrough(HAIRS[shape.hair])) * 0.85
        b.tube(points, np.array([0.022, 0.032, 0.03, 0.014]) * s, weight, brow, "skin", segments=5)
    bridge = face.on(0, np.radians(8), 0.97)
    tip = face.on(0, np.radians(-13), 1.0) + np.array([0.15 * rng.uniform(0.8, 1.25), 0, 0]) * s
    base = face.on(0, np.radians(-21), 0.97) + np.array([0.04, 0, 0]) * s
    wide = rng.uniform(0.9, 1.25)
    b.tube(
        np.array([bridge, (bridge + tip) / 2, tip, base]),
        np.array([(0.05, 0.06), (0.07, 0.075), (0.085, 0.11), (0.05, 0.1)]) * s * (1, wide),
        weight,
        skin * np.array([1.0, 0.95, 0.94]),
        "skin",
        segments=8,
        u=(0.9, 0, 0.4),
        v=(0, 1, 0),
    )
    lip = np.clip(skin * np.array([0.86, 0.6, 0.6]), 0, 1)
    if shape.gender == "female":
        lip = lip * np.array([1.1, 0.75, 0.8])
    for elevation, thick in ((-29.5, 0.026), (-33.5, 0.032)):
        points = np.array(
            [
                face.on(np.radians(a), np.radians(elevation + 0.004 * a * a), 1.0)
                for a in (-18, -9, 0, 9, 18)
            ]
        )
        b.tube(
            points, np.array([0.4, 1, 1.05, 1, 0.4]) * thick * s, weight, lip, "skin", segments=6
        )
    if shape.glasses:
        for sign in (1, -1):
            eye = face.on(sign * _EYE_AZ, _EYE_EL, 1.08)
            a = np.linspace(0, 2 * np.pi, 13)
            ring = eye + np.stack([0 * a, np.cos(a) * 0.2, np.sin(a) * 0.15], -1) * s
            b.tube(ring, np.full(13, 0.018 * s), weight, (0.05, 0.05, 0.06), "leather", segments=4)
            side = np.array(
                [
                    eye + np.array([0, 0.2 * sign, 0.02]) * s,
                    face.on(sign * np.radians(92), np.radians(4), 1.03),
                ]
            )
            b.tube(side, np.full(2, 0.016 * s), weight, (0.05, 0.05, 0.06), "leather", segments=4)


def _hair(b, face, weight, shape) -> None:
    style = shape.hair_style
    if style == "bald":
        return
    color = np.array(linear_passthrough(HAIRS[shape.hair]), float)
    unit, faces = sphere(28, 22)
    x, y, z = unit.T
    # A direction is under hair when it is above a line that runs from the brow to the nape.
    line = np.interp(x, [-1, -0.2, 0.15, 0.55, 0.8, 1.0], [-0.55, -0.35, -0.05, 0.35, 0.52, 0.56])
    if style in ("long", "bob"):
        line = np.interp(x, [-1, 0.1, 0.3, 0.6, 0.8, 1.0], [-0.8, -0.7, -0.2, 0.35, 0.5, 0.54])
    if style == "crop":
        line = line + 0.12
    thick = {
        "short": 0.09,
        "side": 0.11,
        "crop": 0.04,
        "afro": 0.42,
        "long": 0.11,
        "bob": 0.15,
        "ponytail": 0.07,
        "bun": 0.07,
    }[style]
    if shape.hat in ("cap", "beanie", "helmet", "hat"):
        thick = min(thick, 0.06) if style != "afro" else 0.12
    inside = np.clip((z - line) / 0.18, -0.2, 1)
    wave = 1 + 0.18 * np.sin(9 * y + 3 * x) * np.sin(7 * z + 2 * y)
    grow = 1.0 + thick * np.where(inside > 0, np.abs(inside) ** 0.45, inside) * wave
    if style == "side":
        grow += 0.05 * (y > 0) * (z > 0.4)
    grow = np.where(inside < -0.15, 0.9, grow)
    tint = color * (1 + 0.25 * np.sin(23 * np.arctan2(y, x) + 5 * z)[:, None] * 0.5)
    b.add(
        face.at(unit) + (face.at(unit) - face.center) * (grow - 1)[:, None],
        faces,
        weight,
        np.clip(tint, 0, 1),
        "hair",
    )
    s = face.size
    if style in ("long", "bob"):
        length = 0.75 if style == "bob" else 1.75
        drop = np.linspace(0.15, -length, 7)
        radii = (
            np.stack(
                [
                    np.interp(drop, [-1.75, -0.5, 0.1], [0.2, 0.34, 0.4]),
                    np.interp(drop, [-1.75, -0.6, 0.1], [0.5, 0.66, 0.72]),
                ],
                -1,
            )
            * s
        )
        back = np.interp(drop, [-1.75, -0.8, 0.1], [-0.62, -0.62, -0.46])
        centers = face.center + np.stack([back, 0 * drop, drop], -1) * s
        soft = np.array(
            [b.weight(head=1 - k, chest=k + 1e-9) for k in np.clip((-drop - 0.7) / 1.2, 0, 0.75)]
        )
        b.tube(centers, radii, soft, color * 0.95, "hair", segments=14, u=(1, 0, 0), v=(0, 1, 0))
    elif style == "ponytail":
        points = (
            face.center
            + np.array(
                [
                    (-0.75, 0, 0.35),
                    (-1.05, 0, 0.3),
                    (-1.2, 0, -0.2),
                    (-1.12, 0, -0.8),
                    (-1.05, 0, -1.2),
                ]
            )
            * s
        )
        b.tube(
            points, np.array([0.1, 0.2, 0.24, 0.18, 0.04]) * s, weight, color, "hair", segments=8
        )
    elif style == "bun":
        ball, ball_faces = sphere(12, 8)
        b.add(
            face.center + np.array([-0.72, 0, 0.55]) * s + ball * 0.33 * s,
            ball_faces,
            weight,
            color,
            "hair",
        )


def _hat(b, face, weight, shape) -> None:
    if shape.hat == "none":
        return
    s = face.size
    color = np.array(linear_passthrough(COLORS[shape.hat_color]), float)
    unit, faces = sphere(22, 14)
    z = unit[:, 2]
    line = {"cap": 0.33, "beanie": 0.28, "hat": 0.38, "helmet": 0.25}[shape.hat]
    top = np.where(z > line, 1.14 if shape.hat != "helmet" else 1.24, 0.9)
    dome = face.center + (face.at(unit) - face.center) * top[:, None]
    if shape.hat == "hat":
        flat = np.minimum(dome[:, 2] + 0.12 * s, face.center[2] + 1.22 * s)
        dome[:, 2] = np.where(z > line, flat, dome[:, 2])
    b.add(dome, faces, weight, color, "fabric" if shape.hat != "helmet" else "plastic")
    a = np.linspace(0, 2 * np.pi, 25)[:-1]
    if shape.hat == "cap":
        a = np.linspace(-1.1, 1.1, 12)
        inner = np.array([face.on(t, np.radians(20), 1.1) for t in a])
        outer = inner + np.stack([np.cos(a) * 0.55, np.sin(a) * 0.1, -0.12 + 0 * a], -1) * s
        n = len(a)
        quads = [(i, i + 1, n + i + 1, n + i)[::-1] for i in range(n - 1)]
        b.add(np.concatenate([inner, outer]), quads, weight, color * 0.85, "fabric")
    elif shape.hat == "hat":
        inner = np.array([face.on(t, np.radians(22), 1.05) for t in a])
        outer = inner + np.stack([np.cos(a) * 0.5, np.sin(a) * 0.5, -0.06 + 0 * a], -1) * s
        n = len(a)
        quads = [(i, (i + 1) % n, n + (i + 1) % n, n + i)[::-1] for i in range(n)]
        b.add(np.concatenate([inner, outer]), quads, weight, color * 0.9, "fabric")
    elif shape.hat == "beanie":
        ring = np.array([face.on(t, np.radians(16), 1.12) for t in np.append(a, a[0])])
        b.tube(ring, np.full(len(ring), 0.1 * s), weight, color * 0.8, "fabric", segments=6)
