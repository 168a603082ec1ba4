# SPDX-License-Identifier: Apache-2.0
"""The averaged weights (EMA) that are exported and sampled from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Exponential moving average by name; its decay rises as (1+n)/(10+n) up to `decay`."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {
            name: p.detach().clone().float() for name, p in model.named_parameters()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """Take in the model's weights after `steps` steps."""
        share = 1.0 - min(self.decay, (1 + steps) / (10 + steps))
        mine, theirs = [], []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                mine.append(self.tensors[name])
                theirs.append(parameter.detach().float())
        torch._foreach_lerp_(mine, theirs, share)

    def load(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)

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
