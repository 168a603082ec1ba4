# SPDX-License-Identifier: Apache-2.0
"""The averaged weights (EMA) that are exported and sampled from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from syncam_engine.training.processes import own_part, part_of, whole_of


class AveragedWeights:
    """Exponential moving average by name; its decay rises as (1+n)/(10+n) up to `decay`.

    Of a sharded model each process averages its own part.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {
            name: own_part(p.detach()).clone().float() for name, p in model.named_parameters()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """Take in the model's weights after `steps` steps."""
        share = 1.0 - min(self.decay, (1 + steps) / (10 + steps))
        mine, theirs = [], []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                mine.append(self.tensors[name])
                theirs.append(own_part(parameter.detach()).float())
        torch._foreach_lerp_(mine, theirs, share)

    def load(self, tensors: dict[str, Tensor], model: nn.Module) -> None:
        """Take whole tensors, as `whole` gave them."""
        for name, parameter in model.named_parameters():
            self.tensors[name].copy_(part_of(tensors[name], parameter))

    def whole(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole averaged tensors; every process must ask."""
        return {
            name: whole_of(self.tensors[name], parameter)
            for name, parameter in model.named_parameters()
        }

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the averaged weights while the block lasts."""
        kept = {name: p.detach().clone() for name, p in model.named_parameters()}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.tensors[name])
        try:
            yield model
        finally:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(kept[name])
