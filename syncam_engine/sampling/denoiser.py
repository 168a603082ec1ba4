# SPDX-License-Identifier: Apache-2.0
"""The velocity of one request: guidance branches, reference view and pairs around the network.

Made once a request; text keys/values, camera embeddings and rotary tables are computed at the
first step and kept. All branches (and pairs) run as one batch where memory allows, else in parts.

Shape legend: E evaluations in one batch, B guidance branches, P pairs (1 where all views are
joint), V views, M views of one evaluation (V, or 2 in a pair), C channels, G guide channels, T
pictures, F latent frames, H, W, R camera numbers, L text tokens, D text width, S tokens of one
latent frame of a view, K = M x S.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from syncam_engine.model.transformer import MultiViewWanTransformer
from syncam_engine.model.view_parallel import ViewGroup
from syncam_engine.model.views import Views
from syncam_engine.sampling.guidance import Guidance
from syncam_engine.sampling.sampler import add_noise
from syncam_engine.sampling.schedule import timestep_of


@dataclass(kw_only=True)
class Conditions:
    """What a request asks of the network, beside the noise."""

    prompt_LD: Tensor
    negative_LD: Tensor
    prompt_mask_L: Tensor | None
    negative_mask_L: Tensor | None
    cameras_VFSR: Tensor
    pattern_FhKK: Tensor | None = None
    guides_VTGHW: Tensor | None = None
    """What `guides.guide_channels` makes of the scene's geometry."""
    reference_CFHW: Tensor | None = None
    """Clean latents of view 0."""
    reference_noise_CFHW: Tensor | None = None
    """View 0's own noise: branches without the video see the reference noised (Eq. 1)."""


@dataclass(kw_only=True)
class Method:
    """How the network is asked."""

    guidance: Guidance
    prediction: str = "velocity"
    reference_timestep: str = "shared"
    pairs: bool = False
    """Every other view with the anchor alone; the anchor's velocities are averaged."""
    rows_at_once: int = 64
    """Views x branches x pairs in one batch at most (a branch's views are never parted)."""
    round_timestep_to_bf16: bool = False


