# SPDX-License-Identifier: Apache-2.0
"""What the trainer reads: micro-batches by their numbers, here or in reader processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import FoundBroken, Sample
from syncam_engine.link.errors import SynCamError
from syncam_engine.training.config import TrainConfig


@dataclass(kw_only=True, slots=True)
class Read:
    """A micro-batch, or why there is none, with the files that were found broken on the way."""

    samples: list[Sample]
    broken: list[FoundBroken]
    error: SynCamError | None = None


class MicroBatches(Dataset):
    """Item i is micro-batch (step, micro) = divmod(i, accumulation) of this process."""

    def __init__(self, mixture: Mixture, config: TrainConfig, request_at: Callable, rank: int):
        self.mixture, self.config = mixture, config
        self.request_at, self.rank = request_at, rank

    def __getitem__(self, index: int) -> Read:
        step, micro = divmod(index, self.config.optim.accumulation)
        request = self.request_at(self.config.phase_at(step))
        samples, fault = [], None
        try:
            samples = self.mixture.batch(request, step=step, micro=micro, rank=self.rank)
        except SynCamError as error:
            # Raised in a reader process, torch would make it another error with its traceback.
            fault = error
        return Read(samples=samples, broken=self.mixture.take_broken(), error=fault)


def micro_batches(dataset: MicroBatches, start: int, last: int) -> Iterator[Read]:
    """Yield the micro-batches of steps `start` to `last` - 1, in order."""
    every = dataset.config.optim.accumulation
    yield from DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start * every, last * every),
        num_workers=dataset.config.data.workers,
        collate_fn=_same,
    )


def _same(read: Read) -> Read:
    return read
