# SPDX-License-Identifier: GPL-3.0-or-later
"""Birds that walk: ostrich, flamingo, goose, hen. They share the four-legged motion code."""

from dataclasses import dataclass

import numpy as np

from render_rigs.mesh import loft, rgb, sphere
from render_rigs.subjects.rig import Figure, FigureBuilder, Leg, Skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class BirdShape:
    """Lengths are shares of ``back_m``, the height of the back."""

    species: str
    back_m: float
    length: float
    depth: float
    neck: float
    neck_thick: float
    head: float
    beak: float
    beak_color: str
    leg: float
    leg_thick: float
    leg_color: str
    tail: float
    comb: bool
    color_name: str
    body: str
    wing: str
    neck_color: str

    def caption(self) -> str:
        return f"a {self.color_name} {self.species}"


_SPECIES = {
    "ostrich": (
        dict(
            back_m=1.35,
            length=0.62,
            depth=0.44,
            neck=0.75,
            neck_thick=0.045,
            head=0.075,
            beak=0.08,
            beak_color="#b58a6a",
            leg=0.62,
            leg_thick=0.035,
            leg_color="#b08a78",
            tail=0.28,
            comb=False,
        ),
        (("black", "#211f20", "#2a2829", "#b89a8a"), ("brown", "#5d4a3c", "#6d5848", "#a58a7a")),
    ),
    "flamingo": (
        dict(
            back_m=0.95,
            length=0.42,
            depth=0.26,
            neck=0.72,
            neck_thick=0.032,
            head=0.065,
            beak=0.1,
            beak_color="#2a2424",
            leg=0.74,
            leg_thick=0.016,
            leg_color="#d86a72",
            tail=0.14,
            comb=False,
        ),
        (("pink", "#e08a94", "#d8646f", "#e59aa2"), ("white", "#e8dcd8", "#e0c4c4", "#ecdcd8")),
    ),
    "goose": (
        dict(
            back_m=0.48,
            length=1.0,
            depth=0.6,
            neck=0.62,
            neck_thick=0.085,
            head=0.14,
            beak=0.16,
            beak_color="#d8822a",
            leg=0.36,
            leg_thick=0.04,
            leg_color="#d8822a",
            tail=0.25,
            comb=False,
        ),
        (("white", "#e6e2d8", "#dcd7cb", "#e8e4da"), ("grey", "#8a8680", "#6f6a64", "#3a3532")),
    ),
    "hen": (
        dict(
            back_m=0.36,
            length=0.85,
            depth=0.66,
            neck=0.4,
            neck_thick=0.13,
            head=0.15,
            beak=0.1,
            beak_color="#d8a83a",
            leg=0.38,
            leg_thick=0.04,
            leg_color="#d8a83a",
            tail=0.5,
            comb=True,
        ),
        (
            ("brown", "#8f4f26", "#7a3f1e", "#a8622f"),
            ("white", "#e4e0d6", "#dad5c8", "#e8e4da"),
            ("black", "#242224", "#1d1b1e", "#2c2a2c"),
        ),
    ),
}
SPECIES = tuple(_SPECIES)


def draw_bird(rng: np.random.Generator, species: str | None = None) -> BirdShape:
    """Draw one bird; its size varies by a tenth."""
    species = species or SPECIES[rng.integers(len(SPECIES))]
    values, coats = _SPECIES[species]
    name, body, wing, neck = coats[rng.integers(len(coats))]
    values = {**values, "back_m": values["back_m"] * rng.uniform(0.9, 1.1)}
    return BirdShape(
        species=species, **values, color_name=name, body=body, wing=wing, neck_color=neck
    )


