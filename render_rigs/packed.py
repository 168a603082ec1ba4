# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards of small raw clips for training the preview model: lossless, many scenes a file.

``shard-00012.npz`` holds scenes 12*S .. 13*S-1 of the set:
  frames       uint8   [S,V,T,H,W,3]  sRGB
  depth        float16 [S,V,T,H,W]    plane depth in metres, inf where nothing is
  albedo       uint8   [S,V,T,H,W,3]  sRGB of the surfaces' own colours, without light
  mask         uint8   [S,V,T,H,W]    0 place and sky, 1 and 2 the subjects
  normal       float16 [S,V,T,H,W,3]  flow float16 [S,V,T,H,W,2]
  K            float64 [S,V,3,3]      pixels, origin top-left
  c2w_cv_m     float64 [S,V,4,4]      OpenCV axes, metres, Z up, absolute
  captions, details, places, actions  unicode [S]
  scene, seed  int64   [S]
  subject_m    float32 [S,T,3]        root of the first subject
  fps          int64   []
Of the passes those that were asked for are there; ``film.PASS_FILES`` says what each one means.
The file appears by an atomic rename, so a file that exists is whole.
"""

import json
import os
from pathlib import Path

import numpy as np

from render_rigs.assemble import Scene
from render_rigs.spec import RenderSpec


def shard_scenes(spec: RenderSpec, shard: int) -> range:
    """The numbers of the scenes of a shard."""
    first = shard * spec.per_shard
    return range(first, min(first + spec.per_shard, spec.scenes))


def shard_path(out: Path, shard: int) -> Path:
    return Path(out) / f"shard-{shard:05d}.npz"


def compact(values: np.ndarray) -> np.ndarray:
    """A pass as shards hold it: half precision for what a scene's own folder keeps in single.

    Depth keeps 0.05% at any distance up to 65 km; what is farther is inf, as is "nothing there".
    """
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def write_shard(
    path: Path, spec: RenderSpec, scenes: list[Scene], taken: dict[str, np.ndarray]
) -> None:
    """Write one shard; ``taken`` holds "rgb" and the other passes, each [S,V,T,H,W(,C)]."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with open(partial, "wb") as file:
        np.savez(
            file,
            frames=taken["rgb"],
            **{name: compact(values) for name, values in taken.items() if name != "rgb"},
            K=np.array([[c.K_at(0) for c in s.cameras] for s in scenes]),
            c2w_cv_m=np.array([[c.c2w_cv_m_at(0) for c in s.cameras] for s in scenes]),
            captions=np.array([s.caption for s in scenes]),
            details=np.array([json.dumps([a.info["details"] for a in s.actors]) for s in scenes]),
            places=np.array([s.place.kind for s in scenes]),
            actions=np.array([s.actors[0].action for s in scenes]),
            scene=np.array([s.number for s in scenes]),
            seed=np.array([s.seed for s in scenes]),
            subject_m=np.array([s.actors[0].root_m for s in scenes], np.float32),
            fps=np.array(spec.fps),
        )
    os.replace(partial, path)
