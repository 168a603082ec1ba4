# SPDX-License-Identifier: GPL-3.0-or-later

"""What a four-legged animal looks like: proportions of each species, coats, horns, ears."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimalShape:
    """Lengths are shares of the height at the withers unless named otherwise."""

    species: str
    withers_m: float
    length: float
    """Shoulder to hip."""
    depth: float
    """Chest height."""
    width: float
    neck: float
    neck_angle_deg: float
    """Above the horizon."""
    neck_thick: float
    head: float
    snout: float
    snout_thick: float
    leg_thick: float
    tail: float
    tail_angle_deg: float
    tail_thick: float
    ears: str
    """pointed, floppy, round, long"""
    horns: str = "none"
    mane: bool = False
    color_name: str = "brown"
    color: str = "#7a5634"
    belly: str = "#b99b78"
    pattern: str = "plain"
    pattern_color: str = "#ffffff"
    paw: str = "#4a3826"
    belly_sag: float = 0.0
    udder: bool = False
    seed: int = 0

    def caption(self) -> str:
        article = "an" if self.color_name[0] in "aeiou" else "a"
        return f"{article} {self.color_name} {self.species}"


_SPECIES = {
    "dog": dict(
        withers_m=0.62,
        length=1.0,
        depth=0.42,
        width=0.27,
        neck=0.36,
        neck_angle_deg=48,
        neck_thick=0.13,
        head=0.16,
        snout=0.2,
        snout_thick=0.075,
        leg_thick=0.07,
        tail=0.5,
        tail_angle_deg=35,
        tail_thick=0.04,
        ears="floppy",
    ),
    "cat": dict(
        withers_m=0.32,
        length=1.1,
        depth=0.4,
        width=0.28,
        neck=0.26,
        neck_angle_deg=38,
        neck_thick=0.12,
        head=0.2,
        snout=0.07,
        snout_thick=0.09,
        leg_thick=0.07,
        tail=0.95,
        tail_angle_deg=25,
        tail_thick=0.04,
        ears="pointed",
    ),
    "horse": dict(
        withers_m=1.5,
        length=0.95,
        depth=0.42,
        width=0.3,
        neck=0.55,
        neck_angle_deg=50,
        neck_thick=0.14,
        head=0.13,
        snout=0.24,
        snout_thick=0.065,
        leg_thick=0.055,
        tail=0.5,
        tail_angle_deg=-65,
        tail_thick=0.06,
        ears="pointed",
        mane=True,
        paw="#2a2320",
    ),
    "cow": dict(
        withers_m=1.35,
        length=1.1,
        depth=0.52,
        width=0.38,
        neck=0.36,
        neck_angle_deg=18,
        neck_thick=0.17,
        head=0.15,
        snout=0.2,
        snout_thick=0.085,
        leg_thick=0.06,
        tail=0.55,
        tail_angle_deg=-82,
        tail_thick=0.025,
        ears="long",
        horns="short",
        belly_sag=0.06,
        udder=True,
        paw="#2d2723",
    ),
    "goat": dict(
        withers_m=0.75,
        length=0.95,
        depth=0.45,
        width=0.3,
        neck=0.36,
        neck_angle_deg=52,
        neck_thick=0.11,
        head=0.14,
        snout=0.17,
        snout_thick=0.065,
        leg_thick=0.05,
        tail=0.16,
        tail_angle_deg=35,
        tail_thick=0.04,
        ears="long",
        horns="curved",
        paw="#2a2522",
    ),
    "bear": dict(
        withers_m=1.1,
        length=1.15,
        depth=0.6,
        width=0.5,
        neck=0.32,
        neck_angle_deg=14,
        neck_thick=0.24,
        head=0.2,
        snout=0.19,
        snout_thick=0.1,
        leg_thick=0.125,
        tail=0.08,
        tail_angle_deg=-40,
        tail_thick=0.06,
        ears="round",
    ),
    "deer": dict(
        withers_m=1.1,
        length=0.95,
        depth=0.38,
        width=0.25,
        neck=0.5,
        neck_angle_deg=58,
        neck_thick=0.1,
        head=0.12,
        snout=0.17,
        snout_thick=0.055,
        leg_thick=0.045,
        tail=0.14,
        tail_angle_deg=-20,
        tail_thick=0.045,
        ears="long",
        horns="antlers",
        paw="#2a2522",
    ),
    "sheep": dict(
        withers_m=0.7,
        length=1.0,
        depth=0.56,
        width=0.46,
        neck=0.26,
        neck_angle_deg=36,
        neck_thick=0.18,
        head=0.15,
        snout=0.16,
        snout_thick=0.075,
        leg_thick=0.05,
        tail=0.16,
        tail_angle_deg=-70,
        tail_thick=0.06,
        ears="long",
        paw="#2d2723",
    ),
    "fox": dict(
        withers_m=0.4,
        length=1.1,
        depth=0.38,
        width=0.26,
        neck=0.3,
        neck_angle_deg=36,
        neck_thick=0.13,
        head=0.18,
        snout=0.22,
        snout_thick=0.06,
        leg_thick=0.06,
        tail=0.95,
        tail_angle_deg=-18,
        tail_thick=0.13,
        ears="pointed",
        paw="#201a18",
    ),
    "pig": dict(
        withers_m=0.7,
        length=1.15,
        depth=0.58,
        width=0.46,
        neck=0.2,
        neck_angle_deg=6,
        neck_thick=0.24,
        head=0.2,
        snout=0.2,
        snout_thick=0.1,
        leg_thick=0.07,
        tail=0.2,
        tail_angle_deg=20,
        tail_thick=0.025,
        ears="floppy",
        belly_sag=0.05,
    ),
}
_COATS = {  # species: (colour word, coat, belly, pattern, pattern colour)
    "dog": (
        ("brown", "#7a4f2c", "#a5764a", "plain", ""),
        ("black", "#1d1b1c", "#4a3a30", "plain", ""),
        ("golden", "#c08b45", "#d9b37a", "plain", ""),
        ("white", "#dedad0", "#e8e4da", "plain", ""),
        ("spotted", "#dedad0", "#e8e4da", "spots", "#2a2624"),
        ("grey", "#6d6c6e", "#9a9898", "saddle", "#38363a"),
    ),
    "cat": (
        ("orange", "#c47a36", "#e0b583", "stripes", "#94521f"),
        ("black", "#1b1a1c", "#252326", "plain", ""),
        ("grey", "#7b7b80", "#a3a3a6", "stripes", "#4e4e54"),
        ("white", "#dfdcd4", "#ebe8e0", "plain", ""),
    ),
    "horse": (
        ("brown", "#6d4023", "#7d5233", "plain", ""),
        ("black", "#211d1c", "#2a2523", "plain", ""),
        ("white", "#d5d1c8", "#dcd8d0", "plain", ""),
        ("grey", "#8d8b88", "#a09e9a", "spots", "#b5b2ae"),
    ),
    "cow": (
        ("spotted", "#dcd8ce", "#dcd8ce", "spots", "#241f1e"),
        ("brown", "#7d4a2a", "#94613c", "plain", ""),
        ("black", "#22201f", "#2c2928", "plain", ""),
    ),
    "goat": (
        ("white", "#d8d3c6", "#e0dcd0", "plain", ""),
        ("brown", "#7b5636", "#a5855f", "saddle", "#4a3320"),
        ("grey", "#83807b", "#a19e98", "plain", ""),
    ),
    "bear": (
        ("brown", "#5b3c24", "#5b3c24", "plain", ""),
        ("black", "#211d1d", "#292424", "plain", ""),
        ("white", "#dbd6c8", "#dbd6c8", "plain", ""),
    ),
    "deer": (
        ("brown", "#94622f", "#cdb08a", "plain", ""),
        ("spotted", "#a06a35", "#d8bd96", "spots", "#e2d3b5"),
    ),
    "sheep": (
        ("white", "#d9d3c2", "#d9d3c2", "wool", ""),
        ("black", "#2b2727", "#2b2727", "wool", ""),
    ),
    "fox": (
        ("red", "#b5541f", "#e2d8ca", "plain", ""),
        ("grey", "#77716c", "#c9c3ba", "plain", ""),
    ),
    "pig": (
        ("pink", "#d39a8c", "#dcab9d", "plain", ""),
        ("spotted", "#d0a090", "#dcab9d", "spots", "#3a302d"),
    ),
}
SPECIES = tuple(_SPECIES)
LARGE = ("dog", "horse", "cow", "goat", "bear", "deer", "sheep")
"""Those that read at 160x96 from the hemisphere's distances."""


def draw_quadruped(rng: np.random.Generator, species: str | None = None) -> AnimalShape:
    """Draw one animal; proportions vary by a few percent, size by fifteen."""
    species = species or SPECIES[rng.integers(len(SPECIES))]
    values = dict(_SPECIES[species])
    coats = _COATS[species]
    name, coat, belly, pattern, other = coats[rng.integers(len(coats))]
    for key in ("length", "depth", "width", "neck", "head", "snout", "leg_thick", "tail"):
        values[key] *= rng.uniform(0.94, 1.06)
    values["withers_m"] *= rng.uniform(0.85, 1.15)
    shape = AnimalShape(
        species=species,
        **values,
        color_name=name,
        color=coat,
        belly=belly,
        pattern=pattern,
        pattern_color=other or "#ffffff",
        seed=int(rng.integers(2**31)),
    )
    if species == "dog" and rng.random() < 0.5:
        shape = replace(shape, ears="pointed")
    return shape
