# SPDX-License-Identifier: Apache-2.0
"""What the trainer asks of a task; each kind of training is one (`registry.TASKS`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from syncam_engine.data.mixture import BatchRequest, Mixture
from syncam_engine.data.scene import Sample
from syncam_engine.training.config import PhaseConfig, TrainConfig


class Batch(Protocol):
    """Tensors of one micro-batch."""

    keys: tuple[str, ...]
    """Name its samples for messages."""

    def to(self, device: torch.device) -> Batch: ...


class Task(Protocol):
    """Builds what is trained, makes batches, computes the loss. What has a body here may stay."""

    config: TrainConfig
    words: Sequence[str] = ()
    """A vocabulary that the run must remember, in id order."""

    @classmethod
    def of_run(cls, config: TrainConfig, mixture: Mixture, words: Sequence[str]) -> Task:
        """Return the task of a run; `words` are those that its last checkpoint remembers."""
        ...

    def build(self) -> nn.Module:
        """Return the network, fresh from the config's seed or from a base."""
        ...

    def start(self, net: nn.Module) -> None:
        """Put into the network what only a fresh run starts from."""

    def rate_shares(self) -> dict[str, float]:
        """Return parts of parameters' names -> their share of the learning rate."""
        return {}

    def compiled_parts(self, net: nn.Module) -> list[nn.Module]:
        """Return what `run.compile` compiles, each alone."""
        return []

    def request(self, phase: PhaseConfig) -> BatchRequest:
        """Return what a micro-batch of a phase is drawn as."""
        data = self.config.data
        return BatchRequest(
            views=data.views,
            frames=data.frames,
            stills=phase.stills,
            batch=phase.batch,
            stills_batch=phase.stills_batch_or_batch,
            degrees=phase.degrees,
        )

    def prepare(self, samples: Sequence[Sample], generator: torch.Generator) -> Batch:
        """Return the tensors of a micro-batch; every draw comes from `generator`."""
        ...

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and what to log."""
        ...
