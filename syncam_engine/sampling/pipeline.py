# SPDX-License-Identifier: Apache-2.0
"""The pipeline: a request in, one clip for every camera out.

`load_pipeline` once, `generate` for each request. Nothing of a request stays behind, also when it
is stopped or fails, but what the step cache "mag" measures at its first one.

Shape legend: V views, T pictures, C channels, G guide channels, F latent frames, H, W, B prompts, L
text tokens, D text width, R camera numbers, S tokens of a latent frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from syncam_engine.link.envelope import check_request, check_rig
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_rig
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_from_dict
from syncam_engine.model.camera_encoding import encode_rig
from syncam_engine.model.guides import Guides, guide_channels
from syncam_engine.model.interfaces import latent_frame_count
from syncam_engine.model.loading import load_parts
from syncam_engine.model.parts import OnProgress, Parts
from syncam_engine.model.pixels import to_network, to_pictures
from syncam_engine.model.presets import Preset, get_preset
from syncam_engine.model.view_parallel import ViewGroup
from syncam_engine.sampling.clips import fit_clip
from syncam_engine.sampling.denoiser import Conditions, Denoiser, Method
from syncam_engine.sampling.guidance import (
    Guidance,
    reference_guidance,
    scene_guidance,
    text_guidance,
)
from syncam_engine.sampling.keeping import LatentKeeper
from syncam_engine.sampling.memory import check_memory
from syncam_engine.sampling.noise import rig_noise
from syncam_engine.sampling.placement import (
    Placement,
    apply_placement,
    check_device,
    leave_device,
    step_cache,
)
from syncam_engine.sampling.sampler import Cancelled, Velocity, add_noise, sample
from syncam_engine.sampling.schedule import make_sigmas, start_at

__all__ = ["Cancelled", "MultiViewPipeline", "Report", "load_pipeline"]


@dataclass(frozen=True)
class Report:
    """How far a request is. A handler may raise (`Cancelled`) to stop it at this point."""

    phase: Literal["encode", "sample", "decode"]
    step: int
    steps: int
    preview_VHW3: np.ndarray | None = None
    """uint8, cameras in the rig's order: a cheap look at what is coming."""


OnReport = Callable[[Report], None]


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A request that has been checked: what sampling and decoding need of it, the anchor first."""

    request: Any
    """The request with every open field filled in."""
    rig: Rig
    order: list[int]
    """The rig's index of each view."""
    frames: int
    """F."""
    guidance: Guidance
    """The mode's own, without the scene."""
    pairs: bool
    ranks: ViewGroup | None
    starts_VTHW3: np.ndarray | None
    reference_THW3: np.ndarray | None
    guides: Guides | None


def load_pipeline(
    preset_name: str,
    device: str | None = None,
    on_progress: OnProgress | None = None,
    placement: Placement | None = None,
) -> MultiViewPipeline:
    """Return the pipeline of a preset on a device ("cpu", "cuda", "cuda:1"; None picks).

    Raises SynCamError ("preset.*", "weights.*", "device.*") with one sentence each.
    """
    preset = get_preset(preset_name)
    if device:
        check_device(device)
    placement = placement or Placement.default(preset, device)
    chosen = check_device(placement.device)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[placement.dtype]
    # Parts that are moved in and out by offload are loaded in main memory.
    home = torch.device("cpu") if placement.offload != "none" else chosen
    parts = load_parts(preset, home, dtype, on_progress)
    apply_placement(parts, placement)
    return MultiViewPipeline(preset, parts, placement)


