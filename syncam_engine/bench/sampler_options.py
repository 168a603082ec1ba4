# SPDX-License-Identifier: Apache-2.0
"""The documented options of `Placement`, one by one: speed and error against the exact run.

The transformer's options are whole runs of the sampler on one random request; the autoencoder's
are decodings of one random clip. What a machine cannot run is named with the reason.

Shape legend: V views, C channels, F latent frames, H, W latent rows and columns.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from syncam_engine.model.bfloat16_products import multiply_in_bfloat16
from syncam_engine.model.hub_parts import WanAutoencoder
from syncam_engine.model.loading import Parts, load_transformer
from syncam_engine.sampling.placement import (
    STEP_CACHES,
    Placement,
    apply_placement,
    leave_device,
    step_cache,
)
from syncam_engine.sampling.sampler import sample
from syncam_engine.sampling.schedule import make_sigmas

if TYPE_CHECKING:
    from syncam_engine.bench.sampler import Case

SHIFT = 5.0


@dataclass(frozen=True)
class Measured:
    """What one way of running gave."""

    seconds: float
    cost: float
    """What speeds are compared by: on a CPU processor time, which other work disturbs less."""
    out: torch.Tensor


def measure_options(case: Case, steps: int, *, compiled: bool = False) -> list[dict]:
    """Return one row an option: seconds, speed-up and relative error, or the reason for none.

    On a CPU the speed-up is in processor time.

    The error is |option - exact| / |exact| of the clean latents, or of the decoded pictures.
    `compiled` adds torch.compile of the repeated block, which needs a C++ compiler on a CPU and
    takes its time.
    """
    device = case.z_VCFHW.device
    sigmas = make_sigmas(steps, SHIFT)

    def run(case: Case = case, **method) -> Measured:
        return measured(lambda: sample(case.denoiser(**method), case.z_VCFHW, sigmas), device)

    exact = run()
    rows = [_row("exact", exact, exact)]
    for name, method in (
        ("one branch at a time", {"rows_at_once": 1}),
        ("timesteps rounded to bf16", {"round_timestep_to_bf16": True}),
        ("anchored pairs", {"pairs": True}),
    ):
        rows.append(_row(name, run(**method), exact))
    case.model.set_fused(False)
    rows.append(_row("diffusers' own arithmetic", run(), exact))
    case.model.set_fused(True)
    for name in STEP_CACHES:
        placement = Placement(device=str(device), dtype="float32", step_cache=name)
        ratios: list[float] = []
        if name == "mag":  # its first request measures and skips nothing
            with step_cache(case.model, placement, steps, ratios):
                run()
        with step_cache(case.model, placement, steps, ratios):
            rows.append(_row(f"step cache {name}", run(), exact))
    rows.append(_row("fp8 weights", _fp8(case, run), exact))
    if device.type == "cpu" and case.model.dtype == torch.float32:
        mixed = copy.deepcopy(case.model)
        multiply_in_bfloat16(mixed.blocks)
        rows.append(_row("bf16 products", run(replace(case, model=mixed)), exact))
    else:
        rows.append(_reason("bf16 products", "for a network in float32 on a CPU"))
    if case.model.dtype == torch.float32:
        state = {k: v.clone() for k, v in case.model.state_dict().items()}
        half = load_transformer(case.config, state, device, torch.bfloat16)
        rows.append(_row("bf16", run(replace(case, model=half)), exact))
    else:
        rows.append(_reason("bf16", "the exact run of this device is bf16 already"))
    rows += _offloads(case, run, exact)
    if compiled:
        model = copy.deepcopy(case.model)
        model.compile_repeated_blocks(fullgraph=True)
        run(replace(case, model=model))  # compiles
        rows.append(_row("compiled blocks", run(replace(case, model=model)), exact))
    return [*rows, *measure_decoding(device)]


def _fp8(case: Case, run: Callable[[Case], Measured]) -> Measured:
    model = copy.deepcopy(case.model)
    model.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=case.model.patch_embedding.weight.dtype
    )
    return run(replace(case, model=model))


def _offloads(case: Case, run: Callable[[Case], Measured], exact: Measured) -> list[dict]:
    """Return rows of model and group offload, which move weights to and from a GPU."""
    device = case.z_VCFHW.device
    rows = []
    for offload in ("model", "group"):
        name = f"{offload} offload"
        if device.type == "cpu":
            rows.append(_reason(name, "needs a GPU to move the weights to"))
            continue
        model = copy.deepcopy(case.model).to("cpu")
        parts = Parts(model, autoencoder=None, text_encoder=None, digest="")
        apply_placement(parts, Placement(device=str(device), dtype="bfloat16", offload=offload))
        rows.append(_row(name, run(replace(case, model=model)), exact))
        leave_device(parts)
    return rows


def measure_decoding(device: torch.device, clip: tuple[int, int, int] | None = None) -> list[dict]:
    """Return rows of decoding two random clips whole, in slices, and in tiles.

    On a GPU Wan's own autoencoder at 832x480, 21 latent frames; on a CPU a narrow one, small.
    """
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    on_gpu = device.type == "cuda"
    vae = AutoencoderKLWan(base_dim=96 if on_gpu else 8).to(device).eval().requires_grad_(False)
    autoencoder = WanAutoencoder(vae, device)
    frames, rows, columns = clip or ((21, 60, 104) if on_gpu else (2, 8, 12))
    z = torch.randn(2, autoencoder.z_channels, frames, rows, columns, device=device)

    def decode() -> Measured:
        with torch.no_grad():
            return measured(lambda: autoencoder.decode(z), device)

    decode()  # the first call also chooses kernels
    exact = decode()
    vae.enable_slicing()
    sliced = decode()
    if not on_gpu:  # tiles of a size that a small picture has several of
        vae.enable_tiling(64, 64, 48, 48)
    autoencoder.enable_tiling()
    return [
        _row("decoding, exact", exact, exact),
        _row("decoding in slices", sliced, exact),
        _row("decoding in slices and tiles", decode(), exact),
    ]


def measured(call: Callable[[], torch.Tensor], device: torch.device) -> Measured:
    """Return what a call gives and how long it took, on a GPU to the end of its work."""
    synchronize(device)
    start, processor = time.perf_counter(), time.process_time()
    out = call()
    synchronize(device)
    seconds, processor_s = time.perf_counter() - start, time.process_time() - processor
    return Measured(seconds, processor_s if device.type == "cpu" else seconds, out)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(name: str, run: Measured, exact: Measured) -> dict:
    return {
        "option": name,
        "seconds": run.seconds,
        "speed_up": exact.cost / run.cost,
        "relative_error": float((run.out - exact.out).norm() / exact.out.norm()),
    }


def _reason(name: str, reason: str) -> dict:
    return {"option": name, "reason": reason}
