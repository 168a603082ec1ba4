# SPDX-License-Identifier: Apache-2.0
"""How much memory a request needs, known before it starts, and what would fit instead.

An estimate from the tensors that are alive at the worst moment, checked against measured peaks in
the tests. torch only where the device or a small part is asked.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import SPATIAL_STRIDE, latent_frame_count
from syncam_engine.model.kinds import kind_of
from syncam_engine.model.patterns import pattern_of
from syncam_engine.model.presets import Preset, TransformerConfig

if TYPE_CHECKING:
    from syncam_engine.sampling.placement import Placement

GIB = 2**30
# Live tensors of one block at its two worst moments, as multiples of the rows' hidden states, in
# the network's dtype and in float32; measured as the growth of the process on a CPU in float32.
ATTENTION_COPIES = 12.5
FEED_FORWARD_COPIES = 7.0
FLOAT32_COPIES = 4.0
TILE_PIXELS = 256 * 256


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device: what stays, and the three moments of which the largest counts."""

    transformer: float
    sampling: float
    text_encoding: float
    decoding: float

    @property
    def peak(self) -> float:
        """The largest moment; parts that offload moves away are already left out of each."""
        return max(self.sampling, self.text_encoding, self.decoding)


def parameter_count(config: TransformerConfig) -> int:
    """Return the transformer's parameters, MVS included, by arithmetic."""
    d, f = config.width, config.ffn_dim
    attention = 4 * (d * d + d) + 2 * d
    mvs = attention + (config.camera_numbers * d + d) + (d * d + d)
    mvs += 3 * d if config.mvs_form == "released" else 0
    block = 2 * attention + mvs + (d * f + f + f * d + d) + 6 * d
    block += 2 * d if config.cross_attn_norm else 0
    patch = config.patch_size[0] * config.patch_size[1] * config.patch_size[2] * config.in_channels
    condition = (config.freq_dim * d + d) + (d * d + d) + (d * 6 * d + 6 * d)
    condition += (config.text_dim * d + d) + (d * d + d)
    wan = config.num_layers * block + condition + (patch * d + d) + (d * patch + patch) + 2 * d
    return wan + config.own_parameters()


