# SPDX-License-Identifier: Apache-2.0
"""What the controller needs of the editor it runs in; `unreal_host.py` is the real one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from syncam_engine.link.rig import Rig

from .panel_state import JobRecord, PanelFields


class Reading(Protocol):
    """Reads a rig over ticks."""

    rig: Rig | None
    scene_frames: list[float]
    """Display frame of each picture; none for the level as it stands."""
    progress: float
    """0 to 1."""

    def step(self, frames: int) -> bool:
        """Read some frames; return True when the rig is there. Raises SynCamError."""

    def close(self) -> None:
        """Stop early and put the editor back as it was."""


class Host(Protocol):
    """The editor's side. Calls raise SynCamError for what a person can mend."""

    def check_ready(self, fields: PanelFields) -> None:
        """Raise where a job's results could not be shown."""

    def camera_names(self, fields: PanelFields) -> list[str]:
        """The cameras that a rig would have now."""

    def begin_reading(
        self, fields: PanelFields, pictures: int, fps: Fraction, size_px: tuple[int, int]
    ) -> Reading:
        """Begin to read the rig for so many pictures."""

    def render_views(
        self, fields: PanelFields, fitted: Rig, wanted: list[int], scene_frames: list[float]
    ) -> Generator[int, None, list[bytes]]:
        """Render what cameras of the fitted rig see; yields after each picture, returns one clip a
        wanted camera."""

    def show(self, job: JobRecord, fields: PanelFields) -> Iterator[float]:
        """Bring a job's clips into the level, a piece for each `next`; yields the part done."""

    def play(self, job: JobRecord) -> None:
        """Open what `show` made and start it together."""

    def may_show(self) -> bool:
        """Whether the level can be changed now (it is not playing)."""

    def downloads(self, job_id: str) -> Path:
        """Where a remote engine's clips of this job go."""

    def rig_file(self, take: str) -> Path:
        """Where a rig is written."""

    def place_rig(self, path: Path) -> list[str]:
        """Add a rig file's cameras to the level; return their names."""

    def log(self, level: str, text: str) -> None:
        """To the editor's log: log, warning or error."""

    def tell(self, title: str, text: str) -> None:
        """In a dialog, where the user is stopped."""

    def save(self, data: dict[str, Any]) -> None:
        """Keep the panel's state between sessions."""
