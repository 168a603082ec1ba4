# SPDX-License-Identifier: Apache-2.0
"""`syncam evaluate preview`: the preview model on scenes that it never saw.

Each held-out scene is asked for twice with the same cameras, prompt and noise: in text mode, and
in reference mode with view 0 given. Retrieval, time alignment and errors are of the views that
were made (1 to V-1). Pictures of one moment a latent frame (its last picture) are compared.

Shape legend: S scenes, C cameras of a scene, V views, T pictures, F latent frames, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from syncam_engine.data.scene import Scene, SceneSource
from syncam_engine.evaluation.synchrony import moves, retrieval_hits, time_hits
from syncam_engine.link.errors import SynCamError
from syncam_engine.preview.content import content_rows

Generate = Callable[[Scene, Sequence[int], str, int, np.ndarray | None], np.ndarray]
"""(scene, cameras, prompt, seed, reference_THW3 or None) -> clips uint8 VTHW3."""


@dataclass(kw_only=True, slots=True)
class PreviewScore:
    """The scores, each beside its chance level or its baseline."""

    scenes: int
    views: int
    retrieval_reference: float
    """Reference mode: share of views nearest to their own camera's truth among all cameras."""
    retrieval_text: float
    retrieval_chance: float
    time_alignment: float | None
    """Reference mode: share of moments nearest to their own moment; None without motion."""
    time_alignment_codec: float | None
    """The same for the true clips after the autoencoder: the highest that can be reached."""
    time_chance: float
    psnr_reference_db: float
    psnr_text_db: float
    psnr_copy_db: float
    """Baseline: the reference clip shown for every view."""
    psnr_mean_db: float
    """Baseline: the mean picture of the training data (or of the held-out scenes)."""
    psnr_codec_db: float
    """The autoencoder's round trip of the true clips."""
    prompt_content: dict[str, Any] = field(default_factory=dict)
    """What the prompt classifier saw; empty without one."""
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, score, beside it) for a table."""
        time = ("time alignment, reference mode", "not measured", "the clips do not move")
        if self.time_alignment is not None:
            beside = f"chance {self.time_chance:.2f}, codec {self.time_alignment_codec:.2f}"
            time = (time[0], f"{self.time_alignment:.2f}", f"{beside}, gate 0.6")
        content = content_rows(self.prompt_content) if self.prompt_content else []
        return [
            (
                "camera retrieval, reference mode",
                f"{self.retrieval_reference:.2f}",
                f"chance {self.retrieval_chance:.3f}, gate 0.6",
            ),
            (
                "camera retrieval, text mode",
                f"{self.retrieval_text:.2f}",
                f"chance {self.retrieval_chance:.3f}",
            ),
            time,
            (
                "PSNR, reference mode",
                f"{self.psnr_reference_db:.2f} dB",
                f"copy {self.psnr_copy_db:.2f}, mean picture {self.psnr_mean_db:.2f}, "
                f"codec {self.psnr_codec_db:.2f} dB",
            ),
            (
                "PSNR, text mode",
                f"{self.psnr_text_db:.2f} dB",
                f"mean picture {self.psnr_mean_db:.2f} dB",
            ),
            *content,
        ]


@dataclass(kw_only=True, slots=True)
class _Tally:
    reference_hits: list[bool] = field(default_factory=list)
    text_hits: list[bool] = field(default_factory=list)
    time: list[bool] = field(default_factory=list)
    time_codec: list[bool] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)

    def add_error(self, name: str, made: np.ndarray, true: np.ndarray) -> None:
        error = np.mean((made.astype(np.float64) - true.astype(np.float64)) ** 2)
        self.errors.setdefault(name, []).append(float(error))

    def psnr(self, name: str) -> float:
        """PSNR of the mean squared error over all scenes."""
        return float(10.0 * np.log10(255.0**2 / max(1e-6, np.mean(self.errors[name]))))


def evaluate_preview(
    source: SceneSource,
    generate: Generate,
    round_trip: Callable[[np.ndarray], np.ndarray],
    *,
    scenes: int,
    views: int = 4,
    frames: int = 17,
    seed: int = 0,
    mean_picture_HW3: np.ndarray | None = None,
    on_scene: Callable[[int, int, dict[str, np.ndarray]], None] | None = None,
) -> PreviewScore:
    """Score `scenes` held-out scenes; `round_trip` is the autoencoder on clips uint8 VTHW3.

    `on_scene` gets (number, scene index, {"true", "codec", "reference", "text"} clips).
    """
    usable = [
        i
        for i, scene in enumerate(source.scenes)
        if scene.kind == "multiview" and scene.cameras > views and scene.frames >= frames
    ][:scenes]
    if not usable:
        raise SynCamError(
            "data.empty",
            f"The source {source.name} has no scene of more than {views} cameras with {frames} "
            "pictures.",
        )
    moments = _moments(frames)
    tally = _Tally()
    trues, chances = [], []
    for number, index in enumerate(usable):
        scene = source.scenes[index]
        rng = np.random.default_rng([seed, index])
        cameras = [int(c) for c in rng.permutation(scene.cameras)[:views]]
        prompt = scene.captions[int(rng.integers(len(scene.captions)))]
        everything = source.read_pictures(index, range(scene.cameras), range(frames))
        true = everything[cameras]
        by_reference = generate(scene, cameras, prompt, seed + number, true[0])
        by_text = generate(scene, cameras, prompt, seed + number, None)
        coded = round_trip(true)
        at = (slice(None), moments)
        tally.reference_hits += retrieval_hits(by_reference[at][1:], everything[at], cameras[1:])
        tally.text_hits += retrieval_hits(by_text[at][1:], everything[at], cameras[1:])
        for view in range(1, views):
            if moves(true[view, moments]):
                tally.time += time_hits(by_reference[view, moments], true[view, moments])
                tally.time_codec += time_hits(coded[view, moments], true[view, moments])
        for name, made in (("reference", by_reference), ("text", by_text), ("codec", coded)):
            tally.add_error(name, made[1:], true[1:])
        tally.add_error("copy", np.broadcast_to(true[:1], true[1:].shape), true[1:])
        trues.append(true[1:])
        chances.append(1.0 / scene.cameras)
        if on_scene:
            clips = {"true": true, "codec": coded, "reference": by_reference, "text": by_text}
            on_scene(number, index, clips)
    if mean_picture_HW3 is None:
        mean_picture_HW3 = np.mean([t.mean(axis=(0, 1)) for t in trues], axis=0)
    for true in trues:
        tally.add_error("mean", np.broadcast_to(mean_picture_HW3, true.shape), true)
    return PreviewScore(
        scenes=len(usable),
        views=views,
        retrieval_reference=_share(tally.reference_hits),
        retrieval_text=_share(tally.text_hits),
        retrieval_chance=float(np.mean(chances)),
        time_alignment=_share(tally.time),
        time_alignment_codec=_share(tally.time_codec),
        time_chance=1.0 / len(moments),
        psnr_reference_db=tally.psnr("reference"),
        psnr_text_db=tally.psnr("text"),
        psnr_copy_db=tally.psnr("copy"),
        psnr_mean_db=tally.psnr("mean"),
        psnr_codec_db=tally.psnr("codec"),
    )


def _moments(frames: int) -> list[int]:
    """The last picture of each latent frame: 0, 4, 8, ..."""
    return list(range(0, frames, 4))


def _share(hits: list[bool]) -> float | None:
    return float(np.mean(hits)) if hits else None
