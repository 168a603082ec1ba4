# SPDX-License-Identifier: Apache-2.0
"""How long jobs take, learned from the ones before: a guess that is said to be one."""

from __future__ import annotations

import time

from syncam_engine.link.messages import GenerateRequest

_KEEP = 0.6


class Estimator:
    """Seconds a unit of work, for each preset; a unit is one view's pixel for one step."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], float] = {}
        self._step_since: dict[str, tuple[int, float]] = {}

    def learn(self, request: GenerateRequest, seconds: dict[str, float]) -> None:
        """Take the phases' seconds of a finished job."""
        for kind, spent, size in (
            ("steps", seconds.get("sample", 0.0), _pixels(request) * max(1, request.steps)),
            ("rest", _rest(seconds), _pixels(request)),
        ):
            key = (request.preset, kind)
            old = self._rates.get(key, spent / size)
            self._rates[key] = _KEEP * old + (1 - _KEEP) * spent / size

    def whole_s(self, request: GenerateRequest) -> float | None:
        """Seconds of a job that has not begun, or None before the first of its preset."""
        rate = self._rates.get((request.preset, "steps"))
        if rate is None:
            return None
        return rate * _pixels(request) * max(1, request.steps) + self._rest_s(request)

    def left_s(self, job_id: str, request: GenerateRequest, step: int, steps: int) -> float | None:
        """Seconds left of a job at a step, from the pace of its own steps."""
        now_s = time.monotonic()
        first_step, since_s = self._step_since.setdefault(job_id, (step, now_s))
        if step > first_step:
            pace = (now_s - since_s) / (step - first_step)
        else:
            rate = self._rates.get((request.preset, "steps"))
            if rate is None:
                return None
            pace = rate * _pixels(request)
        return pace * max(0, steps - step) + self._rest_s(request)

    def forget(self, job_id: str) -> None:
        self._step_since.pop(job_id, None)

    def _rest_s(self, request: GenerateRequest) -> float:
        return self._rates.get((request.preset, "rest"), 0.0) * _pixels(request)


def _pixels(request: GenerateRequest) -> int:
    views = len(request.rig.get("cameras", ())) or 1
    return views * request.frames * request.width * request.height


def _rest(seconds: dict[str, float]) -> float:
    return sum(seconds.get(phase, 0.0) for phase in ("encode", "decode", "write"))
