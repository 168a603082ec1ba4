# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips that are on their way from an engine whose files this machine cannot open. Pure: no bpy."""

from __future__ import annotations

from pathlib import Path

from syncam_engine.link.client import EngineClient
from syncam_engine.link.events import Fetched
from syncam_engine.link.messages import ClipResult

from .jobs import JobRecord


class Fetches:
    """What was asked for and has not come yet."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[JobRecord, int]] = {}

    def ask(self, client: EngineClient, record: JobRecord, index: int, target: Path) -> None:
        """Ask for one clip's file; `record.clips[index]["local"]` is set when it is there."""
        clip = record.clips[index]
        wanted = ClipResult(
            camera=clip["camera"], index=clip["index"], digest=clip["digest"], bytes=clip["bytes"]
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        self._asked[client.fetch(record.job_id, wanted, target)] = (record, index)

    def is_open(self, record: JobRecord) -> bool:
        return any(asked.job_id == record.job_id for asked, _ in self._asked.values())

    def arrived(self, event: Fetched) -> bool:
        """Take a file that is there; False for one that nobody waits for any more."""
        record, index = self._asked.pop(event.message_id, (None, 0))
        if record is None:
            return False
        record.clips[index]["local"] = event.path
        return True

    def failed(self, message_id: str) -> None:
        self._asked.pop(message_id, None)

    def clear(self) -> None:
        """The engine was left: what was asked of it does not come."""
        self._asked.clear()
