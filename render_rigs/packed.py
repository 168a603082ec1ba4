# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards of small raw clips for training the preview model: lossless, many scenes a file.

``shard-00012.npz`` holds scenes 12*S .. 13*S-1 of the set:
  frames       uint8   [S,V,T,H,W,3]  sRGB
  K            float64 [S,V,3,3]      pixels, origin top-left
  c2w_cv_m     float64 [S,V,4,4]      OpenCV axes, metres, Z up, absolute
  captions, details, places, actions  unicode [S]
  scene, seed  int64   [S]
  subject_m    float32 [S,T,3]        root of the first subject
  fps          int64   []
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


def write_shard(path: Path, spec: RenderSpec, scenes: list[Scene], frames: np.ndarray) -> None:
    """Write one shard; ``frames`` is uint8 [S,V,T,H,W,3]."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with open(partial, "wb") as file:
        np.savez(
            file,
            frames=frames,
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
