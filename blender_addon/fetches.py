# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips that are on their way from the engine to files of our own. Pure: no bpy."""

from __future__ import annotations

from pathlib import Path

from syncam_engine.link.client import EngineClient
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched

from .jobs import JobRecord


class Fetches:
    """What was asked for and has not come yet."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[JobRecord, int]] = {}
        self.fault: SynCamError | None = None
        """Why the last that was asked for did not come."""

    def may_ask(self, client: EngineClient | None, record: JobRecord, index: int) -> bool:
        """Whether a clip can be had now: the engine answers, or its file lies on this machine."""
        if client is None:
            return False
        if client.state in ("ready", "loading"):
            return True
        return client.local_file(record.job_id, record.clip_result(index)) is not None

    def ask(self, client: EngineClient, record: JobRecord, index: int, target: Path) -> None:
        """Ask for one clip's file; `record.clips[index]["local"]` is set when it is there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.fault = None
        message_id = client.fetch(record.job_id, record.clip_result(index), target)
        self._asked[message_id] = (record, index)

    def is_open(self, record: JobRecord) -> bool:
        return any(asked.job_id == record.job_id for asked, _ in self._asked.values())

    def arrived(self, event: Fetched) -> bool:
        """Take a file that is there; False for one that nobody waits for any more."""
        record, index = self._asked.pop(event.message_id, (None, 0))
        if record is None:
            return False
        record.clips[index]["local"] = event.path
        return True

    def failed(self, message_id: str, error: SynCamError) -> None:
        if self._asked.pop(message_id, None) is not None:
            self.fault = error

    def clear(self) -> None:
        """The engine was left: what was asked of it does not come."""
        self._asked.clear()