def build_bird(s: BirdShape) -> Figure:
    """Return the weighted bird at rest, with the bones that ``quadruped_motion`` moves."""
    h = s.back_m
    middle = h * (1 - s.depth * 0.5)
    half = s.length * h / 2
    neck = np.array([half * 0.85, 0, middle + 0.12 * s.depth * h])
    lean = np.array([0.42, 0, 1.0]) / np.hypot(0.42, 1.0)
    end = neck + lean * s.neck * h
    tail = np.array([-half * 0.9, 0, middle + 0.1 * s.depth * h])
    step = np.array([-0.9, 0, 0.35]) * s.tail * h / 3
    names = ["root", "rear", "front", "neck", "neck2", "head", "tail0", "tail1", "tail2"]
    parents = [-1, 0, 0, 2, 3, 4, 1, 6, 7]
    heads = [
        (0, 0, middle),
        (-0.3 * half, 0, middle),
        (0.3 * half, 0, middle),
        neck,
        (neck + end) / 2,
        end,
        tail,
        tail + step,
        tail + 2 * step,
    ]
    foot_z, top_z = 0.02 * h, min(s.leg, 0.95) * h
    wide = s.depth * h * 0.24
    for side, sign in (("l", 1), ("r", -1)):
        base = len(names)
        names += [f"up_{side}", f"low_{side}", f"foot_{side}"]
        parents += [0, base, base + 1]
        heads += [
            (0, sign * wide, top_z),
            (-0.04 * h, sign * wide, (top_z + foot_z) * 0.52),
            (0.0, sign * wide, foot_z),
        ]
    skeleton = Skeleton(names, parents, np.array(heads, float))
    b = FigureBuilder(skeleton)
    _body(b, s, middle, half)
    _neck_and_head(b, s, neck, end, lean)
    _tail(b, s, tail, step)
    for side in "lr":
        _leg(b, s, side)
    legs = [
        Leg(names.index(f"up_{k}"), names.index(f"low_{k}"), names.index(f"foot_{k}"), phase, -1.0)
        for k, phase in (("l", 0.0), ("r", 0.5))
    ]
    top = float(end[2] + s.head * h)
    return b.build(
        legs,
        top,
        max(half * 1.3, 0.2),
        kind="animal",
        caption=s.caption(),
        details=f"a {s.species}",
        noun=s.species,
        withers_m=h * 0.8,
    )


def _body(b, s, middle, half) -> None:
    h = s.back_m
    x = np.array([-1.05, -0.98, -0.7, -0.3, 0.15, 0.55, 0.85, 1.0, 1.06]) * half
    tall = np.array([0.08, 0.2, 0.36, 0.47, 0.5, 0.46, 0.33, 0.18, 0.06]) * s.depth * h
    lift = np.array([0.14, 0.12, 0.06, 0, -0.02, 0, 0.06, 0.1, 0.12]) * s.depth * h
    b.tube(
        np.stack([x, 0 * x, middle + lift], -1),
        np.stack([tall * 0.82, tall], -1),
        b.weight(root=1),
        rgb(s.body),
        "fur",
        segments=16,
        u=(0, 1, 0),
        v=(0, 0, 1),
    )
    for sign in (1, -1):  # folded wings
        x = np.array([-1.15, -0.9, -0.4, 0.2, 0.6, 0.75]) * half
        z = middle + np.array([0.16, 0.14, 0.1, 0.1, 0.1, 0.1]) * s.depth * h
        tall = np.array([0.03, 0.16, 0.3, 0.33, 0.22, 0.06]) * s.depth * h
        y = sign * np.array([0.12, 0.24, 0.36, 0.4, 0.33, 0.24]) * s.depth * h
        b.tube(
            np.stack([x, y, z], -1),
            np.stack([tall * 0.22, tall], -1),
            b.weight(root=1),
            rgb(s.wing),
            "fur",
            segments=10,
            u=(0, 1, 0),
            v=(0, 0, 1),
        )


