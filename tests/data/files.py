# SPDX-License-Identifier: Apache-2.0
"""Writes small files in the layouts that the readers read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.data.synthetic import BoxSource


def write_clip(path: Path, grey: list[int], size=(64, 48)) -> None:
    """A clip whose frame k is grey[k] all over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(15))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for value in grey:
            picture = np.full((size[1], size[0], 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def write_shard(path: Path, source: BoxSource) -> None:
    """A shard as `syncam render` writes it."""
    scenes = source.scenes
    frames = [
        source.read_pictures(i, range(s.cameras), range(s.frames)) for i, s in enumerate(scenes)
    ]
    with path.open("wb") as file:
        np.savez(
            file,
            frames=np.stack(frames),
            K=np.stack([s.K_CT33[:, 0] for s in scenes]).astype(np.float64),
            c2w_cv_m=np.stack([s.c2w_cv_m_CT44[:, 0] for s in scenes]).astype(np.float64),
            captions=np.array([s.captions[0] for s in scenes]),
            scene=np.arange(len(scenes)),
            seed=np.arange(len(scenes)) + 70,
            fps=np.array(8),
        )
