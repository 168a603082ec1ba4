# SPDX-License-Identifier: Apache-2.0
"""Finished jobs on their way into the level, one after another, a clip a step. No `unreal`."""

from __future__ import annotations

from collections.abc import Iterator

from .host_protocol import Host
from .panel_state import JobRecord, PanelFields


class ClipShower:
    """The jobs that wait to be shown, and the one that is being shown."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: list[JobRecord] = []
        self._now: tuple[Iterator[float], JobRecord] | None = None
        self._anew = False

    def add(self, job: JobRecord) -> None:
        """Have a job shown in its turn; one that is on its way already is left there."""
        if job not in self._waiting and (self._now is None or self._now[1] is not job):
            self._waiting.append(job)

    @property
    def busy(self) -> bool:
        return self._now is not None or bool(self._waiting)

    def step(self, fields: PanelFields) -> str:
        """Do a piece of work; return how it stands. Raises what the host does: that job is then
        left, and the next one's turn comes."""
        if self._anew:
            self._anew = False
            job = self.stop()
            if job is not None:
                self._waiting.insert(0, job)
        if self._now is None:
            if not self._host.may_show():
                return "The clips are there; they are shown when playing ends."
            job = self._waiting.pop(0)
            self._now = (self._host.show(job, fields), job)
            return "Bringing the clips into the level."
        steps, job = self._now
        try:
            part = next(steps, None)
        except BaseException:
            self._now = None
            raise
        if part is not None:
            return f"Bringing the clips into the level: {part:.0%}."
        self._now = None
        self._host.play(job)
        return f"The clips of '{job.take}' are in the level."

    def leave(self, job: JobRecord) -> None:
        """Show a job no more; what is half shown of it is taken back."""
        self._waiting = [other for other in self._waiting if other is not job]
        if self._now is not None and self._now[1] is job:
            self.stop()

    def begin_anew(self) -> None:
        """Have what is half shown taken back at the next step, and shown again from the start."""
        self._anew = self._now is not None

    def stop(self) -> JobRecord | None:
        """Take back what is half shown; return its job."""
        if self._now is None:
            return None
        (steps, job), self._now = self._now, None
        steps.close()
        return job
