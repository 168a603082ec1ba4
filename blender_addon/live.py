# SPDX-License-Identifier: GPL-3.0-or-later
"""Live pictures on their way from the engine to the cameras' datablocks. Uses bpy through `thumbs`.

Only the newest picture of a camera waits, and one is shown a tick: more would make the tick long.
"""

from __future__ import annotations

from syncam_engine.link.messages import Preview

from . import thumbs


class LivePictures:
    """The pictures that wait to be shown."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], tuple[Preview, list[str]]] = {}
        """By job and camera; with the names of all of the job's cameras."""
        self._column_due: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._column_due)

    def take(self, preview: Preview, cameras: list[str]) -> None:
        self._waiting[(preview.job_id, preview.camera)] = (preview, cameras)

    def clear(self) -> None:
        """Another file was opened: its pictures are other datablocks."""
        self._waiting.clear()
        self._column_due = []

    def drop(self, job_id: str) -> None:
        """Forget what waits of a job that ended."""
        for key in [key for key in self._waiting if key[0] == job_id]:
            del self._waiting[key]

    def show_one(self) -> bool:
        """Put one waiting picture where it belongs; True when the panel should be drawn again."""
        if self._column_due:
            # The panel's icon in a tick of its own.
            thumbs.stack(self._column_due)
            self._column_due = []
            return True
        if not self._waiting:
            return False
        preview, cameras = self._waiting.pop(next(iter(self._waiting)))
        thumbs.show_live(preview.camera, preview.width, preview.height, preview.rgb8)
        columns = thumbs.columns_of(cameras)
        self._column_due = next((c for c in columns if preview.camera in c), [])
        return True
