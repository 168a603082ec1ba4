# SPDX-License-Identifier: GPL-3.0-or-later
"""One seed for a set; every scene and every purpose in it gets its own independent stream."""

import random
import zlib

import numpy as np


def stream(seed: int, scene: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose ("place", "subject0" ...) of one scene.

    Streams do not depend on the order they are asked for, so adding a prop to a place moves no
    camera, and scene 731 is the same whether or not scene 730 was rendered.
    """
    return np.random.default_rng([seed, scene, zlib.crc32(purpose.encode())])


def plain_stream(seed: int, scene: int, purpose: str) -> random.Random:
    """The same as a ``random.Random``, for the samplers of ``syncam_engine.link``."""
    return random.Random(f"{seed}/{scene}/{purpose}")
