# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as the add-on remembers them: what was asked, for which cameras, how far. Pure: no bpy.

Each job is one JSON file, written whole before the job is sent, so that Blender may be closed,
crash or load another file: on return the job is found by its id, and its clips find their cameras.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from syncam_engine.link import json_text
from syncam_engine.link.envelope import said_once
from syncam_engine.link.job_results import Asked
from syncam_engine.link.limits import MAX_NOTICES
from syncam_engine.link.messages import ClipResult, Done, Failed, Phase, Progress, Queued

RUNNING = ("preparing", "queued", "paused", "running", "cancelling")
MOST_LANDINGS = 3
ENDED = ("done", "failed", "cancelled")
PHASES = {
    "start": "Starting the engine",
    "views": "Rendering viewports",
    "load": "Loading the model",
    "encode": "Encoding",
    "sample": "Sampling",
    "decode": "Decoding",
    "write": "Writing clips",
    "fetch": "Fetching clips",
}


@dataclass(kw_only=True, slots=True)
class JobRecord:
    """One job, from the button to the clips."""

    job_id: str
    created_unix_s: float
    blend: str
    """Path of the .blend it was started in; "" for an unsaved one."""
    scene: str
    scene_uid: int
    """The scene's id in this session: a rename keeps it."""
    cameras: list[dict[str, Any]]
    """In the rig's order: {"name": in the rig, "object": the object's name, "uid": its id in this
    session, "screen": the object whose material shows the clip}."""
    request: dict[str, Any]
    """The whole request as plain data: what "again" sends. Once the job is sent, `inputs` has the
    SHA-256 of what was sent with it."""
    frame_start: int
    frame_step: int
    targets: list[str]
    """Where the clips go: "PLATES", "BACKGROUNDS", "SEQUENCER", "MATERIAL"."""
    plate_distance: float = 1.0
    """Metres from a camera to its plate."""
    reference: str = ""
    """Path of the clip that the job follows; "" where it was rendered or lies in the .blend."""
    state: str = "preparing"
    phase: str = "start"
    step: int = 0
    steps: int = 0
    position: int = 0
    eta_s: float | None = None
    sentence: str = ""
    """Why it ended without clips, or what was noticed, in words."""
    fix: str = ""
    notices: list[str] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    """{"camera", "index", "local" (its file), "digest", "bytes", "frames", "fps", "width",
    "height"}."""
    seconds: dict[str, float] = field(default_factory=dict)
    model: str = ""
    device: str = ""
    applied: bool = False
    failed_landings: int = 0
    """How often its clips could not be brought; after a few they are only when somebody asks."""

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    @property
    def is_landing_due(self) -> bool:
        """Whether its clips are to be brought into the scene without being asked for."""
        return self.state == "done" and not self.applied and self.failed_landings < MOST_LANDINGS

    @property
    def asked(self) -> Asked:
        """What its result must be."""
        return Asked.of_request(self.request)

    def clip_result(self, index: int) -> ClipResult:
        """One of its clips as the client knows it."""
        clip = self.clips[index]
        return ClipResult(
            camera=clip["camera"],
            index=clip["index"],
            digest=clip["digest"],
            bytes=clip["bytes"],
            frames=clip["frames"],
            width=clip["width"],
            height=clip["height"],
            fps=tuple(clip["fps"]),
        )

    @property
    def prompt(self) -> str:
        return self.request.get("prompt", "")

    @property
    def seed(self) -> int:
        return int(self.request.get("seed", 0))

    @property
    def inputs_gone(self) -> str:
        """Why the job cannot follow again what it followed, in words."""
        if self.request.get("mode") == "previz":
            return "The viewport renders that this job started from are gone; run it again."
        what = f"reference {self.reference!r}" if self.reference else "reference"
        return f"The {what} that this job followed is gone, and the engine has not kept it."

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1, for a progress bar; sampling is most of it."""
        if self.state == "done":
            return 1.0
        if self.phase == "sample" and self.steps:
            return 0.1 + 0.8 * min(1.0, self.step / self.steps)
        return {"views": 0.02, "load": 0.04, "encode": 0.08, "decode": 0.9, "write": 0.96}.get(
            self.phase, 0.0
        )

    @property
    def headline(self) -> str:
        """One line for the panel and the status bar."""
        if self.state == "queued":
            place = f", {self.position} before it" if self.position > 0 else ""
            return f"Waiting{place}{self._eta()}"
        if self.state == "running" or self.state == "preparing":
            label = PHASES.get(self.phase, self.phase.capitalize())
            of = f" {self.step}/{self.steps}" if self.phase in ("sample", "views") else ""
            return f"{label}{of}{self._eta()}"
        names = {"paused": "Paused", "cancelling": "Cancelling", "cancelled": "Cancelled"}
        if self.state == "done":
            return f"{len(self.clips)} clips"
        return names.get(self.state, self.sentence or "Failed")

    def _eta(self) -> str:
        if self.eta_s is None:
            return ""
        if self.eta_s < 90:
            return f", {max(1, round(self.eta_s))} s left"
        return f", {round(self.eta_s / 60)} min left"

    def take(self, event: Any) -> bool:
        """Follow an event of the engine; True when something changed. A job that ended stays so."""
        if not self.is_running:
            return False
        stopping = self.state == "cancelling"
        if isinstance(event, Queued):
            self.position, self.eta_s = event.position, event.eta_s
            said = said_once(event.warnings)
            self.notices += [sentence for sentence in said if sentence not in self.notices]
            del self.notices[MAX_NOTICES:]
            if not stopping:
                self.state = "paused" if event.paused else "queued"
        elif isinstance(event, Phase):
            self.phase = event.phase
            self.step = 0 if event.phase != "sample" else self.step
            if not stopping:
                self.state = "running"
        elif isinstance(event, Progress):
            self.phase, self.step, self.steps = "sample", event.step, event.steps
            self.eta_s = event.eta_s
            if not stopping:
                self.state = "running"
        elif isinstance(event, Done):
            self.state, self.eta_s, self.sentence, self.fix = "done", None, "", ""
            self.seconds, self.model, self.device = event.seconds, event.model, event.device
            self.clips = [
                {
                    "camera": clip.camera,
                    "index": clip.index,
                    "digest": clip.digest,
                    "bytes": clip.bytes,
                    "frames": clip.frames,
                    "fps": list(clip.fps),
                    "width": clip.width,
                    "height": clip.height,
                }
                for clip in event.clips
                if clip.kind == "video/mp4"
            ]
        elif isinstance(event, Failed):
            self.state = "cancelled" if event.cancelled else "failed"
            self.sentence, self.fix = event.error.sentence, event.error.fix or ""
            if event.error.code == "input.missing":
                is_reference = self.request.get("mode") == "reference"
                self.sentence = self.inputs_gone
                self.fix = "Choose a reference" if is_reference else ""
            self.eta_s = None
        else:
            return False
        return True


class JobStore:
    """The job files of a folder, and the clips beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, job_id: str) -> Path:
        return self.folder / f"{job_id}.json"

    def clips_folder(self, job_id: str) -> Path:
        """Where clips lie when the scene has no folder of its own."""
        return self.folder / job_id

    def save(self, record: JobRecord) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path(record.job_id).with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
            os.replace(partial, self.path(record.job_id))
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def load(self, newest: int = 60) -> list[JobRecord]:
        """Return the newest jobs, oldest first; files that cannot be read are left alone."""
        known = {f.name for f in fields(JobRecord)}
        records = []
        # Only those: after a year of work the others would take seconds to read.
        for path in sorted(self.folder.glob("*.json"), key=_written_s)[-newest:]:
            try:
                data = json_text.loads(path.read_text(encoding="utf-8"))
                records.append(JobRecord(**{k: v for k, v in data.items() if k in known}))
            except (OSError, ValueError, TypeError, AttributeError):
                continue
        return sorted(records, key=lambda record: record.created_unix_s)

    def forget(self, record: JobRecord) -> None:
        """Remove a job from the history; clips beside a .blend stay, those of this folder go."""
        self.path(record.job_id).unlink(missing_ok=True)
        shutil.rmtree(self.clips_folder(record.job_id), ignore_errors=True)


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def age_text(record: JobRecord, now_unix_s: float | None = None) -> str:
    """Return how long ago a job was made, in words."""
    seconds = (now_unix_s or time.time()) - record.created_unix_s
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
