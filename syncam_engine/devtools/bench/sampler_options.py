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
from functools import partial
from typing import TYPE_CHECKING

import torch

from syncam_engine.model.bfloat16_products import multiply_in_bfloat16
from syncam_engine.model.hub_parts import WanAutoencoder
from syncam_engine.model.parts import Parts
from syncam_engine.model.transformer_files import load_transformer
from syncam_engine.sampling.placement import (
    STEP_CACHES,
    Placement,
    StepCache,
    apply_placement,
    leave_device,
    step_cache,
)
from syncam_engine.sampling.sampler import sample
from syncam_engine.sampling.schedule import make_sigmas

if TYPE_CHECKING:
    from syncam_engine.devtools.bench.sampler import Case

SHIFT = 5.0


@dataclass(frozen=True)
class Measured:
    """What one way of running gave."""

    seconds: float
    cost: float
    """What speeds are compared by: on a CPU processor time, which other work disturbs less."""
    out: torch.Tensor


def measure_options(
    case: Case, steps: int, *, compiled: bool = False, rows_at_once: int = 64
) -> list[dict]:
    """Return one row an option: seconds, speed-up and relative error, or the reason for none.

    On a CPU the speed-up is in processor time.

    The error is |option - exact| / |exact| of the clean latents, or of the decoded pictures.
    `compiled` adds torch.compile of the repeated block, which needs a C++ compiler on a CPU and
    takes its time. `rows_at_once`: of the exact run, for a device that holds no more.
    """
    device = case.z_VCFHW.device
    sigmas = make_sigmas(steps, SHIFT)

    def run(case: Case = case, **method) -> Measured:
        denoiser = case.denoiser(**{"rows_at_once": rows_at_once, **method})
        return measured(lambda: sample(denoiser, case.z_VCFHW, sigmas), device)

    exact = run()
    rows: list[dict] = []
    add = partial(_add, rows, exact)
    add("exact", lambda: exact)
    add("one branch at a time", lambda: run(rows_at_once=1))
    add("timesteps rounded to bf16", lambda: run(round_timestep_to_bf16=True))
    add("anchored pairs", lambda: run(pairs=True))
    case.model.set_fused(False)
    add("diffusers' own arithmetic", run)
    case.model.set_fused(True)
    for name in STEP_CACHES:
        add(f"step cache {name}", partial(_cached, case, steps, name, run))
    add("fp8 weights", lambda: _fp8(case, run))
    if device.type == "cpu" and case.model.dtype == torch.float32:
        mixed = copy.deepcopy(case.model)
        multiply_in_bfloat16(mixed.blocks)
        add("bf16 products", lambda: run(replace(case, model=mixed)))
    else:
        rows.append(_reason("bf16 products", "for a network in float32 on a CPU"))
    if case.model.dtype == torch.float32:
        state = {k: v.clone() for k, v in case.model.state_dict().items()}
        half = load_transformer(case.config, state, device, torch.bfloat16)
        add("bf16", lambda: run(replace(case, model=half)))
    else:
        rows.append(_reason("bf16", "the exact run of this device is bf16 already"))
    for offload in ("model", "group"):
        if device.type == "cpu":
            reason = "needs a GPU to move the weights to"
            rows.append(_reason(f"{offload} offload", reason))
        else:
            add(f"{offload} offload", partial(_offloaded, case, offload, run))
    if compiled:
        add("compiled blocks", lambda: _compiled(case, run))
    return [*rows, *measure_decoding(device)]


def _add(rows: list[dict], exact: Measured, name: str, call: Callable[[], Measured]) -> None:
    """Add the row of one way of running, or that this device has not the memory for it."""
    try:
        rows.append(_row(name, call(), exact))
    except torch.OutOfMemoryError:
        rows.append(_reason(name, "it does not fit the memory of this device"))


def _cached(case: Case, steps: int, name: StepCache, run: Callable[[], Measured]) -> Measured:
    placement = Placement(device=str(case.z_VCFHW.device), dtype="float32", step_cache=name)
    ratios: list[float] = []
    if name == "mag":  # its first request measures and skips nothing
        with step_cache(case.model, placement, steps, ratios):
            run()
    with step_cache(case.model, placement, steps, ratios):
        return run()


def _fp8(case: Case, run: Callable[[Case], Measured]) -> Measured:
    model = copy.deepcopy(case.model)
    model.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=case.model.patch_embedding.weight.dtype
    )
    return run(replace(case, model=model))


def _offloaded(case: Case, offload: str, run: Callable[[Case], Measured]) -> Measured:
    """Return a run whose weights move to the GPU and away, as `Placement.offload` says."""
    model = copy.deepcopy(case.model).to("cpu")
    parts = Parts(model, autoencoder=None, text_encoder=None, digest="")
    placement = Placement(device=str(case.z_VCFHW.device), dtype="bfloat16", offload=offload)
    apply_placement(parts, placement)
    try:
        return run(replace(case, model=model))
    finally:
        leave_device(parts)


def _compiled(case: Case, run: Callable[[Case], Measured]) -> Measured:
    model = copy.deepcopy(case.model)
    model.compile_repeated_blocks(fullgraph=True)
    run(replace(case, model=model))  # compiles
    return run(replace(case, model=model))


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

    try:
        decode()  # the first call also chooses kernels
        exact = decode()
    except torch.OutOfMemoryError:
        return [_reason("decoding", "two clips at once do not fit the memory of this device")]
    rows: list[dict] = []
    _add(rows, exact, "decoding, exact", lambda: exact)
    vae.enable_slicing()
    _add(rows, exact, "decoding in slices", decode)
    if not on_gpu:  # tiles of a size that a small picture has several of
        vae.enable_tiling(64, 64, 48, 48)
    autoencoder.enable_tiling()
    _add(rows, exact, "decoding in slices and tiles", decode)
    return rows


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
