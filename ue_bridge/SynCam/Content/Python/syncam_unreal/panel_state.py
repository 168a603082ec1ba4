# SPDX-License-Identifier: Apache-2.0
"""What the panel asks and shows, as plain data; no `unreal`, no engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from syncam_engine.link.job_results import Asked

SOURCES = ("selected", "all", "tag", "sequence", "cuts")
SEQUENCE_SOURCES = ("sequence", "cuts")
MODES = ("text", "reference", "previz")


@dataclass(kw_only=True)
class PanelFields:
    """What the user sets. Kept between sessions."""

    source: str = "selected"
    """Which cameras: of the level (selected, all, tag) or of the open sequence (sequence, cuts)."""
    tag: str = "SynCam"
    anchor: str = ""
    """Name of the anchor camera; "" is the first."""
    prompt: str = ""
    negative_prompt: str = ""
    seed: str = ""
    """A whole number; "" draws one for each job."""
    steps: str = ""
    """A whole number; "" is the preset's own."""
    mode: str = "text"
    clips: str = ""
    """reference: a clip's path; previz: a folder with <camera>.mp4 for each camera; "" has the
    panel render what the cameras see."""
    previz_strength: str = ""
    """Above 0, at most 1; "" is 0.6."""
    preset: str = ""
    """"" is the engine's default."""
    take: str = "Take1"
    fit_rule: str = "crop"
    distance_m: str = "1"
    """How far ahead of its camera a plane stands."""
    style: str = "plane"
    media_tracks: str = "no"
    """yes: also put the clips into the open sequence as Media Tracks."""
    first_frame: str = ""
    """Display frame of the first picture; "" is the sequence's start."""
    rig_file: str = ""
    """A rig file whose cameras are added to the level; "" is the take's own in Saved/SynCam."""
    endpoint: str = ""
    """A remote engine's address; "" is this machine's."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PanelFields:
        """Return fields of plain data; what is unknown or of another type stays at its default."""
        made = cls()
        for item in fields(cls):
            value = data.get(item.name)
            if type(value) is type(getattr(made, item.name)):
                setattr(made, item.name, value)
        return made


@dataclass(kw_only=True)
class JobRecord:
    """One job in the history; enough to follow it and to show its clips again."""

    job_id: str
    prompt: str
    seed: int
    take: str
    rig: dict[str, Any]
    fit_rule: str = "crop"
    state: str = "sent"
    """sent, queued, running, done, failed, cancelled."""
    sentence: str = ""
    progress: float = 0.0
    clips: list[dict[str, Any]] = field(default_factory=list)
    """camera, path, width, height, frames, fps of each clip on this machine."""
    first_frame: int = 0

    @property
    def asked(self) -> Asked:
        """What its result must be, as far as the history knows."""
        return Asked.of_rig(self.rig)

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def missing(self) -> int:
        """How many clips of a done job are not on this machine."""
        return len(self.rig.get("cameras", ())) - len(self.clips) if self.state == "done" else 0

    @property
    def has_clips(self) -> bool:
        """Whether there are clips to show, here or in the engine."""
        return bool(self.clips) or self.missing > 0

    @property
    def label(self) -> str:
        """One line of the history."""
        told = f"{self.take}: {self.prompt[:40]} (seed {self.seed}) - {self.state}"
        return f"{told}, {self.job_id[:8]}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> JobRecord:
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def read_history(data: object) -> list[JobRecord]:
    """Return the jobs of plain data; one that this version cannot read is left out."""
    jobs = []
    for item in data if isinstance(data, list) else []:
        try:
            jobs.append(JobRecord.from_dict(item))
        except (TypeError, AttributeError):
            continue
    return jobs


@dataclass(frozen=True, kw_only=True)
class PanelView:
    """What the panel shows now; every route draws this and nothing else."""

    engine: str
    cameras: str
    status: str
    warnings: str
    progress: float
    preview: int
    """A number that changes with each new preview; 0 is none."""
    history: tuple[tuple[str, str], ...]
    """Id and label of each job, the newest first."""
    can_start_engine: bool
    can_generate: bool
    can_cancel: bool
    can_cancel_job: bool
    can_apply: bool
    can_remove: bool
