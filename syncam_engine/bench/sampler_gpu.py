# SPDX-License-Identifier: Apache-2.0
"""The GPU part of `syncam bench sampler`: the 1.3B layout with random weights at full size.

FLOPs are counted from the sizes (multiply and add are two): projections, feed-forward, the three
attentions; the chip's own matmul rate is measured beside it on a square of the same dtype.
"""

from __future__ import annotations

import statistics
import time

import torch

from syncam_engine.bench.sampler_options import measure_options, synchronize
from syncam_engine.model.interfaces import SPATIAL_STRIDE, latent_frame_count
from syncam_engine.model.presets import TransformerConfig

VIEWS, FRAMES, ROUNDS = 4, 81, 3
SIZES = ((832, 480), (672, 384))
TEXT_TOKENS = 512


def measure_gpu(
    config: TransformerConfig,
    device: torch.device,
    *,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    frames: int = FRAMES,
    option_steps: int = 0,
    matmul_side: int = 8192,
) -> dict:
    """Return the matmul rate and, for each size, seconds a guided step, TFLOP/s, share, peak.

    The two guidance branches run as one batch where memory allows, else one after the other. The
    options are measured at the last size.
    """
    from syncam_engine.bench.sampler import make_case

    matmul = matmul_tflops(device, matmul_side)
    steps, options = [], []
    for width, height in sizes:
        shape = (
            VIEWS,
            config.in_channels,
            latent_frame_count(frames),
            height // SPATIAL_STRIDE,
            width // SPATIAL_STRIDE,
        )
        case = make_case(config, shape, device, torch.bfloat16)
        row = _measure_or_none(case, config, rows_at_once=64)
        if row is None:
            _forget(device)
            row = _measure(case, config, rows_at_once=1)
        row |= {"size": f"{width}x{height}", "share_of_matmul": row["tflops"] / matmul}
        steps.append(row)
        if option_steps and (width, height) == sizes[-1]:
            options = measure_options(case, option_steps)
        del case
        _forget(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"name": name, "matmul_tflops": matmul, "steps": steps, "options": options}


def _measure_or_none(case, config: TransformerConfig, rows_at_once: int) -> dict | None:
    """Return the measurement, or None where it does not fit the device's memory."""
    try:
        return _measure(case, config, rows_at_once)
    except torch.OutOfMemoryError:
        return None


def _measure(case, config: TransformerConfig, rows_at_once: int) -> dict:
    device, shape = case.z_VCFHW.device, tuple(case.z_VCFHW.shape)
    denoiser = case.denoiser(rows_at_once=rows_at_once)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    with torch.no_grad():
        for _ in range(1 + ROUNDS):  # the first also fills what a request keeps
            synchronize(device)
            start = time.perf_counter()
            denoiser(case.z_VCFHW, 0.7)
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    step_s = statistics.median(seconds[1:])
    flops = 2 * forward_flops(config, shape)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "views": shape[0],
        "latent_frames": shape[2],
        "branches_at_once": 2 if rows_at_once > 1 else 1,
        "seconds": step_s,
        "tflop": flops / 1e12,
        "tflops": flops / step_s / 1e12,
        "peak_gib": peak / 2**30,
    }


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


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


def matmul_tflops(device: torch.device, side: int) -> float:
    """Return the measured rate of a bfloat16 matmul, the median of ten."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        synchronize(device)
        start = time.perf_counter()
        torch.matmul(a, b)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(seconds[3:]) / 1e12
