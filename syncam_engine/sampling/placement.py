# SPDX-License-Identifier: Apache-2.0
"""Where the networks lie and how much is traded for memory or speed; all by diffusers' own means.

docs/model.md describes each option; `syncam bench sampler` prints its speed and its error against
the exact run. An engine takes them from SYNCAM_PLACEMENT (`Placement.default`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.bfloat16_products import has_bfloat16_hardware, multiply_in_bfloat16
from syncam_engine.model.kinds import kind_of
from syncam_engine.model.presets import Preset

if TYPE_CHECKING:
    from syncam_engine.model.parts import Parts
    from syncam_engine.model.transformer import MultiViewWanTransformer

StepCache = Literal["none", "first_block", "mag", "taylorseer"]
STEP_CACHES: tuple[StepCache, ...] = ("first_block", "mag", "taylorseer")


ENVIRONMENT = "SYNCAM_PLACEMENT"
"""Options of `Placement.default`, as in `matmul_dtype=float32 offload=group tiling=true`."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One way of running a preset. The defaults of the fields are exact."""

    device: str
    dtype: Literal["float32", "bfloat16"]
    matmul_dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """On a CPU, of a network in float32: what its matrix products are taken in
    (`bfloat16_products.py`). `auto`: bfloat16 where the processor has it in hardware."""
    offload: Literal["none", "model", "group"] = "none"
    """`model`: each network on the device only while it works; `group`: the transformer block by
    block, the text encoder layer by layer."""
    tiling: bool = False
    """Autoencoder in slices and tiles."""
    fp8: bool = False
    """Transformer weights stored in 8 bits, computed in `dtype`."""
    step_cache: StepCache = "none"
    """Skip what changes little from step to step; an approximation."""
    cache_threshold: float = 0.05
    """How much change `first_block` and `mag` let pass."""
    attention_backend: str | None = None
    """A name of diffusers' attention dispatcher; None is torch's own."""
    rows_at_once: int = 64
    """Views x guidance branches (x pairs) in one batch at most."""
    round_timestep_to_bf16: bool = False
    """As the released pipeline does; only to compare with it bit by bit."""
    fused: bool = True
    """False: diffusers' own operations in its own order, to compare with its models bit by bit."""

    def __post_init__(self) -> None:
        allowed = {
            "dtype": ("float32", "bfloat16"),
            "matmul_dtype": ("auto", "float32", "bfloat16"),
            "offload": ("none", "model", "group"),
            "step_cache": ("none", *STEP_CACHES),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(values)}"
                )
        if self.rows_at_once < 1:
            raise ValueError(f"rows_at_once is {self.rows_at_once}; it must be at least 1")
        moot = self.dtype == "bfloat16"
        if self.matmul_dtype == "bfloat16" and not (self._may_multiply_in_bfloat16 or moot):
            raise ValueError(
                "matmul_dtype is 'bfloat16'; that is for a network in float32 on a CPU, fused and "
                "without fp8: it must be 'auto' or 'float32' here"
            )

    @property
    def _may_multiply_in_bfloat16(self) -> bool:
        on_cpu = torch.device(self.device).type == "cpu"
        return on_cpu and self.dtype == "float32" and self.fused and not self.fp8

    @property
    def multiplies_in_bfloat16(self) -> bool:
        """Whether matrix products are taken in bfloat16 though the network is in float32.

        By what the processor has, never by a measurement: a machine gives the same clips always.
        """
        wanted = self.matmul_dtype == "bfloat16"
        if self.matmul_dtype == "auto":
            wanted = has_bfloat16_hardware()
        return wanted and self._may_multiply_in_bfloat16

    def as_used(self) -> dict[str, Any]:
        """Return every option as it takes effect, as plain data: what a result's metadata keeps.

        `matmul_dtype` is what products are taken in, and `device` only the kind: two devices of a
        kind give the same clips. On a CPU the threads belong to it, by which sums are split up.
        """
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        device = torch.device(self.device).type
        half = self.multiplies_in_bfloat16 or self.dtype == "bfloat16"
        used = {"device": device, "matmul_dtype": "bfloat16" if half else "float32"}
        threads = {"threads": torch.get_num_threads()} if device == "cpu" else {}
        return {**options, **used, **threads}

    @classmethod
    def default(cls, preset: Preset, device: str | None) -> Placement:
        """Return a preset's usual placement: the GPU where there is one, bfloat16 there; on a CPU
        float32, with matrix products in bfloat16 where the processor has them.

        SYNCAM_PLACEMENT may change options; raises SynCamError for one that is not there.
        """
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        large = kind_of(preset).FOOTPRINT.large
        on_gpu = torch.device(chosen).type != "cpu"
        usual = {
            "device": chosen,
            "dtype": "bfloat16" if large and on_gpu else "float32",
            "matmul_dtype": "auto",
            "tiling": large,
            # Two branches of four views: more fill no GPU better, and take memory for each row.
            "rows_at_once": 8 if large else 64,
        }
        text = os.environ.get(ENVIRONMENT, "")
        try:
            return cls(**{**usual, **_options(text)})
        except ValueError as error:
            raise SynCamError(
                "placement.option", f"{ENVIRONMENT} is {text!r}: {error}.", value=text
            ) from error