def _neck_and_head(b, s, neck, end, lean) -> None:
    h = s.back_m
    t = np.linspace(-0.25, 1.05, 8)
    bow = np.sin(np.clip(t, 0, 1) * np.pi)[:, None] * np.array([-0.07, 0, 0]) * s.neck * h
    thick = np.interp(t, [-0.25, 0.15, 0.6, 1.05], [2.1, 1.4, 1.0, 0.95]) * s.neck_thick * h
    rows = [
        b.weight(
            front=max(0.5 - k * 1.6, 0) + 1e-9,
            neck=max(1 - abs(k - 0.25) * 2, 0),
            neck2=max(1 - abs(k - 0.7) * 2.2, 0),
            head=max(k - 0.8, 0) * 4,
        )
        for k in t
    ]
    b.tube(
        neck + (end - neck) * t[:, None] + bow,
        thick,
        np.array(rows),
        rgb(s.neck_color),
        "fur",
        segments=10,
    )
    weight, size = b.weight(head=1), s.head * h
    unit, faces = sphere(12, 9)
    b.add(end + unit * size * np.array([1.15, 0.85, 0.9]), faces, weight, rgb(s.neck_color), "fur")
    beak = end + np.array([[0.7, 0, -0.05], [1.2, 0, -0.12], [1.0, 0, -0.2]]) * size
    beak[1:] += np.array([[0.5, 0, -0.06], [1.0, 0, -0.25]]) * s.beak * h
    b.tube(
        beak,
        np.array([(0.42, 0.36), (0.3, 0.24), (0.06, 0.05)]) * size,
        weight,
        rgb(s.beak_color),
        "leather",
        segments=8,
        u=(0, 1, 0),
        v=(0, 0, 1),
    )
    for sign in (1, -1):
        b.add(
            end + np.array([0.45, 0.72 * sign, 0.25]) * size + unit * size * 0.17,
            faces,
            weight,
            (0.04, 0.03, 0.03),
            "leather",
        )
    if s.comb:
        for x, r in ((0.5, 0.28), (0.1, 0.36), (-0.3, 0.28)):
            b.add(
                end + np.array([x, 0, 0.95]) * size + unit * size * r * np.array([1, 0.35, 1.2]),
                faces,
                weight,
                rgb("#c2281f"),
                "plain",
            )
        b.add(
            end + np.array([0.85, 0, -0.7]) * size + unit * size * np.array([0.22, 0.2, 0.4]),
            faces,
            weight,
            rgb("#c2281f"),
            "plain",
        )


def _tail(b, s, tail, step) -> None:
    for k in (-1, 0, 1):
        t = np.linspace(-0.3, 3.0, 5)
        side = np.array([0, k * 0.3, 0]) * np.linalg.norm(step)
        rise = (
            np.array([0, 0, 1.0])
            * (t**2 * 0.06 * np.linalg.norm(step) * (2 if s.comb else 0.4))[:, None]
        )
        thick = np.interp(t, [-0.3, 1.0, 3.0], [0.4, 0.5, 0.12]) * np.linalg.norm(step) * 1.2
        rows = [b.weight(**{f"tail{int(np.clip(v, 0, 2))}": 1.0}) for v in t]
        b.tube(
            tail + (step + side) * t[:, None] + rise,
            np.stack([thick * 0.5, thick], -1),
            np.array(rows),
            rgb(s.wing) * 0.9,
            "fur",
            segments=8,
            u=(0, 1, 0),
            v=(0, 0, 1),
        )


def _leg(b, s, side) -> None:
    h = s.back_m
    up, low, foot = (
        b.skeleton.heads_m[b.skeleton.index(f"{n}_{side}")] for n in ("up", "low", "foot")
    )
    t = np.array([-0.25, 0.0, 0.3, 0.6, 0.9, 1.0, 1.1, 1.5, 1.95])
    feathered = np.interp(t, [-0.25, 0.2, 0.7, 0.95, 1.05, 2.0], [2.6, 3.0, 1.9, 1.2, 1.15, 0.85])
    centers = (
        up
        + (low - up) * np.clip(t, -0.3, 1)[:, None]
        + (foot - low) * np.clip(t - 1, 0, 1)[:, None]
    )
    rows = [
        b.weight(**{f"up_{side}": 1 - k + 1e-9, f"low_{side}": k})
        for k in np.clip((t - 0.9) / 0.2, 0, 1)
    ]
    colors = np.where((t < 0.55)[:, None], rgb(s.body), rgb(s.leg_color))
    b.tube(centers, feathered * s.leg_thick * h, np.array(rows), colors, "fur", segments=8)
    weight = b.weight(**{f"foot_{side}": 1})
    for angle, length in ((0.0, 0.15), (0.55, 0.13), (-0.55, 0.13), (np.pi, 0.05)):
        way = np.array([np.cos(angle), np.sin(angle), 0])
        points = np.array([foot, foot + way * length * h * 0.5, foot + way * length * h])
        points[:, 2] = [foot[2], 0.014 * h, 0.008 * h]
        r = np.array([0.8, 0.6, 0.25]) * s.leg_thick * h * 0.7
        verts, faces = loft(points, np.minimum(r, [0.02 * h, 0.013 * h, 0.007 * h]), segments=6)
        b.add(verts, faces, weight, rgb(s.leg_color), "leather")
