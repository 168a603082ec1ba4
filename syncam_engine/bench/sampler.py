# SPDX-License-Identifier: Apache-2.0
"""`syncam bench sampler`: a guided step, the plain way against ours; options; rates on a GPU.

On a CPU: 4 views, d 256, 8 heads, 12 layers, 512 text rows, plain and ours interleaved in one run,
median of five, wall and processor time; at 5 x 12 x 22 tokens a view (`cpu_step`) and at latents of
that size, 5 x 6 x 11 tokens, where what a request keeps weighs more (`cpu_step_small`). On a GPU:
the 1.3B layout with random weights, 4 views, 81 frames, 832x480 and 672x384: seconds a step,
TFLOP/s, share of the chip's measured matmul rate, peak memory.

Shape legend: V views, F latent frames, H, W latent rows and columns, L text tokens.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from syncam_engine.bench.plain_step import plain_guided_velocity
from syncam_engine.model.loading import load_transformer
from syncam_engine.model.presets import WAN_1_3B, TransformerConfig
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import text_guidance
from syncam_engine.sampling.placement import STEP_CACHES, Placement, step_cache
from syncam_engine.sampling.sampler import sample
from syncam_engine.sampling.schedule import make_sigmas

CPU_CONFIG = TransformerConfig(
    num_attention_heads=8,
    attention_head_dim=32,
    num_layers=12,
    ffn_dim=1024,
    in_channels=16,
    text_dim=4096,
    mvs_form="released",
)
CPU_SHAPE = (4, 16, 5, 24, 44)
CPU_SHAPE_SMALL = (4, 16, 5, 12, 22)
TEXT_TOKENS, PROMPT_TOKENS, NEGATIVE_TOKENS = 512, 80, 120
"""Wan's text: padded with zeros to 512 rows, which both ways attend to."""
SCALE = 5.0
TARGET_RATIO = 1.6


@dataclass(frozen=True)
class Case:
    """A network and a request for it."""

    model: MultiViewWanTransformer
    z_VCFHW: torch.Tensor
    conditions: Conditions

    def denoiser(self, **method) -> Denoiser:
        return Denoiser(
            self.model, self.conditions, Method(guidance=text_guidance(SCALE), **method)
        )


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), default=None)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; their median")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12, help="steps of the runs of the options")
    parser.add_argument("--grid", choices=("both", "full", "small"), default="both")
    parser.add_argument("--no-options", action="store_true", help="only plain against ours")
    parser.add_argument("--small", action="store_true", help="toy sizes, to see that it runs")


def run(args: argparse.Namespace) -> int:
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(args.threads)
    config, shapes = CPU_CONFIG, {"cpu_step_small": CPU_SHAPE_SMALL, "cpu_step": CPU_SHAPE}
    if args.small:
        config = replace(config, num_layers=2)
        shapes = {"cpu_step": (2, 16, 2, 8, 12)}
    if args.grid != "both":
        shapes = {k: v for k, v in shapes.items() if k.endswith("small") == (args.grid == "small")}
    result = {}
    for name, shape in shapes.items():
        case = make_case(config, shape, torch.device("cpu"), torch.float32)
        result[name] = compare(case, args.rounds)
        if not args.no_options and "options" not in result:
            result["options"] = measure_options(case, args.steps)
    if device == "cuda":
        from syncam_engine.bench.sampler_gpu import measure_gpu

        result["gpu"] = measure_gpu(WAN_1_3B.transformer)
    if args.json:
        print(json.dumps(result))
    else:
        print_result(result)
    return 0


def make_case(
    config: TransformerConfig,
    shape: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    seed: int = 0,
) -> Case:
    """Return random weights, every part at work, and a random request."""
    torch.manual_seed(seed)
    model = build_transformer(config)
    with torch.no_grad():
        for block in model.blocks:
            for layer in (block.mvs.camera_encoder, block.mvs.projector):
                torch.nn.init.normal_(layer.weight, std=0.02)
    if dtype != torch.float32 or device.type != "cpu":
        model = load_transformer(config, dict(model.state_dict()), device, dtype)
    model = model.eval().requires_grad_(False)
    views, _, frames = shape[:3]
    prompt_LD, negative_LD = torch.zeros(2, TEXT_TOKENS, config.text_dim)
    prompt_LD[:PROMPT_TOKENS].normal_()
    negative_LD[:NEGATIVE_TOKENS].normal_()
    conditions = Conditions(
        prompt_LD=prompt_LD.to(device, dtype),
        negative_LD=negative_LD.to(device, dtype),
        prompt_mask_L=None,
        negative_mask_L=None,
        cameras_VFSR=torch.randn(views, frames, 1, config.camera_numbers).to(device),
    )
    return Case(model, torch.randn(shape).to(device), conditions)