def _options(text: str) -> dict[str, Any]:
    """Return the options of a text like "offload=group fp8=true"; raises ValueError naming one."""
    kinds = {field.name: field.type for field in fields(Placement) if field.name != "device"}
    options: dict[str, Any] = {}
    for part in text.replace(",", " ").split():
        name, _, value = part.partition("=")
        if name not in kinds:
            raise ValueError(f"there is no option {name!r}; there are {', '.join(kinds)}")
        read, must_be = {
            "bool": ({"true": True, "false": False}.__getitem__, "true or false"),
            "int": (int, "a number"),
            "float": (float, "a number"),
        }.get(kinds[name], (str, ""))
        try:
            options[name] = read(value)
        except (KeyError, ValueError):
            raise ValueError(f"{name} is {value!r}; it must be {must_be}") from None
    return options


def check_device(name: str) -> torch.device:
    """Return the device of this name. Raises SynCamError ("device.*") where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SynCamError(
            "device.unknown",
            f"There is no device {name!r}; it is cpu, cuda, or cuda:1 for the second GPU.",
            value=name,
            nearest="cpu",
        ) from None
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise SynCamError(
            "device.missing",
            f"The device {name!r} was asked for; this machine has no usable NVIDIA GPU.",
            value=name,
            nearest="cpu",
            fix="Use the CPU",
        )
    if (device.index or 0) >= count:
        raise SynCamError(
            "device.missing",
            f"The device {name!r} was asked for; this machine's last GPU is cuda:{count - 1}.",
            value=name,
            nearest=f"cuda:{count - 1}",
        )
    return device


def apply_placement(parts: Parts, placement: Placement) -> None:
    """Put loaded networks where the placement says, with its savings switched on."""
    transformer = parts.transformer
    device = torch.device(placement.device)
    transformer.set_fused(placement.fused)
    if placement.multiplies_in_bfloat16:
        multiply_in_bfloat16(transformer.blocks)
    if placement.fp8:
        transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, placement.dtype)
        )
    if placement.attention_backend:
        transformer.set_attention_backend(placement.attention_backend)
    if placement.tiling and hasattr(parts.autoencoder, "enable_tiling"):
        parts.autoencoder.enable_tiling()
    if placement.offload == "group":
        transformer.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
        )
        text = getattr(parts.text_encoder, "encoder", None)
        if text is not None:
            from diffusers.hooks import apply_group_offloading

            apply_group_offloading(text, onload_device=device, offload_type="leaf_level")
    if placement.offload != "none":
        _offload_models(parts, device, group=placement.offload == "group")


def _offload_models(parts: Parts, device: torch.device, *, group: bool) -> None:
    """Move each network to the device when it is called, and the one before it away.

    Under group offload only the autoencoder goes this way. Parts that are modules themselves, small
    ones, stay on the device.
    """
    from accelerate import cpu_offload_with_hook

    for part in (parts.autoencoder, parts.text_encoder):
        if isinstance(part, torch.nn.Module):
            part.to(device)
        elif part is not None:
            part.device = device  # of what goes in and comes out, wherever its network waits
    modules = [getattr(parts.autoencoder, "vae", None)]
    if not group:
        modules = [getattr(parts.text_encoder, "encoder", None), parts.transformer, *modules]
    hook = None
    for module in modules:
        if module is not None:
            _, hook = cpu_offload_with_hook(module, device, prev_module_hook=hook)
            parts.offload_hooks.append(hook)


def leave_device(parts: Parts) -> None:
    """Move away whatever a request left on the device under model offload."""
    for hook in parts.offload_hooks:
        hook.offload()


@contextmanager
def step_cache(
    model: MultiViewWanTransformer,
    placement: Placement,
    steps: int,
    mag_ratios: list[float],
) -> Iterator[None]:
    """Run one request's steps with the placement's cache, and leave the model as it was.

    MagCache needs ratios measured on the model: while `mag_ratios` is empty the request runs in
    full and they are written into it, for the requests after.
    """
    if placement.step_cache == "none" or steps == 0:
        yield
        return
    calibrating = placement.step_cache == "mag" and not mag_ratios
    model.enable_cache(cache_config(placement, steps, mag_ratios))
    try:
        yield
        if calibrating:
            mag_ratios.extend(_measured_ratios(model)[:steps])
    finally:
        model.disable_cache()


def cache_config(placement: Placement, steps: int, mag_ratios: list[float]):
    """Return diffusers' configuration of a placement's step cache."""
    from diffusers.hooks import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig

    if placement.step_cache == "first_block":
        return FirstBlockCacheConfig(threshold=placement.cache_threshold)
    if placement.step_cache == "taylorseer":
        return TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=3,
            max_order=1,
            taylor_factors_dtype=torch.float32,
            cache_identifiers=[r"blocks\.\d+\.(attn1|attn2|ffn|mvs)"],
        )
    if not mag_ratios:  # one step more than there are: at the end it would print and forget
        return MagCacheConfig(calibrate=True, num_inference_steps=steps + 1)
    return MagCacheConfig(
        threshold=placement.cache_threshold, num_inference_steps=steps, mag_ratios=mag_ratios
    )


def _measured_ratios(model: MultiViewWanTransformer) -> list[float]:
    """Return MagCache's ratios of the run just made, of its first batch."""
    from diffusers.hooks import HookRegistry
    from diffusers.hooks.mag_cache import _MAG_CACHE_LEADER_BLOCK_HOOK

    registry = HookRegistry.check_if_exists_or_initialize(model.blocks[0])
    states = registry.get_hook(_MAG_CACHE_LEADER_BLOCK_HOOK).state_manager._state_cache
    return list(next(iter(states.values())).calibration_ratios)
