# SPDX-License-Identifier: Apache-2.0
"""The scores of one job's clips that need networks: those whose weights were named.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from syncam_engine.evaluation import networks, vbench
from syncam_engine.evaluation.clip_scores import ClipEmbedder, clip_scores
from syncam_engine.evaluation.lpips import Lpips, lpips
from syncam_engine.link.errors import SynCamError

NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedScore:
    """One score and the network that gave it."""

    name: str
    value: float | None
    beside: str
    """What the number means; for None, why there is none."""
    provenance: dict[str, Any]

    def row(self) -> tuple[str, str, str]:
        value = NOT_MEASURED if self.value is None else f"{self.value:.4f}"
        note = "" if self.value is None else self.provenance.get("note", "")
        return (self.name, value, f"{self.beside}; {note}" if note else self.beside)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def learned_scores(
    clips_VTHW3: np.ndarray,
    weights: Mapping[str, str],
    *,
    prompt: str | None = None,
    truth_VTHW3: np.ndarray | None = None,
) -> list[LearnedScore]:
    """Every score whose network is named in `weights`; clips in the rig's order."""
    found: list[LearnedScore] = []
    if "clip" in weights:
        found += _by_clip(clips_VTHW3, ClipEmbedder.load(weights["clip"]), prompt)
    if "dino" in weights:
        dino = vbench.Dino.load(weights["dino"])
        value = _mean(vbench.consistency(dino.pictures(clip)) for clip in clips_VTHW3)
        known = networks.provenance("dino", dino.place, dino.model)
        found.append(_vbench("subject consistency", value, known))
    if "aesthetic" in weights:
        found.append(_aesthetic(clips_VTHW3, weights))
    for name, what, score in (
        ("amt", "motion smoothness", vbench.motion_smoothness),
        ("musiq", "imaging quality", vbench.imaging_quality),
    ):
        if name in weights:
            network = networks.from_script(name, weights[name])
            value = _mean(score(network, clip) for clip in clips_VTHW3)
            known = networks.provenance(name, weights[name], network)
            found.append(_vbench(what, value, known))
    for trunk in ("alex", "vgg"):
        if f"lpips-{trunk}" in weights:
            found.append(_lpips(clips_VTHW3, truth_VTHW3, trunk, weights[f"lpips-{trunk}"]))
    return found


def not_measured(
    weights: Mapping[str, str], names: tuple[str, ...] = networks.OF_CLIPS
) -> dict[str, str]:
    """What was left out, and which weights would give it."""
    return {
        network.gives: f"--weights {name}=PLACE; {network.place}"
        for name, network in networks.NETWORKS.items()
        if name in names and name not in weights
    }


def _by_clip(clips: np.ndarray, clip: ClipEmbedder, prompt: str | None) -> list[LearnedScore]:
    known = clip.provenance()
    score = clip_scores(clips, prompt, clip)
    why = "give --prompt" if not prompt else "mean cosine of frame and prompt x 100"
    rows = [
        ("CLIP-T", score.clip_t, why, {}),
        ("CLIP-F", score.clip_f, "mean cosine of neighbouring frames x 100", {}),
        (
            "CLIP-V",
            score.clip_v,
            "mean cosine of two views at a moment x 100",
            {"pairs": "all views"},
        ),
    ]
    found = [
        LearnedScore(name=name, value=value, beside=beside, provenance={**known, **more})
        for name, value, beside, more in rows
    ]
    background = _mean(vbench.consistency(clip.pictures(c)) for c in clips)
    return [*found, _vbench("background consistency", background, known)]


def _aesthetic(clips: np.ndarray, weights: Mapping[str, str]) -> LearnedScore:
    if "clip-aesthetic" not in weights:
        raise SynCamError(
            "option.weights",
            "The aesthetic head reads CLIP features: --weights clip-aesthetic=PLACE is missing.",
            fix=networks.NETWORKS["clip-aesthetic"].place,
        )
    clip = ClipEmbedder.load(weights["clip-aesthetic"])
    head = vbench.AestheticHead.load(weights["aesthetic"])
    features = [clip.pictures(c) for c in clips]
    if features[0].shape[1] != head.in_features:
        raise SynCamError(
            "weights.mismatch",
            f"The aesthetic head reads {head.in_features} numbers, the CLIP "
            f"{weights['clip-aesthetic']} gives {features[0].shape[1]}.",
        )
    known = networks.provenance("aesthetic", weights["aesthetic"], head, clip=clip.provenance())
    return _vbench("aesthetic quality", _mean(head.score(f) for f in features), known)


def _lpips(clips: np.ndarray, truth: np.ndarray | None, trunk: str, place: str) -> LearnedScore:
    network = Lpips.load(trunk, place)
    known = networks.provenance(f"lpips-{trunk}", place, network, heads="torchmetrics, v0.1")
    name = f"LPIPS ({'AlexNet' if trunk == 'alex' else 'VGG'})"
    if truth is None:
        return LearnedScore(name=name, value=None, beside="give --truth", provenance=known)
    value = _mean(lpips(network, made, true) for made, true in zip(clips, truth, strict=True))
    return LearnedScore(name=name, value=value, beside="against the true clips", provenance=known)


def _vbench(what: str, value: float, known: dict[str, Any]) -> LearnedScore:
    return LearnedScore(
        name=f"{what} (VBench)", value=value, beside="mean over clips", provenance=known
    )


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
