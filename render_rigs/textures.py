# SPDX-License-Identifier: GPL-3.0-or-later
"""Tileable surface pictures made with numpy: a detail that multiplies the mesh's own colour.

``texture(name)`` returns linear multipliers [S,S,3] with a mean near 1 and the metres one tile
covers. Only noise with a fixed seed is used: a surface looks the same in every scene.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

SIZE = 256


@dataclass(frozen=True, slots=True)
class Surface:
    tile_m: float
    roughness: float = 0.8
    metallic: float = 0.0
    emission: float = 0.0
    alpha: float = 1.0


SURFACES = {
    "plain": Surface(1.0, 0.7),
    "skin": Surface(0.4, 0.55),
    "hair": Surface(0.3, 0.5),
    "fabric": Surface(0.22, 0.9),
    "leather": Surface(0.5, 0.45),
    "fur": Surface(0.35, 0.95),
    "plastic": Surface(1.0, 0.35),
    "paint": Surface(1.5, 0.35),
    "metal": Surface(0.8, 0.35, 0.9),
    "glass": Surface(3.0, 0.06),
    "water": Surface(3.0, 0.08),
    "lamp": Surface(1.0, emission=6.0),
    "screen": Surface(1.0, emission=1.2),
    "foliage": Surface(0.8, 0.8),
    "bark": Surface(0.9, 0.95),
    "grass": Surface(2.4, 0.95),
    "dirt": Surface(2.8, 0.95),
    "sand": Surface(2.6, 0.95),
    "snow": Surface(3.0, 0.8),
    "asphalt": Surface(1.8, 0.9),
    "concrete": Surface(2.5, 0.85),
    "plaster": Surface(2.6, 0.9),
    "brick": Surface(1.0, 0.9),
    "cobble": Surface(1.2, 0.75),
    "paving": Surface(2.0, 0.75),
    "slabs": Surface(3.2, 0.65),
    "tiles": Surface(1.6, 0.3),
    "planks": Surface(1.6, 0.55),
    "parquet": Surface(1.6, 0.4),
    "wood": Surface(1.2, 0.6),
    "carpet": Surface(0.6, 1.0),
    "rug": Surface(2.0, 1.0),
    "roof": Surface(1.2, 0.8),
    "rock": Surface(2.2, 0.9),
    "corrugated": Surface(0.8, 0.4, 0.5),
    "stripes": Surface(0.8, 0.85),
    "marble": Surface(2.5, 0.25),
    "hay": Surface(0.8, 0.95),
    "leaves": Surface(1.6, 0.95),
}


def noise(beta: float, seed: int, size: int = SIZE, stretch=(1.0, 1.0)) -> np.ndarray:
    """Tileable noise [S,S] with power falling as f^-beta, zero mean, unit deviation."""
    rng = np.random.default_rng(seed)
    fy = np.fft.fftfreq(size)[:, None] * stretch[0]
    fx = np.fft.fftfreq(size)[None] * stretch[1]
    f = np.sqrt(fx * fx + fy * fy)
    f[0, 0] = np.inf
    white = np.fft.fft2(rng.standard_normal((size, size)))
    out = np.fft.ifft2(white * (f * size) ** (-beta / 2)).real
    return out / out.std()


def _grid():
    x = (np.arange(SIZE) + 0.5) / SIZE
    return np.meshgrid(x, x)


def _courses(columns: int, rows: int, gap: float, seed: int, offset: float, bond=True):
    """Bricks or tiles: (mortar mask [S,S] 0..1, one random number a stone [S,S])."""
    u, v = _grid()
    row = np.floor(v * rows)
    shift = (row % 2) * offset if bond else 0
    cu = u * columns + shift
    cell = np.floor(cu) % columns
    du, dv = np.abs(cu - np.floor(cu) - 0.5), np.abs(v * rows - row - 0.5)
    mortar = np.maximum(du > 0.5 - gap, dv > 0.5 - gap * rows / columns)
    value = np.random.default_rng(seed).standard_normal((rows, columns))
    return mortar.astype(float), value[row.astype(int) % rows, cell.astype(int)]


def _cells(count: int, seed: int):
    """Tileable Voronoi: (distance to the edge [S,S] in cells, one random number a cell)."""
    rng = np.random.default_rng(seed)
    n = int(np.sqrt(count))
    jitter = rng.uniform(0.15, 0.85, (n, n, 2))
    value = rng.standard_normal((n, n))
    u, v = _grid()
    cu, cv = np.floor(u * n).astype(int), np.floor(v * n).astype(int)
    best = np.full((3, SIZE, SIZE), 9.0)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            i, j = (cu + di) % n, (cv + dj) % n
            px, py = cu + di + jitter[j, i, 0], cv + dj + jitter[j, i, 1]
            d = np.hypot(px - u * n, py - v * n)
            closer = d < best[0]
            best[1] = np.where(closer, best[0], np.minimum(best[1], d))
            best[2] = np.where(closer, value[j, i], best[2])
            best[0] = np.where(closer, d, best[0])
    return best[1] - best[0], best[2]


def _grey(x):
    return np.repeat(x[..., None], 3, -1)


@cache
def texture(name: str) -> np.ndarray:
    """Linear multipliers [S,S,3] float64, clipped to 0..2."""
    make = _MAKERS.get(name)
    out = make() if make else np.ones((SIZE, SIZE, 3))
    return np.clip(out, 0.0, 2.0)


def _soft(amount, beta=1.6, seed=1, stretch=(1.0, 1.0)):
    return lambda: _grey(1 + amount * noise(beta, seed, stretch=stretch))


def _grass():
    blades = noise(0.6, 3, stretch=(0.5, 1.6))
    patch = noise(2.6, 4)
    base = 1 + 0.26 * blades + 0.11 * patch
    return np.stack([base + 0.12 * patch, base, base - 0.1 * patch], -1)


def _dirt():
    base = 1 + 0.16 * noise(1.8, 5) + 0.1 * noise(0.5, 6)
    edge, _ = _cells(400, 7)
    return _grey(base * (1 + 0.12 * (edge > 0.35)))


def _sand():
    u, v = _grid()
    bend = noise(3.2, 8) * 0.06
    ripple = np.sin(2 * np.pi * (7 * v + bend * 6 + 2 * u))
    return _grey(1 + 0.07 * ripple + 0.08 * noise(1.0, 9))


def _asphalt():
    return _grey(1 + 0.22 * noise(0.3, 10) + 0.14 * noise(2.4, 11))


def _brick():
    mortar, stone = _courses(4, 13, 0.02, 12, 0.5)
    face = 1 + 0.2 * stone + 0.12 * noise(1.0, 13)
    rgb = np.stack([face, face * 0.97, face * 0.95], -1)
    return np.where(mortar[..., None] > 0, _grey(1.35 + 0.1 * noise(1.0, 14)), rgb)


def _cobble():
    edge, value = _cells(100, 15)
    dome = np.clip(edge * 2.2, 0, 1) ** 0.5
    return _grey((0.35 + 0.75 * dome) * (1 + 0.17 * value) * (1 + 0.08 * noise(0.8, 16)))


def _paving():
    mortar, value = _courses(4, 8, 0.018, 17, 0.5)
    face = 1.03 + 0.12 * value + 0.09 * noise(1.4, 18)
    return _grey(np.where(mortar > 0, 0.55, face))


def _slabs():
    mortar, value = _courses(3, 3, 0.012, 19, 0.0, bond=False)
    face = 1.02 + 0.09 * value + 0.08 * noise(2.0, 20)
    return _grey(np.where(mortar > 0, 0.6, face))


def _tiles():
    mortar, value = _courses(4, 4, 0.02, 21, 0.0, bond=False)
    u, v = _grid()
    check = (np.floor(u * 4) + np.floor(v * 4)) % 2
    return _grey(np.where(mortar > 0, 0.7, 1.06 + 0.03 * value - 0.22 * check))


def _planks(rows=8, columns=2):
    mortar, value = _courses(columns, rows, 0.006, 22, 0.37)
    grain = noise(1.6, 23, stretch=(0.4, 6.0))
    face = 1.0 + 0.16 * value + 0.13 * grain
    return np.stack([face * 1.02, face, face * (0.97 - 0.03 * value)], -1) * (
        1 - 0.6 * mortar[..., None]
    )


def _wood():
    grain = noise(1.7, 24, stretch=(0.35, 7.0))
    return _grey(1 + 0.17 * grain)


def _bark():
    grain = noise(1.5, 25, stretch=(5.0, 0.5))
    return _grey(1 + 0.35 * grain)


def _carpet():
    return _grey(1 + 0.2 * noise(0.2, 26) + 0.06 * noise(2.5, 27))


def _rug():
    u, v = _grid()
    ring = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5))
    band = (np.floor(ring * 18) % 3) / 3
    star = (np.cos(np.pi * 12 * u) * np.cos(np.pi * 12 * v)) > 0.3
    out = np.stack([0.95 + 0.25 * band, 0.85 + 0.35 * band, 0.85 + 0.3 * star], -1)
    return out * (1 + 0.12 * noise(0.3, 28))[..., None]


def _roof():
    mortar, value = _courses(6, 8, 0.03, 29, 0.5)
    _, v = _grid()
    shade = 0.75 + 0.4 * ((v * 8) % 1)
    return _grey((1 + 0.14 * value) * shade * (1 - 0.35 * mortar))


def _rock():
    edge, value = _cells(49, 30)
    return _grey((1 + 0.2 * noise(2.2, 31) + 0.12 * value) * np.clip(0.65 + edge, 0, 1.05))


def _corrugated():
    u, _ = _grid()
    return _grey(1 + 0.25 * np.sin(2 * np.pi * 8 * u) + 0.05 * noise(2.0, 32))


def _stripes():
    u, _ = _grid()
    return _grey(np.where((u * 4) % 1 < 0.5, 1.0, 1.9))


def _marble():
    vein = np.abs(np.sin(noise(2.8, 33) * 2.2))
    return _grey(0.82 + 0.25 * vein**0.3)


def _fur():
    return _grey(1 + 0.2 * noise(1.0, 34, stretch=(0.6, 2.5)))


def _leaves():
    edge, value = _cells(625, 35)
    base = 1 + 0.45 * value * np.clip(edge * 3, 0.4, 1)
    return np.stack([base * 1.1, base, base * 0.7], -1) * np.clip(0.5 + edge * 2, 0, 1.1)[..., None]


_MAKERS = {
    "skin": _soft(0.03, 1.2, 40),
    "hair": _soft(0.16, 1.0, 41, (0.5, 4.0)),
    "fabric": _soft(0.09, 0.6, 42),
    "leather": _soft(0.07, 1.4, 43),
    "fur": _fur,
    "paint": _soft(0.04, 2.4, 44),
    "metal": _soft(0.08, 2.0, 45),
    "water": _soft(0.2, 2.6, 46),
    "foliage": _soft(0.22, 0.8, 47),
    "bark": _bark,
    "grass": _grass,
    "dirt": _dirt,
    "sand": _sand,
    "snow": _soft(0.04, 2.4, 48),
    "asphalt": _asphalt,
    "concrete": _soft(0.1, 2.0, 49),
    "plaster": _soft(0.07, 2.2, 50),
    "brick": _brick,
    "cobble": _cobble,
    "paving": _paving,
    "slabs": _slabs,
    "tiles": _tiles,
    "planks": _planks,
    "parquet": lambda: _planks(10, 3),
    "wood": _wood,
    "carpet": _carpet,
    "rug": _rug,
    "roof": _roof,
    "rock": _rock,
    "corrugated": _corrugated,
    "stripes": _stripes,
    "marble": _marble,
    "leaves": _leaves,
    "hay": _soft(0.35, 0.8, 51, (0.4, 4.0)),
}
