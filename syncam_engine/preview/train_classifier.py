# SPDX-License-Identifier: Apache-2.0
"""The prompt classifier as a task of the trainer: pictures of renders, labels from their captions.

Some micro-batches go through the preview's autoencoder first, where one is named: what is judged
later has been through it too.

Shape legend: N pictures, A questions, T = 1 picture, H, W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from syncam_engine.data.mixture import BatchRequest, Mixture
from syncam_engine.data.scene import Sample, Scene
from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.preview.autoencoder import PatchAutoencoder
from syncam_engine.preview.classifier import (
    NOT_SAID,
    Attributes,
    PromptClassifier,
    labels_of,
)
from syncam_engine.preview.train_autoencoder import video_of
from syncam_engine.training.config import PhaseConfig, TrainConfig
from syncam_engine.training.tasks import Task

CODED = 0.2
"""Share of micro-batches that the autoencoder sees; it costs more than the classifier."""
SHIFT_PX = 8
"""Pictures are moved by up to this much each way, and mirrored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureBatch:
    """Pictures in [-1, 1] and their class numbers."""

    pictures_N3HW: Tensor
    labels_NA: Tensor
    keys: tuple[str, ...]

    def to(self, device: torch.device) -> PictureBatch:
        return replace(
            self,
            pictures_N3HW=self.pictures_N3HW.to(device),
            labels_NA=self.labels_NA.to(device),
        )


def check_named(attributes: Attributes, scenes: Sequence[Scene]) -> None:
    """Raise `SynCamError` for an attribute of which no caption names a class."""
    lacking = set(attributes)
    for scene in scenes:
        labels = labels_of(scene.captions[0], attributes)
        lacking -= {name for name, n in zip(attributes, labels, strict=True) if n != NOT_SAID}
        if not lacking:
            return
    name = sorted(lacking)[0]
    raise SynCamError(
        "config.value",
        f"No caption of the data has a word of the training config's classifier.attributes.{name}.",
        value=name,
    )


class ClassifierTask(Task):
    """Builds the classifier, makes batches, computes the loss."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.autoencoder: PatchAutoencoder | None = None
        if config.model.autoencoder:
            self.autoencoder = PatchAutoencoder.load(expand(config.model.autoencoder))
            self.autoencoder.requires_grad_(False)

    @classmethod
    def of_run(cls, config: TrainConfig, mixture: Mixture, words: Sequence[str]) -> ClassifierTask:
        scenes = [scene for source, _ in mixture.sources for scene in source.scenes]
        check_named(config.section.attributes, scenes)
        return cls(config)

    def build(self) -> PromptClassifier:
        torch.manual_seed(self.config.seed)
        return PromptClassifier(self.config.section.attributes)

    def request(self, phase: PhaseConfig) -> BatchRequest:
        """Single pictures, each of another scene."""
        return BatchRequest(
            views=1,
            frames=1,
            stills=1.0,
            batch=phase.batch,
            stills_batch=phase.stills_batch_or_batch,
            degrees=phase.degrees,
        )

    def prepare(self, samples: Sequence[Sample], generator: torch.Generator) -> PictureBatch:
        video_N3THW = torch.cat([video_of(sample) for sample in samples])
        if self.autoencoder is not None and torch.rand((), generator=generator) < CODED:
            with torch.no_grad():
                coder = self.autoencoder
                video_N3THW = coder.decode(coder.encode(video_N3THW)).clamp(-1, 1)
        pictures = video_N3THW[:, :, 0]
        padded = functional.pad(pictures, (SHIFT_PX,) * 4, mode="replicate")
        height, width = pictures.shape[2:]
        moved = []
        for picture in padded:
            left, top = torch.randint(2 * SHIFT_PX + 1, (2,), generator=generator).tolist()
            crop = picture[:, top : top + height, left : left + width]
            mirrored = torch.rand((), generator=generator) < 0.5
            moved.append(crop.flip(-1) if mirrored else crop)
        attributes = self.config.section.attributes
        return PictureBatch(
            pictures_N3HW=torch.stack(moved),
            labels_NA=torch.tensor([labels_of(s.caption, attributes) for s in samples]),
            keys=tuple(f"{sample.source}/{sample.key}" for sample in samples),
        )

    def loss(self, model: nn.Module, batch: PictureBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy, summed over the attributes that the captions name."""
        logged = {}
        names = self.config.section.attributes
        every = model(batch.pictures_N3HW)
        # A batch may name no class of an attribute: its layers have a gradient, of zero.
        total = sum(0.0 * logits.sum() for logits in every)
        for name, logits, labels in zip(names, every, batch.labels_NA.T, strict=True):
            said = labels != NOT_SAID
            if said.any():
                total = total + functional.cross_entropy(logits[said].float(), labels[said])
                right = logits[said].argmax(-1) == labels[said]
                logged[f"right_{name}"] = float(right.float().mean())
        return total, logged


def export_classifier(
    config: TrainConfig,
    tensors: dict[str, Tensor],
    target: Path,
    open_data: Callable[[], Mixture],
) -> None:
    """Write `classifier.safetensors`, in 32 bits; no data is needed."""
    net = ClassifierTask(config).build()
    net.load_state_dict(tensors)
    net.save(target)
