# SPDX-License-Identifier: Apache-2.0
"""What a run will need, said before it starts: memory from sizes and a probe, time from a probe."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from syncam_engine.link.errors import SynCamError
from syncam_engine.sampling.memory import free_memory

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Memory of one process and time of the whole run."""

    parameters: int
    trained: int
    state_bytes: int
    """Weights, gradients, AdamW's two moments and averaged weights."""
    peak_bytes: int
    """Peak of the process in the probe, with what the optimiser will add."""
    seconds_left: float

    def sentence(self) -> str:
        return (
            f"{self.parameters / 1e6:.1f} M parameters ({self.trained / 1e6:.1f} M trained), "
            f"about {self.peak_bytes / 2**30:.1f} GiB a process, "
            f"about {duration(self.seconds_left)} to go"
        )


def state_bytes(model: nn.Module, averaged: bool) -> int:
    """Bytes of weights, gradients, both moments and the average, all in 32 bits."""
    every = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return FLOAT_BYTES * (every * (2 if averaged else 1) + 3 * trained)


def check_memory(model: nn.Module, averaged: bool, device: torch.device, shares: int = 1) -> None:
    """Refuse a run whose mere state does not fit. Raises `SynCamError` ("memory.small").

    `shares`: the processes that a sharded model is spread over.
    """
    needed = state_bytes(model, averaged) // shares
    free = free_memory(str(device))
    if needed > free:
        raise SynCamError(
            "memory.small",
            f"The run needs {needed / 2**30:.1f} GiB for weights and optimiser alone, "
            f"{free / 2**30:.1f} GiB are free on {device}.",
            value=needed,
            nearest=free,
            fix="Train only the new parameters, or use a machine with more memory",
        )


def estimate(
    model: nn.Module,
    averaged: bool,
    device: torch.device,
    probes: list[tuple[Callable[[], None], int]],
) -> Estimate:
    """Run each probe (one forward and backward) and reckon it over its micro-batches.

    The probes must leave nothing behind but gradients, which are dropped here.
    """
    seconds = 0.0
    for probe, count in probes:
        if count <= 0:
            continue
        probe()  # The first pass also pays for set-up.
        model.zero_grad(set_to_none=True)
        started = time.perf_counter()
        probe()
        seconds += (time.perf_counter() - started) * count
        model.zero_grad(set_to_none=True)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Estimate(
        parameters=sum(p.numel() for p in model.parameters()),
        trained=trained,
        state_bytes=state_bytes(model, averaged),
        peak_bytes=_peak_bytes(device) + 2 * FLOAT_BYTES * trained,
        seconds_left=seconds,
    )


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