def compare(case: Case, rounds: int) -> dict:
    """Return seconds a guided step, plain and ours, interleaved, and the error between them."""
    c = case.conditions
    ours = case.denoiser()

    def plain_step() -> torch.Tensor:
        return plain_guided_velocity(
            case.model, case.z_VCFHW, 700.0, c.prompt_LD, c.negative_LD, c.cameras_VFSR, SCALE
        )

    def our_step() -> torch.Tensor:
        with torch.no_grad():
            return ours(case.z_VCFHW, 0.7)

    expected, got = plain_step(), our_step()  # also fills what a request keeps after its first step
    seconds, processor = {"plain": [], "ours": []}, {"plain": [], "ours": []}
    for _ in range(rounds):
        for name, step in (("plain", plain_step), ("ours", our_step)):
            start = time.process_time()
            seconds[name].append(timed(step))
            processor[name].append(time.process_time() - start)
    plain_s, ours_s = (statistics.median(seconds[name]) for name in ("plain", "ours"))
    plain_cpu_s, ours_cpu_s = (statistics.median(processor[name]) for name in ("plain", "ours"))
    return {
        "views": case.z_VCFHW.shape[0],
        "tokens": case.z_VCFHW[:, 0].numel() // 4,
        "plain_s": plain_s,
        "ours_s": ours_s,
        "ratio": plain_s / ours_s,
        "plain_processor_s": plain_cpu_s,
        "ours_processor_s": ours_cpu_s,
        "processor_ratio": plain_cpu_s / ours_cpu_s,
        "target_ratio": TARGET_RATIO,
        "ratios": [p / o for p, o in zip(seconds["plain"], seconds["ours"], strict=True)],
        "max_error": float((expected - got).abs().max()),
        "max_value": float(expected.abs().max()),
        "threads": torch.get_num_threads(),
    }


def measure_options(case: Case, steps: int) -> list[dict]:
    """Return speed and error of each documented option against the exact run of `steps` steps."""
    sigmas = make_sigmas(steps, 5.0)

    def whole_run(**method) -> torch.Tensor:
        return sample(case.denoiser(**method), case.z_VCFHW, sigmas)

    start = time.perf_counter()
    exact = whole_run()
    exact_s = time.perf_counter() - start
    rows = [{"option": "exact", "seconds": exact_s, "speed_up": 1.0, "relative_error": 0.0}]

    def row(name: str, run: Callable[[], torch.Tensor]) -> None:
        start = time.perf_counter()
        out = run()
        seconds = time.perf_counter() - start
        error = float((out - exact).norm() / exact.norm())
        rows.append(
            {
                "option": name,
                "seconds": seconds,
                "speed_up": exact_s / seconds,
                "relative_error": error,
            }
        )

    row("one branch at a time", lambda: whole_run(rows_at_once=1))
    row("timesteps rounded to bf16", lambda: whole_run(round_timestep_to_bf16=True))
    row("anchored pairs", lambda: whole_run(pairs=True))
    for name in STEP_CACHES:
        placement = Placement(device="cpu", dtype="float32", step_cache=name)
        ratios: list[float] = []
        if name == "mag":  # its first request measures and skips nothing
            with step_cache(case.model, placement, steps, ratios):
                whole_run()
        with step_cache(case.model, placement, steps, ratios):
            row(f"step cache {name}", whole_run)
    cast = replace(case, model=copy.deepcopy(case.model))
    cast.model.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=case.z_VCFHW.dtype
    )
    row("fp8 weights", lambda: sample(cast.denoiser(), case.z_VCFHW, sigmas))
    return rows


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def print_result(result: dict) -> None:
    for step in (result[name] for name in ("cpu_step", "cpu_step_small") if name in result):
        print(
            f"guided step, {step['views']} views, {step['tokens']:,} tokens, {step['threads']} "
            f"thread(s): plain {step['plain_s']:.3f} s, ours {step['ours_s']:.3f} s, "
            f"{step['ratio']:.2f}x (processor time {step['processor_ratio']:.2f}x); error "
            f"{step['max_error']:.1e} of {step['max_value']:.1f}"
        )
    for row in result.get("options", []):
        print(
            f"  {row['option']:28} {row['seconds']:7.2f} s  {row['speed_up']:5.2f}x  "
            f"error {row['relative_error']:.2e}"
        )
    for row in result.get("gpu", {}).get("steps", []):
        print(
            f"GPU {row['size']}: {row['seconds']:.2f} s a step, {row['tflops']:.0f} TFLOP/s "
            f"({row['share_of_matmul']:.0%} of measured matmul), peak {row['peak_gib']:.1f} GiB"
        )
