# SPDX-License-Identifier: Apache-2.0
"""View parallelism: the views of one request spread over ranks, exactly.

Everything in the network works within a view but the view attention, which works within a latent
frame. Around it two all-to-alls exchange 'my views, all frames' for 'all views, my frames' and
back. Views and frames need not divide by the ranks.

Shape legend: B scenes, V views, F latent frames, S tokens of a latent frame, D width; a lower-case
v or f is this rank's share.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from syncam_engine.model.views import ViewExchange


def shares(total: int, ranks: int) -> list[slice]:
    """Return each rank's part of `total` things: contiguous, the first ranks one longer."""
    least, more = divmod(total, ranks)
    starts = [rank * least + min(rank, more) for rank in range(ranks + 1)]
    return [slice(a, b) for a, b in pairwise(starts)]


@dataclass(frozen=True)
class ViewGroup:
    """This rank's place among the ranks that share a request."""

    rank: int
    ranks: int
    views: int
    """V of the whole request."""

    @classmethod
    def current(cls, views: int) -> ViewGroup | None:
        """Return the group of the running torch.distributed world; None for a single process.

        Raises ValueError when there are more ranks than views.
        """
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return None
        ranks = dist.get_world_size()
        if ranks > views:
            raise ValueError(f"{ranks} ranks share {views} views; use at most {views} ranks")
        return cls(dist.get_rank(), ranks, views)

    @property
    def my_views(self) -> slice:
        return shares(self.views, self.ranks)[self.rank]

    @property
    def most_views(self) -> int:
        """Views of the rank that has the most."""
        return -(-self.views // self.ranks)

    def my_frames(self, frames: int) -> slice:
        return shares(frames, self.ranks)[self.rank]

    def exchange(self, frames: int) -> ViewExchange:
        """Return the two all-to-alls for clips of F latent frames."""
        views_of, frames_of = shares(self.views, self.ranks), shares(frames, self.ranks)

        def to_frames(x_BvFSD: Tensor) -> Tensor:
            send = [x_BvFSD[:, :, part] for part in frames_of]
            batch, _, _, tokens, width = x_BvFSD.shape
            mine = _length(frames_of[self.rank])
            shapes = [(batch, _length(part), mine, tokens, width) for part in views_of]
            return torch.cat(all_to_all(send, shapes), dim=1)

        def to_views(x_BVfSD: Tensor) -> Tensor:
            send = [x_BVfSD[:, part] for part in views_of]
            batch, _, _, tokens, width = x_BVfSD.shape
            mine = _length(views_of[self.rank])
            shapes = [(batch, mine, _length(part), tokens, width) for part in frames_of]
            return torch.cat(all_to_all(send, shapes), dim=2)

        return ViewExchange(to_frames, to_views)

    def gather_views(self, x_v: Tensor) -> Tensor:
        """Return all ranks' views, [V, ...], on every rank."""
        shapes = [(_length(part), *x_v.shape[1:]) for part in shares(self.views, self.ranks)]
        return torch.cat(all_to_all([x_v] * self.ranks, shapes), dim=0)


def all_to_all(send: list[Tensor], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Send one tensor to each rank and return one from each, of the given shapes.

    One flat buffer with uneven parts, the form that both NCCL and gloo have.
    """
    flat = torch.cat([part.reshape(-1) for part in send])
    sizes = [torch.Size(shape).numel() for shape in shapes]
    received = flat.new_empty(sum(sizes))
    dist.all_to_all_single(received, flat, sizes, [part.numel() for part in send])
    parts = received.split(sizes)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _length(part: slice) -> int:
    return part.stop - part.start
