# SPDX-License-Identifier: Apache-2.0
"""`syncam bench sampler`: a guided step, the straightforward way against ours; options; GPU rates.

On a CPU: 4 views, d 256, 8 heads, 12 layers, 512 text rows, the straightforward way
(`plain_step.py`, in float32) and ours interleaved in one run, median of five; at 5 x 12 x 22 tokens
a view (`cpu_step`, which has a target) and at latents of that size, 5 x 6 x 11 tokens
(`cpu_step_small`, where what a request keeps weighs more). Ours runs in float32, like for like, and
on a processor with bfloat16 products also with these, as it does there by default. Beside it, how
much of either is matrix products and attention, which both must do. On a GPU: the 1.3B layout with
random weights, 4 views, 81 frames, 832x480 and 672x384: seconds a step, TFLOP/s, share of the
chip's measured matmul rate, peak memory.

The target is judged on what runs by default on this processor. The exit code is 1 where it was
measured and missed.

Shape legend: V views, F latent frames, C channels, H, W latent rows and columns,
L text tokens, D text width.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from syncam_engine.devtools.bench.plain_step import plain_guided_velocity
from syncam_engine.devtools.bench.sampler_options import measure_options
from syncam_engine.model.bfloat16_products import multiply_in_bfloat16
from syncam_engine.model.presets import WAN_1_3B, TransformerConfig
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.model.transformer_files import load_transformer
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import text_guidance
from syncam_engine.sampling.placement import Placement

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
"""Of `cpu_step`, as it runs by default."""
SHARED_KERNELS = (
    "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::addmm", "aten::mm", "aten::bmm",
    "aten::_softmax", "mkldnn::_linear_pointwise", "aten::mkldnn_convolution",
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
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(the best one)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="interleaved rounds; their median (5)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of a CPU (1)")
    parser.add_argument(
        "--steps", type=int, default=12, help="steps of the runs of the options (12)"
    )
    parser.add_argument(
        "--grid",
        choices=("both", "full", "small"),
        default="both",
        help="tokens a view: 5 x 12 x 22, 5 x 6 x 11, or both (both)",
    )
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
        result["target"] = judged(result["cpu_step"])
    if device.type == "cuda":
        from syncam_engine.devtools.bench.sampler_gpu import measure_gpu

        size = {"sizes": ((128, 96),), "frames": 5, "matmul_side": 1024} if args.small else {}
        result["gpu"] = measure_gpu(
            config if args.small else WAN_1_3B.transformer,
            device,
            option_steps=0 if args.no_options else args.steps,
            compiled=args.compiled,
            **size,
        )
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
    """Return the plain step and ours, interleaved: times, ratios and errors against the plain one.

    "ours" has a row for float32 and, where the processor has them, for bfloat16 products; "default"
    names the one that a user of this machine gets.
    """
    c = case.conditions
    plain_model = copy.deepcopy(case.model)
    plain_model.set_fused(False)
    models = {"float32": case.model}
    if Placement(device="cpu", dtype="float32", matmul_dtype="auto").multiplies_in_bfloat16:
        models["bfloat16"] = copy.deepcopy(case.model)
        multiply_in_bfloat16(models["bfloat16"].blocks)
    denoisers = {name: replace(case, model=model).denoiser() for name, model in models.items()}

    def plain_step() -> torch.Tensor:
        return plain_guided_velocity(
            plain_model, case.z_VCFHW, 700.0, c.prompt_LD, c.negative_LD, c.cameras_VFSR, SCALE
        )

    def our_step(name: str) -> torch.Tensor:
        with torch.no_grad():
            return denoisers[name](case.z_VCFHW, 0.7)

    steps = {"plain": plain_step, **{name: partial(our_step, name) for name in models}}
    outs = {name: step() for name, step in steps.items()}  # the first also fills what is kept
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(timed(step))
    rows = {}
    for name, step in steps.items():
        seconds, processor_s = (
            statistics.median(column) for column in zip(*times[name], strict=True)
        )
        rows[name] = {
            "seconds": seconds,
            "processor_s": processor_s,
            "share_in_shared_kernels": shared_kernels(step),
        }
    plain = rows.pop("plain")
    for name, row in rows.items():
        error = outs[name] - outs["plain"]
        row |= {
            "ratio": plain["seconds"] / row["seconds"],
            "processor_ratio": plain["processor_s"] / row["processor_s"],
            "ratios": [p[0] / o[0] for p, o in zip(times["plain"], times[name], strict=True)],
            "ratio_were_the_rest_free": plain["processor_s"]
            / (row["processor_s"] * row["share_in_shared_kernels"]),
            "max_error": float(error.abs().max()),
            "relative_error": float(error.norm() / outs["plain"].norm()),
        }
    return {
        "views": case.z_VCFHW.shape[0],
        "tokens": case.z_VCFHW[:, 0].numel() // 4,
        "threads": torch.get_num_threads(),
        "max_value": float(outs["plain"].abs().max()),
        "plain": plain,
        "ours": rows,
        "default": list(rows)[-1],
    }


def judged(step: dict) -> dict:
    """Return the target and what the way that runs by default makes of it, with its two parts."""
    default, exact = step["ours"][step["default"]]["ratio"], step["ours"]["float32"]["ratio"]
    return {
        "ratio": TARGET_RATIO,
        "products_in": step["default"],
        "measured": default,
        "like_for_like_float32": exact,
        "from_precision": default / exact,
        "reached": default >= TARGET_RATIO,
    }


def shared_kernels(step: Callable[[], object]) -> float:
    """Return the share of a step's processor time in attention and matrix products."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler logs its stages on stderr
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(times.get(name, 0.0) for name in SHARED_KERNELS) / sum(times.values())


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return a call's (seconds, processor seconds)."""
    start, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - processor


def print_result(result: dict) -> None:
    for step in (result[name] for name in ("cpu_step", "cpu_step_small") if name in result):
        plain = step["plain"]
        print(
            f"guided step, {step['views']} views, {step['tokens']:,} tokens, {step['threads']} "
            f"thread(s): plain in float32 {plain['seconds']:.3f} s, "
            f"{plain['share_in_shared_kernels']:.0%} of it in attention and matrix products"
        )
        for name, row in step["ours"].items():
            said = "like for like, float32" if name == "float32" else f"{name} products"
            print(
                f"  ours, {said:24} {row['seconds']:.3f} s  {row['ratio']:.2f}x (processor time "
                f"{row['processor_ratio']:.2f}x)  error {row['max_error']:.1e} of "
                f"{step['max_value']:.1f}  {row['share_in_shared_kernels']:.0%} in attention and "
                f"products; were the rest free: {row['ratio_were_the_rest_free']:.2f}x"
            )
    if "target" in result:
        target = result["target"]
        said = "reached" if target["reached"] else "NOT reached"
        print(
            f"target {target['ratio']}x, by what runs here by default ({target['products_in']} "
            f"products): {said}, {target['measured']:.2f}x = "
            f"{target['like_for_like_float32']:.2f}x by the arithmetic, in float32, times "
            f"{target['from_precision']:.2f}x by the precision"
        )
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
