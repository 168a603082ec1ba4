# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of day and weather: HDRI, sun and the words for them."""

import numpy as np

from render_rigs.scene import Light

_OUTDOOR = {
    # words: (hdri, strength, sun elevation, sun strength, sun colour, angle, zenith, horizon, key)
    "at noon": (
        "forest",
        0.55,
        (50, 68),
        4.2,
        (1.0, 0.96, 0.90),
        0.6,
        (0.12, 0.30, 0.75),
        (0.55, 0.70, 0.90),
        0.27,
    ),
    "in the morning": (
        "sunrise",
        0.6,
        (18, 32),
        3.6,
        (1.0, 0.86, 0.68),
        0.9,
        (0.20, 0.38, 0.72),
        (0.85, 0.75, 0.62),
        0.25,
    ),
    "at sunset": (
        "sunset",
        0.55,
        (11, 20),
        3.4,
        (1.0, 0.58, 0.30),
        1.2,
        (0.20, 0.22, 0.45),
        (1.10, 0.50, 0.22),
        0.21,
    ),
    "under an overcast sky": (
        "city",
        0.9,
        (45, 60),
        1.1,
        (1.0, 1.0, 1.0),
        25.0,
        (0.50, 0.55, 0.62),
        (0.72, 0.75, 0.78),
        0.22,
    ),
    "at dusk": (
        "night",
        1.6,
        (20, 40),
        0.35,
        (0.55, 0.66, 1.0),
        6.0,
        (0.03, 0.05, 0.14),
        (0.22, 0.16, 0.22),
        0.12,
    ),
}


def outdoor(rng: np.random.Generator, names=None, fast: bool = False) -> Light:
    """Draw a time of day for a place under the sky; a fast set has no dark ones."""
    names = list(names or _OUTDOOR)
    if fast:
        names = [n for n in names if n != "at dusk"]
    weights = np.array([0.35 if n == "at dusk" else 1.0 for n in names])
    words = names[rng.choice(len(names), p=weights / weights.sum())]
    hdri, strength, elevation, sun, color, angle, zenith, horizon, key = _OUTDOOR[words]
    return Light(
        words,
        hdri,
        strength,
        float(rng.uniform(0, 360)),
        float(rng.uniform(*elevation)),
        float(rng.uniform(0, 360)),
        sun,
        color,
        angle,
        zenith,
        horizon,
        key,
    )


def indoor(rng: np.random.Generator, words: str = "in soft daylight", key: float = 0.33) -> Light:
    """A room: even light, a low sun through the openings now and then."""
    return Light(
        words,
        "interior",
        1.0,
        float(rng.uniform(0, 360)),
        float(rng.uniform(25, 45)),
        float(rng.uniform(0, 360)),
        0.0,
        sky_color=(0.35, 0.55, 0.9),
        horizon_color=(0.75, 0.82, 0.9),
        key=key,
    )