class Denoiser:
    """Callable (z_VCFHW, noise level) -> guided velocity [V, C, F, H, W], float32."""

    def __init__(
        self,
        model: MultiViewWanTransformer,
        conditions: Conditions,
        method: Method,
        *,
        group: ViewGroup | None = None,
    ) -> None:
        """With a `group`, joint views are given as this rank's share and stay so; pairs are given
        whole, and the ranks share the evaluations."""
        self.model, self.conditions, self.method = model, conditions, method
        self.group = group
        for name, value in vars(conditions).items():
            if value is not None and not torch.isfinite(value).all():
                raise ValueError(f"{name} has values that are not finite")
        views, self.frames = conditions.cameras_VFSR.shape[:2]
        reference, noise = conditions.reference_CFHW, conditions.reference_noise_CFHW
        if reference is not None and (noise is None or noise.shape != reference.shape):
            given = None if noise is None else tuple(noise.shape)
            raise ValueError(
                f"reference_noise_CFHW is of shape {given}; it must be {tuple(reference.shape)}, "
                "as reference_CFHW"
            )
        joint = not method.pairs or views <= 2
        self.groups = [list(range(views))] if joint else [[0, i] for i in range(1, views)]
        evaluations = [
            (branch, group)
            for branch in range(len(method.guidance.branches))
            for group in range(len(self.groups))
        ]
        # Ranks exchange what they compute: all part their batches alike, whatever their share.
        together = group.most_views if joint and group is not None else len(self.groups[0])
        at_once = max(1, method.rows_at_once // together)
        if group is not None and not joint:
            evaluations = evaluations[group.rank :: group.ranks]
        self.batches = [evaluations[i : i + at_once] for i in range(0, len(evaluations), at_once)]
        self.views: list[Views | None] = [None] * len(self.batches)
        self._text = [self._batch_text(batch) for batch in self.batches]
        self._cameras = [self._batch_cameras(batch) for batch in self.batches]

    def __call__(self, z_VCFHW: Tensor, sigma: float) -> Tensor:
        views, reference = len(self.conditions.cameras_VFSR), self.conditions.reference_CFHW
        if len(z_VCFHW) != views:
            raise ValueError(f"z_VCFHW has {len(z_VCFHW)} views; it must have {views}, as cameras")
        if reference is not None and reference.shape != z_VCFHW.shape[1:]:
            raise ValueError(
                f"reference_CFHW has shape {tuple(reference.shape)}; it must be "
                f"{tuple(z_VCFHW.shape[1:])}, one view's latents"
            )
        branches = len(self.method.guidance.branches)
        v_BVCFHW = z_VCFHW.new_zeros(branches, *z_VCFHW.shape)
        for index, batch in enumerate(self.batches):
            v_EMCFHW = self._evaluate(index, batch, z_VCFHW, sigma)
            for (branch, group), v_MCFHW in zip(batch, v_EMCFHW, strict=True):
                for view, v_CFHW in zip(self.groups[group], v_MCFHW, strict=True):
                    # Only the anchor stands in several groups: its velocities are averaged.
                    share = len(self.groups) if view == 0 else 1
                    v_BVCFHW[branch, view] += v_CFHW / share
        if self.group is not None and len(self.groups) > 1:
            dist.all_reduce(v_BVCFHW)
        return self.method.guidance.combine(v_BVCFHW)

    def _evaluate(self, index: int, batch, z_VCFHW: Tensor, sigma: float) -> Tensor:
        """Return velocities of one batch of (branch, group), [E, M, C, F, H, W], float32."""
        timestep = timestep_of(sigma, round_to_bf16=self.method.round_timestep_to_bf16)
        inputs, times = [], []
        for branch, group in batch:
            z_MCFHW = z_VCFHW[self.groups[group]]
            t_M = z_VCFHW.new_full((len(z_MCFHW),), timestep)
            if self._has_reference:
                clean = self.conditions.reference_CFHW
                noise = self.conditions.reference_noise_CFHW
                video = self.method.guidance.branches[branch].video
                first = clean if video else add_noise(clean, noise, sigma)
                z_MCFHW = torch.cat([first[None], z_MCFHW[1:]])
                if video and self.method.reference_timestep == "zero":
                    t_M[0] = 0.0
            inputs.append(z_MCFHW)
            times.append(t_M)
        z_EMCFHW, t_EM = torch.stack(inputs), torch.stack(times)
        dtype = self.model.patch_embedding.weight.dtype
        text, mask = self._text[index]
        cameras, pattern = self._cameras[index]
        if self.views[index] is None:
            spread = {}
            if self.group is not None and len(self.groups) == 1:
                spread = {
                    "exchange": self.group.exchange(self.frames),
                    "all_views": self.group.views,
                    "frames_of_rank": self.group.my_frames(self.frames),
                }
            self.views[index] = self.model.prepare_views(
                z_EMCFHW.shape,
                cameras,
                mask,
                pattern_FhKK=pattern,
                keep=True,
                **self._batch_guides(batch),
                **spread,
            )
        context = (
            self.model.cache_context(f"batch{index}")
            if self.model.is_cache_enabled
            else nullcontext()
        )
        if self._branches_start_alike:
            z_EMCFHW, t_EM = z_EMCFHW[:1], t_EM[:1]
        with context:
            prediction = self.model(
                z_EMCFHW.to(dtype), t_EM, text, mask, cameras, views=self.views[index]
            ).float()
        if self.method.prediction == "x0":
            return (z_EMCFHW - prediction) / sigma
        return prediction

    @property
    def _branches_start_alike(self) -> bool:
        """Whether a batch's evaluations differ by their text alone: their common start (the first
        block up to its cross-attention) is computed once. Block caches want whole batches."""
        branches = self.method.guidance.branches
        alike = len({branch.scene for branch in branches}) == 1
        same = len(self.groups) == 1 and alike and not any(branch.video for branch in branches)
        return same and self.model.fused and not self.model.is_cache_enabled

    @property
    def _has_reference(self) -> bool:
        # Under view parallelism only the rank of view 0 is given the reference.
        return self.conditions.reference_CFHW is not None

    def _batch_text(self, batch) -> tuple[Tensor, Tensor | None]:
        c = self.conditions
        wanted = [self.method.guidance.branches[branch].text for branch, _ in batch]
        text = torch.stack([c.prompt_LD if prompt else c.negative_LD for prompt in wanted])
        if c.prompt_mask_L is None:
            return text, None
        masks = [c.prompt_mask_L if prompt else c.negative_mask_L for prompt in wanted]
        return text, torch.stack(masks)

    def _batch_guides(self, batch) -> dict[str, Tensor | None]:
        """The guides of a batch and which of its evaluations see them; nothing where none does."""
        guides_VTGHW = self.conditions.guides_VTGHW
        seeing = [self.method.guidance.branches[branch].scene for branch, _ in batch]
        if guides_VTGHW is None or not any(seeing):
            return {}
        given = {"guides_BVTGHW": guides_VTGHW[None]}
        if len(self.groups) > 1:
            picked = [guides_VTGHW[self.groups[group]] for _, group in batch]
            given["guides_BVTGHW"] = torch.stack(picked)
        if not all(seeing):
            given["guided_B"] = torch.tensor(seeing, device=guides_VTGHW.device)
        return given

    def _batch_cameras(self, batch) -> tuple[Tensor, Tensor | None]:
        cameras, pattern = self.conditions.cameras_VFSR, self.conditions.pattern_FhKK
        if len(self.groups) == 1:
            return cameras[None], pattern
        cameras_EMFSR = torch.stack([cameras[self.groups[group]] for _, group in batch])
        if pattern is None:
            return cameras_EMFSR, None
        tokens = pattern.shape[-1] // len(cameras)
        picked = []
        for _, group in batch:
            token = torch.arange(tokens, device=pattern.device)
            keep = torch.cat([view * tokens + token for view in self.groups[group]])
            picked.append(pattern[..., keep, :][..., keep])
        return cameras_EMFSR, torch.stack(picked)
