# SPDX-License-Identifier: Apache-2.0
"""What each rank of test_view_parallel.py runs: the network and a guided step, spread and whole."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from syncam_engine.model.presets import CameraEncoding
from syncam_engine.model.view_parallel import ViewGroup
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import reference_guidance, text_guidance
from tests.model.networks import inputs, randomized, small_config


def worst(form: str, pattern: str, views: int, mode: str) -> tuple[float, float]:
    """Return (largest difference between spread and whole, largest value)."""
    encoding = CameraEncoding(encoding="plucker", pattern=pattern)
    config = small_config(mvs_form=form, camera_numbers=encoding.numbers)
    model = randomized(config)
    given = inputs(config, encoding, views, moving=pattern != "full")
    guidance = reference_guidance(3.0, 1.8) if mode == "reference" else text_guidance(4.0)
    # Two rows at once: the two branches part where a rank has two views, not where it has one.
    at_once = 2 if mode == "parted" else 64
    method = Method(guidance=guidance, pairs=mode == "pairs", rows_at_once=at_once)
    z = given["z_BVCFHW"][0]

    def conditions(mine: slice) -> Conditions:
        holds_reference = mode == "reference" and not mine.start
        return Conditions(
            prompt_LD=given["text_tokens_BLD"][0],
            negative_LD=given["text_tokens_BLD"][0] * 0.5,
            prompt_mask_L=None,
            negative_mask_L=None,
            cameras_VFSR=given["cameras_BVFSR"][0][mine],
            pattern_FhKK=given["pattern_FhKK"],
            reference_CFHW=z[0] * 0.7 if holds_reference else None,
            reference_noise_CFHW=z[0] if holds_reference else None,
        )

    with torch.no_grad():
        whole = Denoiser(model, conditions(slice(None)), method)(z, 0.6)
        group = ViewGroup.current(views)
        mine = slice(None) if mode == "pairs" else group.my_views
        spread = Denoiser(model, conditions(mine), method, group=group)(z[mine], 0.6)
        if mode != "pairs":
            spread = group.gather_views(spread)
    return float((whole - spread).abs().max()), float(whole.abs().max())


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        lines = []
        for case in sys.argv[2:]:
            form, pattern, views, mode = case.split(",")
            difference, largest = worst(form, pattern, int(views), mode)
            lines.append(f"{case} {dist.get_rank()} {difference:.3e} {largest:.3e}\n")
        # A file for each rank: lines of two processes on one pipe may run into each other.
        Path(sys.argv[1], f"rank{dist.get_rank()}.txt").write_text("".join(lines))
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
