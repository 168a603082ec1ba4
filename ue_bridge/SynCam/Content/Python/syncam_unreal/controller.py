# SPDX-License-Identifier: Apache-2.0
"""Drives a job from the panel to clips in the level. Knows no `unreal`: the host does that part.

`tick()` is called each editor frame and does a bounded piece of work: one poll of the engine's
client, a few frames of reading, or one clip of showing. Nothing blocks.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syncam_engine.link import rig_json
from syncam_engine.link.client import EngineClient
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply
from syncam_engine.link.launch import EngineLauncher
from syncam_engine.link.messages import (
    Done,
    ErrorInfo,
    Failed,
    GenerateRequest,
    Hello,
    Phase,
    PresetInfo,
    Preview,
    Progress,
    Queued,
)

from . import request_making
from .host_protocol import Host, Reading
from .job_clips import ClipFetcher
from .panel_state import JobRecord, PanelFields, PanelView
from .previews import PreviewBoard

FRAMES_A_TICK = 4
HISTORY_LENGTH = 30
NOT_SENT = "The job was not sent"
NOT_WRITTEN = "The rig was not written"
PHASES = {
    "load": "Loading the model",
    "encode": "Encoding",
    "sample": "Sampling",
    "decode": "Decoding",
    "write": "Writing the clips",
}


class Controller:
    """The panel's one controller; the widget and the menus call its methods and draw `view()`."""

    def __init__(
        self,
        host: Host,
        client: EngineClient,
        launcher: EngineLauncher,
        *,
        fields: PanelFields | None = None,
        history: list[JobRecord] | None = None,
    ) -> None:
        self.host, self.client, self.launcher = host, client, launcher
        self.fields = fields or PanelFields()
        self.history = history or []
        self.cameras: list[str] = []
        self.status = ""
        self.warnings: list[str] = []
        self._reading: tuple[Reading, PresetInfo, PanelFields] | None = None
        self._previews = PreviewBoard()
        self._clips = ClipFetcher(client, host.downloads)
        self._export_to: Path | None = None
        self._showing: tuple[Iterator[float], JobRecord] | None = None
        self._to_show: list[JobRecord] = []
        for job in self.history:
            if not job.ended:
                client.watch(job.job_id)

    # ---- what the user does ----

    def start_engine(self) -> None:
        self.launcher.ensure_started()

    def refresh_cameras(self) -> None:
        """Read which cameras the rig would have."""
        with self._told_to_user("The cameras cannot be read"):
            self.cameras = []
            self.cameras = self.host.camera_names(self.fields)
            self.status = f"{len(self.cameras)} cameras."

    def generate(self) -> None:
        """Begin a job: check, read the cameras over the next ticks, then send it."""
        with self._told_to_user(NOT_SENT):
            self._stop_reading()
            self.host.check_ready()
            preset = self._preset()
            request_making.check_fields(self.fields)
            pictures, fps, size = request_making.pictures_of(preset)
            fields = PanelFields.from_dict(self.fields.to_dict())
            reading = self.host.begin_reading(fields, pictures, fps, size)
            self._reading = (reading, preset, fields)
            self.warnings, self.status = [], "Reading the cameras."
            self._save()

    def export_rig(self) -> None:
        """Write the cameras as a rig file (JSON, OpenCV); a sequence's over its pictures."""
        with self._told_to_user(NOT_WRITTEN):
            self._stop_reading()
            preset = self._preset() if self.client.hello else None
            pictures, fps, size = (
                request_making.pictures_of(preset) if preset else request_making.NO_PRESET
            )
            fields = PanelFields.from_dict(self.fields.to_dict())
            reading = self.host.begin_reading(fields, pictures, fps, size)
            self._export_to = self.host.rig_file(fields.take)
            self._reading = (reading, preset, fields)
            self.status = "Reading the cameras."

    def add_rig(self) -> None:
        """Add the cameras of a rig file to the level."""
        with self._told_to_user("The cameras were not added"):
            given = self.fields.rig_file.strip()
            path = Path(given) if given else self.host.rig_file(self.fields.take)
            self.cameras = self.host.place_rig(path)
            self.status = f"{len(self.cameras)} cameras were added and selected."

    def cancel(self, job_id: str = "") -> None:
        """Stop the reading, or the job (the newest that runs when none is named)."""
        if self._reading and not job_id:
            self._stop_reading()
            self.status = "Cancelled."
            return
        job = self.job(job_id) if job_id else next((j for j in self.history if not j.ended), None)
        if job is not None and not job.ended:
            self.client.cancel(job.job_id)
            self.status = "Cancelling."

    def apply(self, job_id: str = "") -> None:
        """Show a finished job's clips in the level (the newest when none is named)."""
        with self._told_to_user("The clips cannot be shown"):
            job = self.job(job_id) if job_id else next((j for j in self.history if j.clips), None)
            if job is None or not job.clips:
                raise SynCamError("panel.no_clips", "There are no clips to show yet.")
            self._begin_show(job)

    def job(self, job_id: str) -> JobRecord | None:
        return next((job for job in self.history if job.job_id == job_id), None)

    def close(self) -> None:
        """Leave: reading stops, the engine goes on with its jobs, the history is kept."""
        self._stop_reading()
        if self._showing:
            self._showing[0].close()
            self._showing = None
        self._save()
        self.client.close()

    # ---- each tick ----

    def tick(self) -> None:
        for event in self.client.poll():
            self._hear(event)
        if self._reading:
            with self._told_to_user(NOT_SENT):
                self._read_on()
        elif self._showing:
            with self._told_to_user("The clips cannot be shown"):
                self._show_on()
        elif self._to_show and not self.host.may_show():
            self.status = "The clips are there; they are shown when playing ends."
        elif self._to_show:
            with self._told_to_user("The clips cannot be shown"):
                self._begin_show(self._to_show.pop(0))

    def _read_on(self) -> None:
        reading, preset, fields = self._reading
        if not reading.step(FRAMES_A_TICK):
            return
        self._reading = None
        if self._export_to is not None:
            path, self._export_to = self._export_to, None
            rig_json.write_rig(reading.rig, path)
            self.status = f"The rig is in {path}."
            self.host.log("log", self.status)
            return
        request = request_making.make_request(fields, reading.rig, reading.scene_frames, preset)
        self.warnings = request_making.check(request, reading.rig, preset)
        clips = request_making.input_clips(fields, reading.rig)
        self.cameras = [camera.name for camera in reading.rig.cameras]
        self.client.submit(request, clips)
        self._remember(request, fields, reading)
        self.status = "Sent."

    def _remember(self, request: GenerateRequest, fields: PanelFields, reading: Reading) -> None:
        job = JobRecord(
            job_id=request.job_id,
            prompt=request.prompt,
            seed=request.seed,
            take=fields.take,
            rig=rig_json.rig_to_dict(reading.rig),
            fit_rule=fields.fit_rule,
            first_frame=int(reading.scene_frames[0]) if reading.scene_frames else 0,
        )
        self.history.insert(0, job)
        del self.history[HISTORY_LENGTH:]
        self._save()

    def _begin_show(self, job: JobRecord) -> None:
        if self._showing:
            self._to_show.append(job)
            return
        self._showing = (self.host.show(job, self.fields), job)
        self.status = "Bringing the clips into the level."

    def _show_on(self) -> None:
        steps, job = self._showing
        try:
            part = next(steps, None)
        except BaseException:
            self._showing = None
            raise
        if part is None:
            self._showing = None
            self.host.play(job)
            self.status = f"The clips of '{job.take}' are in the level."

    # ---- what the engine says ----

    def _hear(self, event: Any) -> None:
        if isinstance(event, Hello):
            self.host.log("log", f"The engine {event.engine} answers.")
        elif isinstance(event, Lost):
            self.host.log("warning", event.error.sentence)
            self.status = event.error.sentence
        elif isinstance(event, Fetched):
            job = self._clips.fetched(event)
            if job is not None:
                self._finish_clips(job)
        elif isinstance(event, Reply):
            self._take_reply(event)
        elif isinstance(event, Preview):
            self._previews.take(event)
        elif isinstance(event, (Queued, Phase, Progress, Done, Failed)):
            job = self.job(event.job_id)
            if job is not None and not job.ended:
                self._follow(job, event)

    def _follow(self, job: JobRecord, event: Any) -> None:
        if isinstance(event, Queued):
            job.state = "queued"
            job.sentence = "Paused." if event.paused else f"Waiting, place {event.position}."
            self.warnings = [notice.sentence for notice in event.warnings] or self.warnings
        elif isinstance(event, Phase):
            job.state, job.sentence = "running", f"{PHASES.get(event.phase, event.phase)}."
        elif isinstance(event, Progress):
            job.state, job.progress = "running", event.step / max(1, event.steps)
            left = f", about {event.eta_s:.0f} s left" if event.eta_s else ""
            job.sentence = f"Step {event.step} of {event.steps}{left}."
        elif isinstance(event, Failed):
            job.state = "cancelled" if event.cancelled else "failed"
            job.sentence = event.error.sentence
            if not event.cancelled:
                self._report("The job failed", event.error.to_error())
            self._save()
        else:
            job.progress = 1.0
            self._clips.take(job, event)
            self._finish_clips(job)
        self.status = job.sentence

    def preview_png(self) -> bytes:
        """Return all cameras' newest previews as one PNG; b"" where there are none."""
        job = self.job(self._previews.job_id)
        return self._previews.png([c["name"] for c in job.rig["cameras"]]) if job else b""

    def _take_reply(self, event: Reply) -> None:
        job = self._clips.failed(event.message_id)
        if isinstance(event.body, ErrorInfo):
            title = "A clip could not be fetched" if job else "The engine refused"
            self._report(title, event.body.to_error())
        if job is not None:
            self._finish_clips(job)

    def _finish_clips(self, job: JobRecord) -> None:
        """The job is done when its last clip is on this machine; then it is shown."""
        if not self._clips.is_complete(job):
            job.sentence = "Fetching the clips."
            return
        job.state, job.sentence = "done", "Done."
        order = [camera["name"] for camera in job.rig["cameras"]]
        job.clips.sort(key=lambda clip: order.index(clip["camera"]))
        self._save()
        self._to_show.append(job)

    # ---- what is shown ----

    def view(self) -> PanelView:
        """Return what the panel shows now."""
        engine = self.launcher.status()
        running = next((job for job in self.history if not job.ended), None)
        text = engine.sentence if engine.fix is None else f"{engine.sentence} {engine.fix}."
        if engine.state in ("lost", "not found", "version mismatch") and engine.log_path:
            text += f" Log: {engine.log_path}"
        return PanelView(
            engine=text,
            cameras="\n".join(self.cameras) or "No cameras read yet.",
            status=self.status,
            warnings="\n".join(self.warnings),
            progress=running.progress if running else 0.0,
            preview=self._previews.number,
            history=tuple(job.label for job in self.history),
            can_start_engine=engine.state in ("stopped", "lost", "not found"),
            can_generate=engine.state in ("ready", "loading") and self._reading is None,
            can_cancel=running is not None or self._reading is not None,
            can_apply=any(job.clips for job in self.history),
        )

    def _preset(self) -> PresetInfo:
        hello = self.client.hello
        if hello is None or self.client.state not in ("ready", "loading"):
            state = self.launcher.status()
            raise SynCamError(
                "engine.not_ready", state.sentence, fix=state.fix or "Start the engine"
            )
        return request_making.choose_preset(hello.presets, self.fields.preset)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading[0].close()
            self._reading = None
        self._export_to = None

    def _save(self) -> None:
        self.host.save(
            {
                "client_id": self.client.client_id,
                "fields": self.fields.to_dict(),
                "history": [job.to_dict() for job in self.history],
            }
        )

    def _told_to_user(self, title: str) -> _Told:
        return _Told(self, title)

    def _report(self, title: str, error: SynCamError) -> None:
        """Log an error, show it as the status, and open a dialog."""
        text = error.sentence if not error.fix else f"{error.sentence} {error.fix}."
        self.host.log("error", f"{title}: {text}")
        self.status = text
        self.host.tell(title, text)


class _Told:
    """Ends an action that failed, in words: SynCamError as it is, whatever else the editor raised
    with its traceback in the log. The bridge goes on."""

    def __init__(self, controller: Controller, title: str) -> None:
        self.controller, self.title = controller, title

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        if self.title in (NOT_SENT, NOT_WRITTEN):
            self.controller._stop_reading()
        if not isinstance(error, SynCamError):
            text = "".join(traceback.format_exception(kind, error, trace))
            self.controller.host.log("error", text)
            error = SynCamError("panel.unexpected", f"{kind.__name__}: {error}.".replace("..", "."))
        self.controller._report(self.title, error)
        return True
