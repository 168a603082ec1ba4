# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: higher priorities first, and inside one, owners take turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Waiting(Protocol):
    id: str
    owner: str
    place: float

    @property
    def priority(self) -> int: ...


def fair_order(jobs: Iterable[Waiting], served: Mapping[str, int]) -> list[str]:
    """Return job ids in the order in which they will start.

    `served` maps an owner to a counter of when it was last served (absent: never). Inside a
    priority the owner served longest ago goes first, then they take turns; one owner's jobs keep
    their own order (`place`).
    """
    by_priority: dict[int, dict[str, list[Waiting]]] = {}
    for job in jobs:
        by_priority.setdefault(job.priority, {}).setdefault(job.owner, []).append(job)
    turn = dict(served)
    clock = max(turn.values(), default=0)
    order: list[str] = []
    for priority in sorted(by_priority, reverse=True):
        lanes = {
            owner: sorted(lane, key=lambda job: (job.place, job.id), reverse=True)
            for owner, lane in by_priority[priority].items()
        }
        while lanes:
            owner = min(lanes, key=lambda name: (turn.get(name, 0), lanes[name][-1].place, name))
            order.append(lanes[owner].pop().id)
            clock += 1
            turn[owner] = clock
            if not lanes[owner]:
                del lanes[owner]
    return order
