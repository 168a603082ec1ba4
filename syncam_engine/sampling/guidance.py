# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance: which branches a step runs, and how their velocities combine.

Text (one scale): v = v(none) + g [v(text) - v(none)].
Reference video (Eq. 7, two scales): v = v(none, none) + s_V [v(video, none) - v(none, none)]
+ s_T [v(video, text) - v(video, none)].

Shape legend: V views, C channels, B guidance branches, F latent frames, H, W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Branch:
    """One evaluation of the network in a step."""

    text: bool
    """The prompt, or the negative prompt ("none")."""
    video: bool = False
    """Whether view 0 is shown clean (the reference)."""
    scene: bool = False
    """Whether the guides are seen."""


@dataclass(frozen=True)
class Guidance:
    """The branches of a step, from least to most conditioned, and the scale of each difference."""

    branches: tuple[Branch, ...]
    scales: tuple[float, ...]
    """One fewer than the branches."""
    scene_strength: float | None = None
    """s of `scene_guidance`: the branches are then twice the scales' plus one, first those without
    the guides."""

    def combine(self, v_BVCFHW: Tensor) -> Tensor:
        """Return v_0 + sum of scale_k [v_k+1 - v_k], [V, C, F, H, W]."""
        if self.scene_strength is None:
            return self._along_scales(v_BVCFHW)
        half = len(self.branches) // 2
        plain, scene = (self._along_scales(v) for v in (v_BVCFHW[:half], v_BVCFHW[half:]))
        return plain + self.scene_strength * (scene - plain)

    def _along_scales(self, v_BVCFHW: Tensor) -> Tensor:
        guided = v_BVCFHW[0]
        for k, scale in enumerate(self.scales):
            guided = guided + scale * (v_BVCFHW[k + 1] - v_BVCFHW[k])
        return guided


def text_guidance(scale: float) -> Guidance:
    """Return guidance by the prompt; a scale of 1 needs the prompt's branch alone."""
    _check("guidance_scale", scale)
    if scale == 1.0:
        return Guidance((Branch(text=True),), ())
    return Guidance((Branch(text=False), Branch(text=True)), (scale,))


def reference_guidance(text_scale: float = 7.5, video_scale: float = 1.8) -> Guidance:
    """Return guidance by prompt and reference video (Eq. 7), s_T and s_V."""
    _check("text_scale", text_scale)
    _check("video_scale", video_scale)
    return Guidance(
        (Branch(text=False), Branch(text=False, video=True), Branch(text=True, video=True)),
        (video_scale, text_scale),
    )


def scene_guidance(guidance: Guidance, strength: float) -> Guidance:
    """Return a mode's guidance with the scene in it: v = v_plain + s [v_scene - v_plain].

    Strength 0 is the mode itself and 1 the scene's own branches alone: neither costs more.
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"scene_strength is {strength!r}; it must be 0 to 1")
    if strength == 0.0:
        return guidance
    seeing = tuple(replace(branch, scene=True) for branch in guidance.branches)
    if strength == 1.0:
        return Guidance(seeing, guidance.scales)
    return Guidance((*guidance.branches, *seeing), guidance.scales, strength)


def _check(name: str, scale: float) -> None:
    if not -100.0 <= scale <= 100.0:
        raise ValueError(f"{name} is {scale!r}; it must be -100 to 100")
