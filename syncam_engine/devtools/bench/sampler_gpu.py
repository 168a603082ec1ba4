# SPDX-License-Identifier: Apache-2.0
"""The GPU part of `syncam bench sampler`: the 1.3B layout with random weights at full size.

FLOPs are counted from the sizes (multiply and add are two): projections, feed-forward, the three
attentions, those that a step really does (padding counts once, branches share their start); the
chip's own matmul rate is measured beside it on a square of the same dtype.
"""

from __future__ import annotations

import statistics
import time

import torch

from syncam_engine.devtools.bench.sampler_options import measure_options, synchronize
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
    compiled: bool = False,
    matmul_side: int = 8192,
) -> dict:
    """Return the matmul rate and, for each size, seconds a guided step, TFLOP/s, share, peak.

    The two guidance branches run as one batch where memory allows, else one after the other. The
    options are measured at the last size.
    """
    from syncam_engine.devtools.bench.sampler import make_case

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
        rows_at_once = 64
        row = _measure_or_none(case, config, rows_at_once)
        if row is None:
            _forget(device)
            rows_at_once = 1
            row = _measure(case, config, rows_at_once)
        row |= {"size": f"{width}x{height}", "share_of_matmul": row["tflops"] / matmul}
        steps.append(row)
        if option_steps and (width, height) == sizes[-1]:
            options = measure_options(
                case, option_steps, compiled=compiled, rows_at_once=rows_at_once
            )
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
    text_rows = denoiser.views[0].text_keys[0].key_BLhd.shape[1]
    flops = guided_step_flops(config, shape, text_rows, together=len(denoiser.batches) == 1)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "views": shape[0],
        "latent_frames": shape[2],
        "branches_at_once": 2 // len(denoiser.batches),
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
    return config.num_layers * sum(_block_flops(config, shape, TEXT_TOKENS))


def guided_step_flops(
    config: TransformerConfig, shape: tuple[int, ...], text_rows: int, *, together: bool
) -> float:
    """Return the FLOPs of our step of two branches that look at `text_rows` rows of text.

    `together`: in one batch, where what comes before the first cross-attention is computed once.
    """
    start, rest = _block_flops(config, shape, text_rows)
    return 2 * config.num_layers * (start + rest) - (start if together else 0)


def _block_flops(
    config: TransformerConfig, shape: tuple[int, ...], text_rows: int
) -> tuple[float, float]:
    """Return one block's FLOPs before its cross-attention, and from there on."""
    views, _, frames, rows, columns = shape
    d, spatial = config.width, rows * columns // 4
    tokens = views * frames * spatial
    start = 2 * tokens * d * (4 * d + 4 * d + d)
    start += 4 * views * (frames * spatial) ** 2 * d + 4 * frames * (views * spatial) ** 2 * d
    rest = 2 * tokens * d * (2 * d + 2 * config.ffn_dim) + 4 * tokens * text_rows * d
    return start, rest


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
