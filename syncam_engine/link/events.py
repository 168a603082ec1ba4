# SPDX-License-Identifier: Apache-2.0
"""What a client's `poll()` tells beyond the engine's own events, and how each thing is told once.

Events of a job reach a client twice over: pushed as they happen, and again in the answer to `sync`,
which makes up for what was dropped or missed. `FollowedJob.is_news` lets each through once, in an
order that makes sense, and nothing after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from . import codec, job_results, limits
from .errors import SynCamError
from .job_results import Asked
from .messages import (
    ClipResult,
    Done,
    ErrorInfo,
    Failed,
    JobInfo,
    Phase,
    Preview,
    Progress,
    Queued,
    Submit,
)
from .transfer import Outgoing


class Lost(Struct, kw_only=True):
    """The engine does not answer any more, or does not let this client in."""

    error: ErrorInfo


class Reply(Struct, kw_only=True):
    """The answer to a call that is not about following a job; `message_id` is what it returned."""

    message_id: str
    body: Any
    """Acknowledged, EngineStatus, JobList or ErrorInfo."""


class Fetched(Struct, kw_only=True):
    message_id: str
    job_id: str
    clip: ClipResult
    path: str


class WorkerChanged(Struct, kw_only=True):
    """starting, loading, ready, busy, asleep, yielded, dead; and the device, once it is known."""

    worker: str
    device: str


class FollowedJob:
    """What a client knows of one job. `submission` is None for a job that was sent before; `asked`
    is what its result must be, None where that is not known."""

    def __init__(
        self,
        submission: Submit | None = None,
        sources: Sequence[Path | str | bytes] = (),
        asked: Asked | None = None,
    ) -> None:
        self.submission = submission
        self.asked = Asked.of_request(submission.request) if submission else asked
        self.inputs = [Outgoing(source) for source in sources]
        self.acknowledged = submission is None
        self._place: tuple = ()
        self._attempt = 0
        self._phase = ""
        self._step = 0

    def as_told(self, event: Any) -> Any | None:
        """Return what to pass on of an event: a result is checked, None is no news."""
        if isinstance(event, Done):
            try:
                return job_results.checked(event, self.asked)
            except SynCamError as error:
                return Failed(job_id=event.job_id, error=codec.error_info(error))
        if isinstance(event, Queued):
            event.warnings = event.warnings[: limits.MAX_NOTICES]
        return event if self.is_news(event) else None

    def is_news(self, event: Any) -> bool:
        """True when the event says something that was not told yet."""
        if isinstance(event, Preview):
            return self.asked is not None and self.asked.is_preview(event)
        if isinstance(event, Queued):
            place = (event.position, event.paused, round(event.eta_s or 0))
            if place == self._place:
                return False
            self._place = place
        elif isinstance(event, Phase):
            if event.attempt < self._attempt:
                return False
            if (event.attempt, event.phase) == (self._attempt, self._phase):
                return False
            if event.attempt > self._attempt:
                self._step = 0
            self._attempt, self._phase = event.attempt, event.phase
        elif isinstance(event, Progress):
            if event.step <= self._step:
                return False
            self._step = event.step
        return True


def as_events(info: JobInfo) -> list[Any]:
    """The events that lead to the state that `info` tells."""
    if info.done is not None:
        return [info.done]
    if info.error is not None:
        return [Failed(job_id=info.job_id, error=info.error)]
    if info.state in ("queued", "paused"):
        return [
            Queued(
                job_id=info.job_id,
                position=info.position,
                eta_s=info.eta_s,
                warnings=info.warnings,
                paused=info.state == "paused",
            )
        ]
    events: list[Any] = []
    if info.phase:  # the worker has the job and has said nothing yet
        events.append(Phase(job_id=info.job_id, phase=info.phase, attempt=info.attempt))
    if info.step:
        events.append(
            Progress(job_id=info.job_id, step=info.step, steps=info.steps, eta_s=info.eta_s)
        )
    return events


def nonsense(what: str) -> ErrorInfo:
    """What is told where the engine's word cannot be used."""
    return ErrorInfo(
        code="engine.nonsense",
        sentence=f"The engine said what cannot be understood: {what.rstrip('.')}.",
        fix="Install the same SynCam version for the host's plug-in and the engine",
    )
