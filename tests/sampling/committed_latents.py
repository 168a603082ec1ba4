# SPDX-License-Identifier: Apache-2.0
"""Latents that every mode ended with when they were committed: of the packaged model, and of a toy
Wan with seeded random weights.

    python -m tests.sampling.committed_latents

writes them anew, after a change that is meant to change the clips.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from syncam_engine.link.rig import Rig
from syncam_engine.sampling.pipeline import MultiViewPipeline, load_pipeline
from syncam_engine.sampling.placement import Placement
from tests.model.toy_base import preset_file, write_base
from tests.sampling.tiny import make_request, make_rig, randomize

FILE = Path(__file__).parent / "committed_latents.safetensors"
MODES = ("text", "previz", "reference", "moving")
EXACT = Placement(device="cpu", dtype="float32")
FRAMES = 5


class Last:
    """A `LatentKeeper` that only looks at the last latents."""

    every = 1000

    def load(self, steps: int, shape: tuple[int, ...]) -> tuple[int, None]:
        return 0, None

    def save(self, step: int, z_VCFHW: np.ndarray) -> None:
        self.z_VCFHW = z_VCFHW


def preview() -> MultiViewPipeline:
    return load_pipeline("preview", placement=EXACT)


def toy_wan() -> MultiViewPipeline:
    """A toy of the hub's kind; its text encoder's and autoencoder's weights are drawn here too, so
    that nothing hangs on how other packages start theirs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = load_pipeline(preset_file((folder, write_base(folder))), placement=EXACT)
    randomize(pipeline.parts.text_encoder.encoder, scale=0.3)
    randomize(pipeline.parts.autoencoder.vae, scale=0.3)
    return pipeline


MODELS = {"preview": preview, "toy_wan": toy_wan}


def latents(pipeline: MultiViewPipeline, mode: str) -> torch.Tensor:
    """Return some of the clean latents that a mode ends with, the anchor not the first camera."""
    rig = replace(make_rig(2), anchor=1)
    if mode == "moving":
        rig = moving(rig)
    blocks = np.random.default_rng(5).integers(0, 255, (2, FRAMES, 6, 10, 3))
    clips_VTHW3 = blocks.repeat(16, 2).repeat(16, 3).astype(np.uint8)
    given = {}
    if mode == "previz":
        given["start_clips_VTHW3"] = clips_VTHW3
    if mode == "reference":
        given["reference_clip_THW3"] = clips_VTHW3[0]
    request = make_request(
        rig,
        mode=mode if given else "text",
        steps=2,
        frames=FRAMES,
        fps=(15, 1),
        guidance_scale=None,
        prompt="a red dog runs in the street",
    )
    last = Last()
    pipeline.generate(request, keeper=last, **given)
    return torch.from_numpy(last.z_VCFHW[:, ::3, :, 1::3, ::4]).contiguous()


def moving(rig: Rig) -> Rig:
    """Return the rig with other cameras at every picture."""
    rng = random.Random(9)
    others = [make_rig(len(rig.cameras), seed=rng.randrange(1000)) for _ in range(FRAMES)]
    poses = zip(*([c.c2w_cv_m for c in other.cameras] for other in others), strict=True)
    cameras = zip(rig.cameras, poses, strict=True)
    return replace(rig, cameras=tuple(replace(c, c2w_cv_m=tuple(p)) for c, p in cameras))


if __name__ == "__main__":
    torch.set_num_threads(1)
    made = {}
    for name, load in MODELS.items():
        pipeline = load()
        made |= {f"{name}/{mode}": latents(pipeline, mode) for mode in MODES}
    save_file(made, FILE)