class MultiViewPipeline:
    """A preset's networks, ready for requests."""

    def __init__(self, preset: Preset, parts: Parts, placement: Placement) -> None:
        self.preset = preset
        self.parts = parts
        self.placement = placement
        self.device = torch.device(placement.device)
        self._mag_ratios: list[float] = []

    @property
    def digest(self) -> str:
        """SHA-256 over the weights: with the request it makes the clips again."""
        return self.parts.digest

    @property
    def placement_used(self) -> dict[str, Any]:
        """How it runs, `auto` resolved: with the request and the weights it makes the clips
        again."""
        return self.placement.as_used()

    def generate(
        self,
        request: Any,
        *,
        start_clips_VTHW3: np.ndarray | list[np.ndarray] | None = None,
        reference_clip_THW3: np.ndarray | None = None,
        reference_fps: float | Fraction | None = None,
        guides: Guides | None = None,
        on_report: OnReport | None = None,
        keeper: LatentKeeper | None = None,
    ) -> np.ndarray:
        """Return the clips, uint8 [V, T, H, W, 3], cameras in the rig's order.

        `request` has the fields of `link.messages.GenerateRequest`. `start_clips_VTHW3`: mode
        "previz", each camera's viewport render. `reference_clip_THW3`: mode "reference", the
        anchor camera's clip, at `reference_fps` (None: the request's own). `guides`: mode "scene",
        the scene's geometry as every camera sees it; a reference may join it. The same request
        gives the same bytes on the same device. `keeper` keeps the latents on the way, and a later
        call for the same request goes on from them. Raises SynCamError for a request outside the
        envelope or the memory, ValueError naming an input of a wrong shape, and what `on_report`
        raises.
        """
        say = on_report or (lambda report: None)
        request = self._filled(request)
        order, rig = _anchor_first(self._checked_rig(request))
        starts, reference = self._inputs(
            request, order, start_clips_VTHW3, reference_clip_THW3, reference_fps
        )
        views = len(rig.cameras)
        prepared = _Prepared(
            request=request,
            rig=rig,
            order=order,
            frames=latent_frame_count(request.frames),
            guidance=self._guidance(request, reference is not None),
            pairs=self._use_pairs(views),
            ranks=ViewGroup.current(views),
            starts_VTHW3=starts,
            reference_THW3=reference,
            guides=self._guides(request, guides, order, rig),
        )
        self._check_memory(prepared)
        say(Report("encode", 0, request.steps))
        try:
            with torch.inference_mode():
                channels = self._guide_channels(prepared)
                z_VCFHW = self._sample(prepared, channels, say, keeper)
                clips = self._decode(prepared, channels, z_VCFHW, say)
        finally:
            leave_device(self.parts)
        return clips[np.argsort(order)]

    def _sample(
        self,
        prepared: _Prepared,
        guides_VTGHW: Tensor | None,
        say: OnReport,
        keeper: LatentKeeper | None,
    ) -> Tensor:
        """Return the clean latents [V, C, F, H, W] of all views, the anchor first."""
        request, ranks = prepared.request, prepared.ranks
        spread = ranks is not None and not prepared.pairs
        mine = ranks.my_views if spread else slice(None)
        conditions = self._conditions(request, prepared.rig, prepared.frames)
        conditions.cameras_VFSR = conditions.cameras_VFSR[mine]
        noise = self._noise(request, prepared.rig, prepared.frames)[mine]
        sigmas = make_sigmas(request.steps, self.preset.sampling.shift)
        z_VCFHW = noise
        if prepared.starts_VTHW3 is not None:
            sigmas = start_at(sigmas, float(request.previz_strength))
            z_VCFHW = add_noise(self._encode(prepared.starts_VTHW3[mine]), noise, sigmas[0])
        if prepared.reference_THW3 is not None and not mine.start:  # the rank that holds view 0
            conditions.reference_CFHW = self._encode(prepared.reference_THW3[None])[0]
            conditions.reference_noise_CFHW = noise[0]
        if guides_VTGHW is not None:
            conditions.guides_VTGHW = guides_VTGHW[mine]
        back = np.argsort(prepared.order)

        def on_step(step: int, steps: int, clean_VCFHW: Tensor) -> None:
            preview_VHW3 = None if spread else self._preview(clean_VCFHW)[back]
            say(Report("sample", step, steps, preview_VHW3))

        steps = len(sigmas) - 1
        # A step cache carries more than latents from step to step, and a rank has only its own.
        if ranks is not None or self.placement.step_cache != "none":
            keeper = None
        steps_done, kept_VCFHW = keeper.load(steps, z_VCFHW.shape) if keeper else (0, None)
        if kept_VCFHW is not None:
            z_VCFHW = torch.from_numpy(kept_VCFHW).to(self.device)

        def on_latents(step: int, z_VCFHW: Tensor) -> None:
            if step % keeper.every == 0 or step == steps:
                keeper.save(step, z_VCFHW.cpu().numpy())

        with step_cache(self.parts.transformer, self.placement, steps, self._mag_ratios):
            z_VCFHW = sample(
                self._velocity(prepared, conditions, sigmas),
                z_VCFHW,
                sigmas,
                steps_done=steps_done,
                reference_CFHW=conditions.reference_CFHW,
                on_step=on_step,
                on_latents=on_latents if keeper else None,
            )
        if spread:
            z_VCFHW = ranks.gather_views(z_VCFHW)
        if not torch.isfinite(z_VCFHW).all():
            raise SynCamError(
                "sampling.not_finite",
                f"The network of preset {self.preset.name!r} gave values that are not finite; "
                "its weights are damaged, or the guidance scale "
                f"({request.guidance_scale:g}) is far too large.",
                value=request.guidance_scale,
                nearest=self.preset.sampling.guidance_scale,
            )
        return z_VCFHW

    def _velocity(
        self, prepared: _Prepared, conditions: Conditions, sigmas: list[float]
    ) -> Velocity:
        """Return what the sampler asks at each step: the network, guided by the scene at first."""
        method = Method(
            guidance=prepared.guidance,
            prediction=self.preset.sampling.prediction,
            reference_timestep=self.preset.sampling.reference_timestep,
            pairs=prepared.pairs,
            rows_at_once=self.placement.rows_at_once,
            round_timestep_to_bf16=self.placement.round_timestep_to_bf16,
        )

        def denoiser(guidance: Guidance) -> Denoiser:
            asked = replace(method, guidance=guidance)
            return Denoiser(self.parts.transformer, conditions, asked, group=prepared.ranks)

        request, steps = prepared.request, len(sigmas) - 1
        if request.mode != "scene":
            return denoiser(prepared.guidance)
        guided, strength = round(steps * request.scene_until), float(request.scene_strength)
        if not guided or not strength:
            return denoiser(prepared.guidance)
        with_scene = denoiser(scene_guidance(prepared.guidance, strength))
        if guided == steps:
            return with_scene
        without = denoiser(prepared.guidance)
        last = sigmas[guided - 1]
        return lambda z_VCFHW, sigma: (with_scene if sigma >= last else without)(z_VCFHW, sigma)

    def _decode(
        self, prepared: _Prepared, guides_VTGHW: Tensor | None, z_VCFHW: Tensor, say: OnReport
    ) -> np.ndarray:
        """Return the clips of latents, the anchor first; those of guided views are sharpened."""
        sharpen, strength = None, 0.0
        if guides_VTGHW is not None:
            sharpen, strength = self.parts.sharpener, float(prepared.request.scene_strength)
        clips = []
        for view, z_CFHW in enumerate(z_VCFHW):
            say(Report("decode", view, len(z_VCFHW)))
            video = self.parts.autoencoder.decode(z_CFHW[None])
            given = view == 0 and prepared.reference_THW3 is not None
            if sharpen is not None and strength and not given:
                sharp = sharpen(video, guides_VTGHW[view][None], z_CFHW[None])
                video = video + strength * (sharp - video)
            clips.append(to_pictures(video)[0])
        say(Report("decode", len(z_VCFHW), len(z_VCFHW)))
        return np.stack(clips)

    def _check_memory(self, prepared: _Prepared) -> None:
        request, views, ranks = prepared.request, len(prepared.order), prepared.ranks
        pairs = prepared.pairs
        guidance = prepared.guidance
        if request.mode == "scene":
            guidance = scene_guidance(guidance, float(request.scene_strength))
        check_memory(
            self.preset,
            self.placement,
            views=2 if pairs else views,
            branches=len(guidance.branches) * (views - 1 if pairs else 1),
            size=(request.width, request.height),
            frames=request.frames,
            ranks=1 if ranks is None or pairs else ranks.ranks,
            moving=any(camera.frame_count > 1 for camera in prepared.rig.cameras),
        )

    def _filled(self, request: Any) -> Any:
        """Return the request with its open fields (None) as the preset has them."""
        names = getattr(request, "__struct_fields__", None) or vars(request)
        values = {name: getattr(request, name) for name in names}
        for name, default in self.preset.request_defaults(request.mode).items():
            if values.get(name) is None:
                values[name] = default
        return SimpleNamespace(**values)

    def _checked_rig(self, request: Any) -> Rig:
        """Return the request's rig, fitted to its size; refuse what the preset cannot take."""
        rig = request.rig if isinstance(request.rig, Rig) else rig_from_dict(request.rig)
        rig = fit_rig(rig, request.width, request.height, request.fit_rule)
        envelope = self.preset.envelope
        for issue in [*check_request(request, envelope), *check_rig(rig, envelope)]:
            if issue.kind == "refuse":
                raise issue.to_error()
        return rig

    def _inputs(self, request, order, start_clips, reference_clip, reference_fps):
        """Return (start clips in model order or None, reference clip or None), fitted."""
        size = (request.width, request.height, request.frames)
        starts = reference = None
        if request.mode == "previz":
            if start_clips is None or len(start_clips) != len(order):
                given = 0 if start_clips is None else len(start_clips)
                raise ValueError(
                    f"start_clips_VTHW3 has {given} clips; previz needs one for each of the "
                    f"{len(order)} cameras"
                )
            fitted = [
                fit_clip(clip, *size, rule=request.fit_rule, name=f"start_clips_VTHW3[{i}]")
                for i, clip in enumerate(start_clips)
            ]
            starts = np.stack([fitted[i] for i in order])
        if request.mode == "reference" and reference_clip is None:
            raise ValueError("reference_clip_THW3 is None; mode 'reference' needs a clip")
        if request.mode in ("reference", "scene") and reference_clip is not None:
            reference = fit_clip(
                reference_clip,
                *size,
                clip_fps=reference_fps,
                fps=Fraction(*request.fps) if reference_fps is not None else None,
                rule=request.fit_rule,
                name="reference_clip_THW3",
            )
        if request.mode not in ("text", "previz", "reference", "scene"):
            raise ValueError(
                f"mode is {request.mode!r}; it must be 'text', 'previz', 'reference' or 'scene'"
            )
        return starts, reference

    def _use_pairs(self, views: int) -> bool:
        """Return whether more views than were trained together go as pairs with the anchor."""
        sampling, envelope = self.preset.sampling, self.preset.envelope
        return sampling.strategy == "anchored_pairs" and views > max(2, envelope.trained_views)

    def _guides(
        self, request: Any, guides: Guides | None, order: list[int], rig: Rig
    ) -> Guides | None:
        """Return the guides of the views in model order, checked; None in the other modes."""
        if request.mode != "scene":
            return None
        if guides is None:
            raise ValueError("guides is None; mode 'scene' needs the depth of every camera")
        if not self.preset.transformer.guide_channels:
            raise SynCamError(
                "guides.untaken",
                f"The preset {self.preset.name!r} takes no guides.",
                value=self.preset.name,
                fix="Use mode text, or a preset that takes guides",
            )
        names = [""] * len(order)
        for camera, index in zip(rig.cameras, order, strict=True):
            names[index] = camera.name
        guides.check(names, request.frames, request.width, request.height)
        return guides.of_views(order)

    def _guide_channels(self, prepared: _Prepared) -> Tensor | None:
        """Return what the network reads of the guides, [V, T, G, H, W]; None without."""
        if prepared.guides is None:
            return None
        cameras, pictures = prepared.rig.cameras, range(prepared.request.frames)
        K = np.array([[camera.K_at(k) for k in pictures] for camera in cameras])
        c2w = np.array([[camera.c2w_cv_m_at(k) for k in pictures] for camera in cameras])
        return torch.from_numpy(guide_channels(prepared.guides, K, c2w)).to(self.device)

    def _guidance(self, request: Any, with_reference: bool) -> Guidance:
        """Return the request's guidance; with a reference its scale is s_T, s_V the preset's."""
        scale = float(request.guidance_scale)
        if not with_reference:
            return text_guidance(scale)
        return reference_guidance(scale, self.preset.sampling.reference_video_scale)

    def _conditions(self, request: Any, rig: Rig, frames: int) -> Conditions:
        texts = [request.negative_prompt, request.prompt]
        tokens_BLD, mask_BL = self.parts.text_encoder.encode(texts)
        encoded = encode_rig(rig, self.preset.camera, frames, request.width, request.height)
        dtype = self.parts.transformer.patch_embedding.weight.dtype
        pattern = encoded.pattern_FhKK
        tokens_BLD = tokens_BLD.to(self.device, dtype)
        mask_BL = mask_BL.to(self.device)
        return Conditions(
            negative_LD=tokens_BLD[0],
            prompt_LD=tokens_BLD[1],
            negative_mask_L=mask_BL[0],
            prompt_mask_L=mask_BL[1],
            cameras_VFSR=torch.from_numpy(encoded.numbers_VFSR).to(self.device),
            pattern_FhKK=None if pattern is None else torch.from_numpy(pattern).to(self.device),
        )

    def _noise(self, request: Any, rig: Rig, frames: int) -> Tensor:
        stride = self.parts.autoencoder.spatial_stride
        shape = (
            self.parts.autoencoder.z_channels,
            frames,
            request.height // stride,
            request.width // stride,
        )
        names = [camera.name for camera in rig.cameras]
        variation = getattr(request, "variation", 0)
        sampling = self.preset.sampling
        previz = request.mode == "previz"
        shared = sampling.previz_shared_noise if previz else sampling.shared_noise
        noise = rig_noise(request.seed, variation, names, shape, shared)
        return torch.from_numpy(noise).to(self.device)

    def _encode(self, clips_VTHW3: np.ndarray) -> Tensor:
        """Return latents of clips, one clip at a time to keep the peak low."""
        latents = [
            self.parts.autoencoder.encode(to_network(clip[None], self.device))
            for clip in clips_VTHW3
        ]
        return torch.cat(latents).float()

    def _preview(self, clean_VCFHW: Tensor) -> np.ndarray:
        """Return uint8 [V, H, W, 3]: the middle latent frame by the autoencoder's cheap look."""
        middle = clean_VCFHW[:, :, clean_VCFHW.shape[2] // 2]
        rgb_VCHW = self.parts.autoencoder.preview(middle)
        return to_pictures(rgb_VCHW[:, :, None])[:, 0]


def _anchor_first(rig: Rig) -> tuple[list[int], Rig]:
    """Return (rig index of each view, the rig with the anchor as view 0)."""
    order = [rig.anchor, *(i for i in range(len(rig.cameras)) if i != rig.anchor)]
    return order, rig.with_anchor_first()
