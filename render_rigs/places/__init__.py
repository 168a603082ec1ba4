# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of places, one module each: ``build(rng, fast) -> Place``."""

import importlib

import numpy as np

PLACES = (
    "plaza",
    "meadow",
    "beach",
    "street",
    "snow",
    "desert",
    "park",
    "courtyard",
    "forest",
    "market",
    "office",
    "living_room",
    "warehouse",
)


def build_place(kind: str, rng: np.random.Generator, fast: bool):
    """Build a place of a kind in ``PLACES``."""
    return importlib.import_module(f"render_rigs.places.{kind}").build(rng, fast)
