# SPDX-License-Identifier: Apache-2.0
"""A job as the server keeps it: what is written down, and what is only known while it runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import msgspec

from syncam_engine.link.messages import (
    Done,
    ErrorInfo,
    GenerateRequest,
    JobInfo,
    JobState,
    Notice,
)

WAITING = ("queued", "paused")
OPEN = ("queued", "paused", "running")


@dataclass(slots=True, kw_only=True)
class Job:
    """One accepted job. Times are Unix seconds, for people; nothing is decided by them."""

    id: str
    owner: str
    """ "local:CLIENT-ID", or "key:PUBLIC-KEY" over CURVE."""
    client_name: str
    request: GenerateRequest
    fingerprint: str
    """Of the request as it came: the same id with another fingerprint is refused."""
    place: float
    """Order among one owner's jobs."""
    submitted_unix_s: float
    state: JobState = "queued"
    attempts: int = 0
    deaths: int = 0
    """How often the worker died or hung while this job ran."""
    warnings: list[Notice] = field(default_factory=list)
    done: Done | None = None
    error: ErrorInfo | None = None
    bytes: int = 0
    """What its folder holds on disk."""

    # Known only while it runs:
    phase: str = ""
    step: int = 0
    steps: int = 0
    eta_s: float | None = None

    @property
    def priority(self) -> int:
        return self.request.priority

    @property
    def views(self) -> int:
        cameras = self.request.rig.get("cameras")
        return len(cameras) if isinstance(cameras, list) else 0

    def info(self, *, mine: bool, position: int = 0, eta_s: float | None = None) -> JobInfo:
        """What a client may know; other people's prompts and results are their own."""
        return JobInfo(
            job_id=self.id if mine else "",
            state=self.state,
            mine=mine,
            client=self.client_name,
            prompt=self.request.prompt if mine else "",
            views=self.views,
            position=position,
            eta_s=eta_s if self.state in WAITING else self.eta_s,
            phase=self.phase,
            step=self.step,
            steps=self.steps,
            attempt=self.attempts,
            submitted_unix_s=self.submitted_unix_s,
            warnings=self.warnings if mine else [],
            done=self.done if mine else None,
            error=self.error if mine else None,
        )


def fingerprint_of(request: GenerateRequest) -> str:
    """SHA-256 of a request, independent of the order of its maps' keys."""
    return hashlib.sha256(msgspec.msgpack.encode(request, order="sorted")).hexdigest()
