# SPDX-License-Identifier: Apache-2.0
"""A finished job's clips as files of the host's own, checked on their way (`client.fetch`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syncam_engine.link.client import EngineClient
from syncam_engine.link.events import Fetched
from syncam_engine.link.messages import ClipResult, Done

from .panel_state import JobRecord


class ClipFetcher:
    """Brings clips over; a job is complete when none of its fetches is on its way."""

    def __init__(self, client: EngineClient, downloads: Callable[[str], Path]) -> None:
        self._client, self._downloads = client, downloads
        self._fetching: dict[str, tuple[JobRecord, ClipResult]] = {}

    def take(self, job: JobRecord, done: Done) -> None:
        """Begin to bring a job's clips."""
        job.clips = []
        for clip in done.clips:
            if clip.kind == "video/mp4":
                target = self._downloads(job.job_id) / f"{clip.index:02d}.mp4"
                self._fetching[self._client.fetch(job.job_id, clip, target)] = (job, clip)

    def fetched(self, event: Fetched) -> JobRecord | None:
        """Record a clip that came; return its job."""
        job, clip = self._fetching.pop(event.message_id, (None, None))
        if job is not None:
            job.clips.append(_described(clip, event.path))
        return job

    def failed(self, message_id: str) -> JobRecord | None:
        """Forget a fetch that failed; return its job, or None where this was no fetch."""
        return self._fetching.pop(message_id, (None, None))[0]

    def delete(self, job: JobRecord) -> None:
        """Delete what was fetched of a job."""
        shutil.rmtree(self._downloads(job.job_id), ignore_errors=True)

    def is_complete(self, job: JobRecord) -> bool:
        return not any(owner is job for owner, _ in self._fetching.values())


def _described(clip: ClipResult, path: str) -> dict[str, Any]:
    return {
        "camera": clip.camera,
        "path": path,
        "width": clip.width,
        "height": clip.height,
        "frames": clip.frames,
        "fps": list(clip.fps),
    }
