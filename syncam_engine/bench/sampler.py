# SPDX-License-Identifier: Apache-2.0
"""`syncam bench sampler`: a guided step, the straightforward way against ours; options; GPU rates.

On a CPU: 4 views, d 256, 8 heads, 12 layers, 512 text rows, the straightforward way
(`plain_step.py`) and ours interleaved in one run, median of five; at 5 x 12 x 22 tokens a view
(`cpu_step`, which has a target) and at latents of that size, 5 x 6 x 11 tokens (`cpu_step_small`,
where what a request keeps weighs more). Beside it, how much of either is matrix products and
attention, which both must do. On a GPU: the 1.3B layout with random weights, 4 views, 81 frames,
832x480 and 672x384: seconds a step, TFLOP/s, share of the chip's measured matmul rate, peak memory.

The exit code is 1 where the target was measured and missed.

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
from syncam_engine.bench.sampler_options import measure_options
from syncam_engine.model.loading import load_transformer
from syncam_engine.model.presets import WAN_1_3B, TransformerConfig
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import text_guidance

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
"""Of `cpu_step`."""
SHARED_KERNELS = (
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::addmm", "aten::mm", "aten::bmm",
    "mkldnn::_linear_pointwise", "aten::mkldnn_convolution",
)  # fmt: skip
"""Attention and matrix products as the profiler names them."""


@dataclass(frozen=True)
class Case:
    """A network and a request for it."""

    config: TransformerConfig
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
    parser.add_argument("--compiled", action="store_true", help="also torch.compile (minutes)")
    parser.add_argument("--small", action="store_true", help="toy sizes, to see that it runs")


def run(args: argparse.Namespace) -> int:
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_num_threads(args.threads)
    config, shapes = CPU_CONFIG, {"cpu_step": CPU_SHAPE, "cpu_step_small": CPU_SHAPE_SMALL}
    if args.small:
        config = replace(config, num_layers=2)
        shapes = {"cpu_step_small": (2, 16, 2, 8, 12)}
    elif args.grid != "both":
        shapes = {k: v for k, v in shapes.items() if k.endswith("small") == (args.grid == "small")}
    result: dict = {}
    cpu = torch.device("cpu")
    for name, shape in shapes.items():
        result[name] = compare(make_case(config, shape, cpu, torch.float32), args.rounds)
    if "cpu_step" in result:
        result["target"] = {
            "ratio": TARGET_RATIO,
            "reached": result["cpu_step"]["ratio"] >= TARGET_RATIO,
        }
    if device.type == "cuda":
        from syncam_engine.bench.sampler_gpu import measure_gpu

        result["gpu"] = measure_gpu(WAN_1_3B.transformer, device, option_steps=args.steps)
    elif not args.no_options:
        shape = shapes.get("cpu_step_small", CPU_SHAPE_SMALL)
        result["options"] = measure_options(
            make_case(config, shape, cpu, torch.float32), args.steps
        )
    if args.json:
        print(json.dumps(result))
    else:
        print_result(result)
    return 0 if result.get("target", {}).get("reached", True) else 1


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
    return Case(config, model, torch.randn(shape).to(device), conditions)


def compare(case: Case, rounds: int) -> dict:
    """Return seconds a guided step, plain and ours, interleaved, and the error between them."""
    c = case.conditions
    ours = case.denoiser()
    plain_model = copy.deepcopy(case.model)
    plain_model.set_fused(False)

    def plain_step() -> torch.Tensor:
        return plain_guided_velocity(
            plain_model, case.z_VCFHW, 700.0, c.prompt_LD, c.negative_LD, c.cameras_VFSR, SCALE
        )

    def our_step() -> torch.Tensor:
        with torch.no_grad():
            return ours(case.z_VCFHW, 0.7)

    expected, got = plain_step(), our_step()  # also fills what a request keeps after its first step
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    processor: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for name, step in (("plain", plain_step), ("ours", our_step)):
            start = time.process_time()
            seconds[name].append(timed(step))
            processor[name].append(time.process_time() - start)
    plain_s, ours_s = (statistics.median(seconds[name]) for name in ("plain", "ours"))
    plain_cpu_s, ours_cpu_s = (statistics.median(processor[name]) for name in ("plain", "ours"))
    plain_share, our_share = shared_kernels(plain_step), shared_kernels(our_step)
    return {
        "views": case.z_VCFHW.shape[0],
        "tokens": case.z_VCFHW[:, 0].numel() // 4,
        "plain_s": plain_s,
        "ours_s": ours_s,
        "ratio": plain_s / ours_s,
        "plain_processor_s": plain_cpu_s,
        "ours_processor_s": ours_cpu_s,
        "processor_ratio": plain_cpu_s / ours_cpu_s,
        "ratios": [p / o for p, o in zip(seconds["plain"], seconds["ours"], strict=True)],
        "plain_share_in_shared_kernels": plain_share,
        "ours_share_in_shared_kernels": our_share,
        "ratio_were_the_rest_free": plain_cpu_s / (ours_cpu_s * our_share),
        "max_error": float((expected - got).abs().max()),
        "max_value": float(expected.abs().max()),
        "threads": torch.get_num_threads(),
    }


def shared_kernels(step: Callable[[], object]) -> float:
    """Return the share of a step's processor time in attention and matrix products."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(times.get(name, 0.0) for name in SHARED_KERNELS) / sum(times.values())


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
        print(
            f"  in attention and matrix products: plain "
            f"{step['plain_share_in_shared_kernels']:.0%}, ours "
            f"{step['ours_share_in_shared_kernels']:.0%}; were the rest of ours free: "
            f"{step['ratio_were_the_rest_free']:.2f}x"
        )
    if "target" in result:
        said = "reached" if result["target"]["reached"] else "NOT reached"
        print(f"target {result['target']['ratio']}x: {said}")
    gpu = result.get("gpu", {})
    for row in [*result.get("options", []), *gpu.get("options", [])]:
        if "reason" in row:
            print(f"  {row['option']:30} not measured: {row['reason']}")
            continue
        print(
            f"  {row['option']:30} {row['seconds']:7.2f} s  {row['speed_up']:5.2f}x  "
            f"error {row['relative_error']:.2e}"
        )
    for row in gpu.get("steps", []):
        print(
            f"GPU {row['size']}: {row['seconds']:.2f} s a step, {row['tflops']:.0f} TFLOP/s "
            f"({row['share_of_matmul']:.0%} of measured matmul), peak {row['peak_gib']:.1f} GiB"
        )