def estimate_memory(
    preset: Preset,
    placement: Placement,
    *,
    views: int,
    branches: int,
    size: tuple[int, int],
    frames: int,
    ranks: int = 1,
    moving: bool = False,
) -> MemoryEstimate:
    """Return the bytes that a request of this shape needs on the device of this placement.

    `branches`: of guidance, times the pairs where `views` is that of a pair. `ranks`: how many
    devices share the views. `moving`: whether cameras move, or lenses zoom.
    """
    config, footprint = preset.transformer, kind_of(preset).FOOTPRINT
    width_px, height_px = size
    rows_px = (width_px // SPATIAL_STRIDE) * (height_px // SPATIAL_STRIDE)
    tokens = latent_frame_count(frames) * rows_px // (config.patch_size[1] * config.patch_size[2])
    element = 4 if placement.dtype == "float32" else 2
    stored = 1 if placement.fp8 else 2 if placement.multiplies_in_bfloat16 else element
    weights = parameter_count(config) * stored
    if placement.offload == "group":
        weights = 2 * weights / config.num_layers  # the block at work and the next on its way
    share = math.ceil(views / ranks)
    rows = max(share, min(branches * share, placement.rows_at_once))
    hidden = rows * tokens * config.width
    in_attention = hidden * ATTENTION_COPIES * element
    in_feed_forward = hidden * FEED_FORWARD_COPIES * element
    in_feed_forward += 2 * rows * tokens * config.ffn_dim * element
    activations = hidden * FLOAT32_COPIES * 4 + max(in_attention, in_feed_forward)
    activations += branches * 512 * config.width * 2 * element * config.num_layers
    pattern = pattern_of(preset.camera.pattern)
    if pattern is not None:
        made = latent_frame_count(frames) if moving else 1
        batch = math.ceil(made / ranks) * max(1, rows // share) if moving else 1
        pairs_of_tokens = (views * rows_px // 4) ** 2
        heads = config.num_attention_heads
        activations += pairs_of_tokens * pattern.bytes_a_pair(element, made, batch, heads)
    latents = 6 * share * config.in_channels * latent_frame_count(frames) * rows_px * 4
    picture = min(width_px * height_px, TILE_PIXELS) if placement.tiling else width_px * height_px
    decode = picture * footprint.decode_bytes_per_pixel + 16.0 * frames * width_px * height_px * 3
    text, autoencoder = footprint.text_encoder_bytes, footprint.autoencoder_bytes
    if placement.offload == "group":
        text = min(text, footprint.text_largest_layer_bytes)
    resident = 0.0 if placement.offload != "none" else weights + text + autoencoder
    return MemoryEstimate(
        transformer=weights,
        # A preview or an encoded clip brings the autoencoder in, and there it stays.
        sampling=max(resident, weights + autoencoder) + activations + latents,
        text_encoding=max(resident, text),
        decoding=max(resident, autoencoder) + decode + latents,
    )


def check_memory(
    preset: Preset,
    placement: Placement,
    *,
    views: int,
    branches: int,
    size: tuple[int, int],
    frames: int,
    ranks: int = 1,
    moving: bool = False,
    free_bytes: float | None = None,
) -> MemoryEstimate:
    """Return the estimate; raise SynCamError ("memory.short") with what would fit if it does not.

    The weights are loaded by now: what they hold counts as available.
    """
    shape = {"views": views, "branches": branches, "size": size, "frames": frames}
    shape |= {"ranks": ranks, "moving": moving}
    estimate = estimate_memory(preset, placement, **shape)
    held = estimate.transformer
    if placement.offload == "none":
        footprint = kind_of(preset).FOOTPRINT
        held += footprint.text_encoder_bytes + footprint.autoencoder_bytes
    else:
        held = 0.0
    available = (free_memory(placement.device) if free_bytes is None else free_bytes) + held
    if estimate.peak <= available:
        return estimate
    advice = what_fits(preset, placement, available, **shape)
    raise SynCamError(
        "memory.short",
        f"The request needs about {estimate.peak / GIB:.1f} GiB on {placement.device} and "
        f"{available / GIB:.1f} GiB are there; {advice['sentence']}.",
        value={**asdict(estimate), "available": available},
        nearest=advice["nearest"],
        fix=advice["fix"],
    )


def what_fits(
    preset: Preset,
    placement: Placement,
    available: float,
    *,
    views: int,
    branches: int,
    size: tuple[int, int],
    frames: int,
    ranks: int = 1,
    moving: bool = False,
) -> dict:
    """Return the nearest request that fits: first by placement, then size, frames, views."""
    from dataclasses import replace

    def fits(where: Placement, **changed) -> bool:
        shape = {"views": views, "branches": branches, "size": size, "frames": frames, **changed}
        shape |= {"ranks": min(ranks, shape["views"]), "moving": moving}
        return estimate_memory(preset, where, **shape).peak <= available

    thrifty = replace(placement, rows_at_once=1, tiling=True)
    offloaded = replace(thrifty, offload="group")
    for where, text in (
        (thrifty, "guidance branches and pairs one by one and tiled decoding would fit"),
        (offloaded, "group offload (slower) would fit"),
    ):
        if fits(where):
            changed = {"rows_at_once": 1, "tiling": True, "offload": where.offload}
            return {"sentence": text, "nearest": changed, "fix": "Use less memory, slower"}
    where = offloaded
    for smaller in sorted(preset.envelope.sizes, key=lambda s: -s[0] * s[1]):
        if smaller[0] * smaller[1] < size[0] * size[1] and fits(where, size=smaller):
            text = f"{smaller[0]}x{smaller[1]}"
            return {
                "sentence": f"{text} with group offload would fit",
                "nearest": {"size": list(smaller), "offload": "group"},
                "fix": f"Use {text}",
            }
    for fewer in sorted((n for n in preset.envelope.frames if n < frames), reverse=True):
        if fits(where, frames=fewer):
            return {
                "sentence": f"{fewer} frames with group offload would fit",
                "nearest": {"frames": fewer, "offload": "group"},
                "fix": f"Use {fewer} frames",
            }
    for fewer in range(views - 1, 0, -1):
        if fits(where, views=fewer):
            return {
                "sentence": f"{fewer} view{'s' * (fewer > 1)} with group offload would fit",
                "nearest": {"views": fewer, "offload": "group"},
                "fix": f"Use {fewer} camera{'s' * (fewer > 1)}",
            }
    return {"sentence": "nothing of this preset would fit", "nearest": None, "fix": None}


def free_memory(device: str) -> float:
    """Return the bytes that this process can still take on a device, now."""
    import torch

    where = torch.device(device)
    if where.type == "cuda":
        # torch keeps what earlier requests freed: the driver calls that used, and it is to be had.
        kept = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return float(torch.cuda.mem_get_info(where)[0] + kept)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except OSError:
        pass
    return float("inf")  # a system that does not say: let the request try
