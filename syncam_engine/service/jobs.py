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


class Ticket(msgspec.Struct, kw_only=True):
    """`request.json`: all that was accepted."""

    owner: str
    client_name: str
    fingerprint: str
    place: float
    submitted_unix_s: float
    warnings: list[Notice]
    request: GenerateRequest


class Summary(msgspec.Struct, kw_only=True):
    """What is told of a job in lists, also once its request is not needed any more."""

    client_name: str
    fingerprint: str
    prompt: str
    views: int
    warnings: list[Notice]

    @classmethod
    def of(cls, ticket: Ticket) -> Summary:
        return cls(
            client_name=ticket.client_name,
            fingerprint=ticket.fingerprint,
            prompt=ticket.request.prompt,
            views=views_of(ticket.request),
            warnings=ticket.warnings,
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
    request: GenerateRequest | None
    """None of one that has ended, where it is read from the disk."""
    prompt: str
    views: int
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

    @classmethod
    def of(cls, ticket: Ticket) -> Job:
        """A job that was accepted, and no more than that."""
        request = ticket.request
        return cls(
            id=request.job_id,
            owner=ticket.owner,
            client_name=ticket.client_name,
            request=request,
            prompt=request.prompt,
            views=views_of(request),
            fingerprint=ticket.fingerprint,
            place=ticket.place,
            submitted_unix_s=ticket.submitted_unix_s,
            warnings=ticket.warnings,
        )

    def ticket(self) -> Ticket:
        """What is written down of it. Only of one that is open."""
        return Ticket(
            owner=self.owner,
            client_name=self.client_name,
            fingerprint=self.fingerprint,
            place=self.place,
            submitted_unix_s=self.submitted_unix_s,
            warnings=self.warnings,
            request=self.request,
        )

    def info(self, *, mine: bool, position: int = 0, eta_s: float | None = None) -> JobInfo:
        """What a client may know; other people's prompts and results are their own."""
        return JobInfo(
            job_id=self.id if mine else "",
            state=self.state,
            mine=mine,
            client=self.client_name,
            prompt=self.prompt if mine else "",
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


def views_of(request: GenerateRequest) -> int:
    cameras = request.rig.get("cameras")
    return len(cameras) if isinstance(cameras, list) else 0


def fingerprint_of(request: GenerateRequest) -> str:
    """SHA-256 of a request, independent of the order of its maps' keys."""
    return hashlib.sha256(msgspec.msgpack.encode(request, order="sorted")).hexdigest()
