# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the local engine running while it has jobs, and stopped when the artist wants that.
Pure: no bpy."""

from __future__ import annotations

from syncam_engine.link.launch import EngineLauncher, EngineState

MOST_RESTARTS = 3
GOES_ON = "The engine stopped; it is being started again and the job goes on."
WENT_ON = "The engine stopped and was started again; the job goes on."


class EngineKeeper:
    """Follows the engine that a launcher starts."""

    def __init__(self) -> None:
        self.restarts = 0
        """How often it was started again under the jobs that run now."""
        self.is_stop_wanted = False
        self.is_restart_wanted = False

    @property
    def is_end_wanted(self) -> bool:
        """Whether an end of the engine now is what was asked for."""
        return self.is_stop_wanted or self.is_restart_wanted

    def begin(self) -> None:
        """The engine is to run from now on."""
        self.is_stop_wanted = False

    def follow(
        self, launcher: EngineLauncher, *, has_jobs: bool, may_start: bool, notice: str
    ) -> tuple[EngineState, str]:
        """Return how the engine stands and what the panel is to say of it (`notice` as it was)."""
        now = launcher.status()
        if now.state == "ready" and notice == GOES_ON:
            return now, WENT_ON
        if now.state != "lost":
            return now, notice
        if self.is_restart_wanted:
            self.is_restart_wanted = False
            launcher.ensure_started()
        elif self.is_stop_wanted:
            return EngineState(state="stopped", sentence="The engine is stopped."), notice
        elif has_jobs and may_start and self.restarts < MOST_RESTARTS:
            self.restarts += 1
            launcher.ensure_started()
            return now, GOES_ON
        return now, notice
