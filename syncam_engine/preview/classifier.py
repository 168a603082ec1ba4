# SPDX-License-Identifier: Apache-2.0
"""A small classifier of what a picture of the preview's world shows: kind, colour, place, light.

It learns from renders and their captions (`configs/prompt-classifier.yaml`, `syncam train`) and
judges what a model made of a prompt. Each attribute looks where it likes: a map of attention over
the picture, then one linear layer.

Shape legend: N pictures, H, W pixels, D channels, h, w cells, A attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.pixels import to_network
from syncam_engine.model.weight_files import read_header
from syncam_engine.preview.vocabulary import split_words

CLASSIFIER_FILE = "classifier.safetensors"
NOT_SAID = -1
"""Label of an attribute that the caption does not name."""
BATCH = 32

Attributes = Mapping[str, Mapping[str, Sequence[str]]]
"""Attribute -> class -> the words that mean it."""


def labels_of(caption: str, attributes: Attributes) -> list[int]:
    """One class number an attribute: that of the caption's first word that any class has."""
    words = split_words(caption)
    found = []
    for classes in attributes.values():
        number_of = {w: i for i, meant in enumerate(classes.values()) for w in meant}
        found.append(next((number_of[w] for w in words if w in number_of), NOT_SAID))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierSizes:
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels of the stages; the first is at a quarter of the size, then half each time."""


class PromptClassifier(nn.Module):
    """Pictures -> logits of every attribute."""

    def __init__(self, attributes: Attributes, sizes: ClassifierSizes | None = None) -> None:
        super().__init__()
        self.attributes = {a: {c: list(w) for c, w in v.items()} for a, v in attributes.items()}
        self.sizes = sizes or ClassifierSizes()
        stages, into = [nn.PixelUnshuffle(2)], 12
        for width in self.sizes.widths:
            stages += [
                nn.Conv2d(into, width, 3, stride=2, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                Residual(width),
            ]
            into = width
        self.trunk = nn.Sequential(*stages)
        self.look = nn.Conv2d(into, len(self.attributes), 1)
        self.heads = nn.ModuleList(nn.Linear(into, len(c)) for c in self.attributes.values())

    def forward(self, pictures_N3HW: Tensor) -> list[Tensor]:
        """Logits (N, classes) of each attribute; pictures in [-1, 1]."""
        features_NDhw = self.trunk(pictures_N3HW)
        weights_NAhw = self.look(features_NDhw).flatten(2).softmax(-1)
        seen_NAD = torch.einsum("nas,nds->nad", weights_NAhw, features_NDhw.flatten(2))
        return [head(seen_NAD[:, a]) for a, head in enumerate(self.heads)]

    @torch.no_grad()
    def classify(self, pictures_NHW3: np.ndarray) -> np.ndarray:
        """Class numbers (N, A) of uint8 pictures."""
        found = []
        for start in range(0, len(pictures_NHW3), BATCH):
            x = to_network(pictures_NHW3[start : start + BATCH])
            found.append(torch.stack([logits.argmax(-1) for logits in self(x)], dim=1))
        return torch.cat(found).numpy()

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CLASSIFIER_FILE
        metadata = {
            "format": "syncam-prompt-classifier",
            "attributes": json.dumps(self.attributes),
            "widths": json.dumps(self.sizes.widths),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, path, metadata=metadata)
        return path

    @classmethod
    def load(cls, folder: Path) -> PromptClassifier:
        """Read what `save` wrote. Raises `SynCamError` when it is not there."""
        path = Path(folder) / CLASSIFIER_FILE
        if not path.is_file():
            raise SynCamError(
                "weights.missing",
                f"There is no classifier at {path}.",
                value=str(path),
                fix="Train and export it: syncam train configs/prompt-classifier.yaml",
            )
        read_header(path)  # A file that was cut is one sentence.
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != "syncam-prompt-classifier":
                raise SynCamError("weights.format", f"{path} is not a prompt classifier.")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        sizes = ClassifierSizes(widths=tuple(json.loads(metadata["widths"])))
        model = cls(json.loads(metadata["attributes"]), sizes)
        model.load_state_dict(tensors)
        return model.eval().requires_grad_(False)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x + self.inner(x))
