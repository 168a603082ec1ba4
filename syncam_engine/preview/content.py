# SPDX-License-Identifier: Apache-2.0
"""Does what the prompt asks for appear, and do the views agree on it? By the prompt classifier.

Shape legend: V views, T pictures, H, W pixels, A attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syncam_engine.data.scene import SceneSource
from syncam_engine.evaluation.networks import digest_of
from syncam_engine.preview.classifier import NOT_SAID, PromptClassifier, labels_of

GATE = 0.8


@dataclass(slots=True)
class Tally:
    """Hits of one kind of clips, by attribute."""

    right: dict[str, list[bool]] = field(default_factory=dict)
    agreed: dict[str, list[float]] = field(default_factory=dict)

    def add(self, names: list[str], labels_A: list[int], found_VA: np.ndarray) -> None:
        for a, name in enumerate(names):
            if labels_A[a] == NOT_SAID:
                continue
            self.right.setdefault(name, []).extend(bool(x) for x in found_VA[:, a] == labels_A[a])
            # Share of the views that see what most views see.
            most = np.bincount(found_VA[:, a]).max() / len(found_VA)
            self.agreed.setdefault(name, []).append(float(most))

    def shares(self, counts: dict[str, list[Any]]) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in counts.items()}


class PromptContent:
    """Gathers, scene by scene, what the classifier sees in true and in made clips.

    One picture a view is judged, the middle one.
    """

    def __init__(self, folder: Path) -> None:
        self.classifier = PromptClassifier.load(folder)
        self.names = list(self.classifier.attributes)
        self.tallies: dict[str, Tally] = {}

    def add(self, kind: str, prompt: str, clips_VTHW3: np.ndarray) -> None:
        """Take in one scene's clips of one kind ("true", "codec", "text", "reference")."""
        labels = labels_of(prompt, self.classifier.attributes)
        found = self.classifier.classify(clips_VTHW3[:, clips_VTHW3.shape[1] // 2])
        self.tallies.setdefault(kind, Tally()).add(self.names, labels, found)

    def result(self) -> dict[str, Any]:
        """Shares by kind of clips and attribute, their mean, and the classifier's digest."""
        document: dict[str, Any] = {"classifier": digest_of(self.classifier), "gate": GATE}
        for kind, tally in self.tallies.items():
            right, agreed = tally.shares(tally.right), tally.shares(tally.agreed)
            document[kind] = {
                "right": right,
                "right_mean": float(np.mean(list(right.values()))),
                "views_agree": agreed,
                "views_agree_mean": float(np.mean(list(agreed.values()))),
            }
        document["chance"] = {
            name: 1.0 / len(classes) for name, classes in self.classifier.attributes.items()
        }
        return document


def content_rows(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows for the table: each attribute, what the clips show and what the judge itself can."""
    rows = []
    for name, share in document["text"]["right"].items():
        known = f"the classifier itself {document['true']['right'][name]:.2f} on the true pictures"
        after = f"{document['codec']['right'][name]:.2f} after the autoencoder"
        chance = f"chance {document['chance'][name]:.2f}"
        rows.append((f"{name} as asked, text mode", f"{share:.2f}", f"{known}, {after}, {chance}"))
    text, true = document["text"], document["true"]
    return [
        *rows,
        (
            "all four as asked, mean" if len(rows) == 4 else "all as asked, mean",
            f"{text['right_mean']:.2f}",
            f"true pictures {true['right_mean']:.2f}, gate {document['gate']}",
        ),
        (
            "views agree on them, mean",
            f"{text['views_agree_mean']:.2f}",
            f"true pictures {true['views_agree_mean']:.2f}",
        ),
    ]


def accuracy(folder: Path, source: SceneSource) -> dict[str, Any]:
    """The classifier's own accuracy on every camera of every scene of a source."""
    content = PromptContent(folder)
    for index, scene in enumerate(source.scenes):
        middle = [scene.frames // 2]
        clips = source.read_pictures(index, range(scene.cameras), middle)
        content.add("true", scene.captions[0], clips)
    result = content.result()
    return {
        "accuracy": result["true"]["right"],
        "mean": result["true"]["right_mean"],
        "views_agree": result["true"]["views_agree"],
        "chance": result["chance"],
        "provenance": {
            "classifier": result["classifier"],
            "source": source.name,
            "scenes": len(source.scenes),
            "pictures": sum(scene.cameras for scene in source.scenes),
        },
    }
