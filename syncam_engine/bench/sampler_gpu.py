# SPDX-License-Identifier: Apache-2.0
"""The GPU part of `syncam bench sampler`: the 1.3B layout with random weights at full size.

FLOPs are counted from the sizes (multiply and add are two): projections, feed-forward, the three
attentions; the chip's own matmul rate is measured beside it on a square of the same dtype.
"""

from __future__ import annotations

import statistics
import time

import torch

from syncam_engine.model.interfaces import SPATIAL_STRIDE, latent_frame_count
from syncam_engine.model.presets import TransformerConfig

VIEWS, FRAMES, ROUNDS = 4, 81, 3
SIZES = ((832, 480), (672, 384))
TEXT_TOKENS = 512


def measure_gpu(config: TransformerConfig) -> dict:
    """Return the matmul rate and, for each size, seconds a guided step, TFLOP/s, share, peak.

    The two guidance branches run as one batch where memory allows, else one after the other.
    """
    from syncam_engine.bench.sampler import make_case

    device = torch.device("cuda")
    matmul = matmul_tflops(device)
    steps = []
    for width, height in SIZES:
        shape = (
            VIEWS,
            config.in_channels,
            latent_frame_count(FRAMES),
            height // SPATIAL_STRIDE,
            width // SPATIAL_STRIDE,
        )
        case = make_case(config, shape, device, torch.bfloat16)
        try:
            steps.append(_measure(case, shape, (width, height), config, matmul, rows_at_once=64))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            steps.append(_measure(case, shape, (width, height), config, matmul, rows_at_once=1))
        del case
        torch.cuda.empty_cache()
    return {"name": torch.cuda.get_device_name(device), "matmul_tflops": matmul, "steps": steps}


def _measure(case, shape, size, config, matmul: float, rows_at_once: int) -> dict:
    denoiser = case.denoiser(rows_at_once=rows_at_once)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    with torch.no_grad():
        for _ in range(1 + ROUNDS):  # the first also fills what a request keeps
            torch.cuda.synchronize()
            start = time.perf_counter()
            denoiser(case.z_VCFHW, 0.7)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[1:])
    flops = 2 * forward_flops(config, shape)
    return {
        "size": f"{size[0]}x{size[1]}",
        "views": VIEWS,
        "frames": FRAMES,
        "branches_at_once": 2 if rows_at_once > 1 else 1,
        "seconds": step_s,
        "tflop": flops / 1e12,
        "tflops": flops / step_s / 1e12,
        "share_of_matmul": flops / step_s / 1e12 / matmul,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def forward_flops(config: TransformerConfig, shape: tuple[int, ...]) -> float:
    """Return the FLOPs of one branch's forward for latents [V, C, F, H, W]; text keys are kept."""
    views, _, frames, rows, columns = shape
    d, spatial = config.width, rows * columns // 4
    tokens = views * frames * spatial
    linear = 2 * tokens * d * (4 * d + 4 * d + d + 2 * d + 2 * config.ffn_dim)
    self_attention = 4 * views * (frames * spatial) ** 2 * d
    view_attention = 4 * frames * (views * spatial) ** 2 * d
    cross_attention = 4 * tokens * TEXT_TOKENS * d
    return config.num_layers * (linear + self_attention + view_attention + cross_attention)


def matmul_tflops(device: torch.device, side: int = 8192) -> float:
    """Return the measured rate of a bfloat16 matmul, the median of ten."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.matmul(a, b)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(seconds[3:]) / 1e12
