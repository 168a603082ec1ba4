# SPDX-License-Identifier: Apache-2.0
"""Drives a job from the panel to clips in the level. Knows no `unreal`: the host does that part.

`tick()` is called each editor frame and does a bounded piece of work: one poll of the engine's
client, a few frames of reading, one rendered view, or one clip of showing. Nothing blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from syncam_engine.link import rig_json
from syncam_engine.link.client import EngineClient
from syncam_engine.link.engine_facts import Hello, PresetInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply
from syncam_engine.link.launch import EngineLauncher
from syncam_engine.link.messages import Done, ErrorInfo, Failed, Phase, Preview, Progress, Queued

from . import job_progress, preparing, request_making
from .host_protocol import Host, Reading
from .job_clips import ClipFetcher
from .panel_state import JobRecord, PanelFields, PanelView
from .preparing import READING, Prepared, Working
from .previews import PreviewBoard
from .showing import ClipShower
from .telling import ToldToUser

HISTORY_LENGTH = 30
NOT_SENT = "The job was not sent"
NOT_WRITTEN = "The rig was not written"
NOT_SHOWN = "The clips cannot be shown"


@dataclass
class Task:
    """Work over ticks that ends in `then(result)`; `title` heads its errors."""

    title: str
    steps: Generator[Working, None, Any]
    then: Callable[[Any], None]
    shown: Working = READING


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
        self._task: Task | None = None
        self._previews = PreviewBoard()
        self._clips = ClipFetcher(client, host.downloads)
        self._shower = ClipShower(host)
        self._removing: dict[str, JobRecord] = {}
        for job in self.history:
            if not job.ended:
                client.watch(job.job_id, job.asked)

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
        """Begin a job: check, prepare it over the next ticks, then send it."""
        with self._told_to_user(NOT_SENT):
            self._stop_task()
            self.host.check_ready(self.fields)
            preset = self._preset()
            request_making.check_fields(self.fields)
            fields = self._fields_now()
            steps = preparing.prepare_job(self.host, fields, preset)
            self._begin(Task(NOT_SENT, steps, partial(self._send, fields)))
            self.warnings = []
            self._save()

    def export_rig(self) -> None:
        """Write the cameras as a rig file (JSON, OpenCV); a sequence's over its pictures."""
        with self._told_to_user(NOT_WRITTEN):
            self._stop_task()
            fields = self._fields_now()
            read = (
                request_making.pictures_of(self._preset())
                if self.client.hello
                else request_making.NO_PRESET
            )
            steps = preparing.read_rig(self.host, fields, *read)
            write = partial(self._write_rig, self.host.rig_file(fields.take))
            self._begin(Task(NOT_WRITTEN, steps, write))

    def add_rig(self) -> None:
        """Add the cameras of a rig file to the level."""
        with self._told_to_user("The cameras were not added"):
            given = self.fields.rig_file.strip()
            path = Path(given) if given else self.host.rig_file(self.fields.take)
            self.cameras = self.host.place_rig(path)
            self.status = f"{len(self.cameras)} cameras were added and selected."

    def cancel(self, job_id: str = "") -> None:
        """Stop the preparing, or the job (the newest that runs when none is named)."""
        if self._task and not job_id:
            self._stop_task()
            self.status = "Cancelled."
            return
        job = self.job(job_id) if job_id else next((j for j in self.history if not j.ended), None)
        if job is not None and not job.ended:
            self.client.cancel(job.job_id)
            self.status = "Cancelling."
        elif job is not None:
            self.status = f"The job has ended already: {job.state}."

    def remove(self, job_id: str = "") -> None:
        """Delete an ended job (the newest when none is named) with the engine's clips of it. It
        leaves the history once the engine says so; clips in the level are copies and stay."""
        with self._told_to_user("The job was not removed"):
            job = self.job(job_id) if job_id else next((j for j in self.history if j.ended), None)
            if job is None:
                raise SynCamError("panel.no_job", "There is no job that has ended.")
            if not job.ended:
                raise SynCamError(
                    "job.open", "The job has not ended yet.", value=job.state, fix="Cancel it first"
                )
            self._check_engine()
            self._removing[self.client.remove(job.job_id)] = job
            self.status = "Removing the job."

    def apply(self, job_id: str = "") -> None:
        """Show a finished job's clips in the level (the newest when none is named); clips that
        could not be fetched are fetched first."""
        with self._told_to_user(NOT_SHOWN):
            job = (
                self.job(job_id) if job_id else next((j for j in self.history if j.has_clips), None)
            )
            if job is None or not job.has_clips:
                raise SynCamError("panel.no_clips", "There are no clips to show yet.")
            if job.missing:
                self._check_engine()
                job.state, job.sentence = "sent", "Fetching the clips."
                self.client.watch(job.job_id, job.asked)
                self.status = job.sentence
                return
            self._shower.add(job)
            self.status = "The clips are shown next."

    def job(self, job_id: str) -> JobRecord | None:
        return next((job for job in self.history if job.job_id == job_id), None)

    def level_changed(self) -> None:
        """Another level is open: its cameras are not known, and clips that were half shown in the
        old one begin anew."""
        self.cameras = []
        self._shower.begin_anew()

    def close(self) -> None:
        """Leave: preparing stops, the engine goes on with its jobs, the history is kept."""
        self._stop_task()
        self._shower.stop()
        self._save()
        self.client.close()

    # ---- each tick ----

    def tick(self) -> None:
        for event in self.client.poll():
            self._hear(event)
        if self._task:
            with self._told_to_user(self._task.title):
                self._go_on(self._task)
        elif self._shower.busy:
            with self._told_to_user(NOT_SHOWN):
                self.status = self._shower.step(self.fields)

    def _begin(self, task: Task) -> None:
        self._task, self.status = task, task.shown.sentence

    def _go_on(self, task: Task) -> None:
        try:
            task.shown = next(task.steps)
            self.status = task.shown.sentence
        except StopIteration as done:
            self._task = None
            task.then(done.value)
        except BaseException:
            self._task = None
            raise

    def _stop_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.steps.close()

    def _write_rig(self, path: Path, reading: Reading) -> None:
        rig_json.write_rig(reading.rig, path)
        self.status = f"The rig is in {path}."
        self.host.log("log", self.status)

    def _send(self, fields: PanelFields, job: Prepared) -> None:
        self.warnings = job.warnings
        self.cameras = [camera.name for camera in job.reading.rig.cameras]
        self.client.submit(job.request, job.clips)
        self.history.insert(
            0,
            JobRecord(
                job_id=job.request.job_id,
                prompt=job.request.prompt,
                seed=job.request.seed,
                take=fields.take,
                rig=job.request.rig,
                fit_rule=fields.fit_rule,
                first_frame=int(job.reading.scene_frames[0]) if job.reading.scene_frames else 0,
            ),
        )
        # One that has not ended is still to be shown, however many came after it.
        self.history[HISTORY_LENGTH:] = [j for j in self.history[HISTORY_LENGTH:] if not j.ended]
        self._save()
        self.status = "Sent."

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
        if isinstance(event, (Queued, Phase, Progress)):
            job_progress.take(job, event)
            if isinstance(event, Queued):
                self.warnings = [notice.sentence for notice in event.warnings] or self.warnings
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
        removed = self._removing.pop(event.message_id, None)
        if isinstance(event.body, ErrorInfo):
            title = "A clip could not be fetched" if job else "The engine refused"
            self._report(title, event.body.to_error())
        elif removed is not None:
            self._forget(removed)
        if job is not None:
            self._finish_clips(job)

    def _forget(self, job: JobRecord) -> None:
        self._shower.leave(job)
        self._clips.delete(job)
        self.history = [kept for kept in self.history if kept is not job]
        self._save()
        self.status = f"The job '{job.prompt[:40]}' of '{job.take}' was removed."

    def _finish_clips(self, job: JobRecord) -> None:
        """The job is done when its last clip is on this machine; then it is shown."""
        if not self._clips.is_complete(job):
            job.sentence = "Fetching the clips."
            return
        job.state, job.sentence = "done", "Done."
        if job.missing:
            total = len(job.rig["cameras"])
            job.sentence = f"{job.missing} of {total} clips could not be fetched."
        order = [camera["name"] for camera in job.rig["cameras"]]
        job.clips.sort(key=lambda clip: order.index(clip["camera"]))
        self._save()
        if job.clips:
            self._shower.add(job)

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
            progress=self._task.shown.progress
            if self._task
            else running.progress
            if running
            else 0.0,
            preview=self._previews.number,
            history=tuple((job.job_id, job.label) for job in self.history),
            can_start_engine=engine.state in ("stopped", "lost", "not found"),
            can_generate=engine.state in ("ready", "loading") and self._task is None,
            can_cancel=running is not None or self._task is not None,
            can_cancel_job=running is not None,
            can_apply=any(job.has_clips for job in self.history),
            can_remove=any(job.ended for job in self.history),
        )

    def _check_engine(self) -> Hello:
        """Return what the engine is; raises SynCamError where none answers now."""
        hello = self.client.hello
        if hello is None or self.client.state not in ("ready", "loading"):
            state = self.launcher.status()
            raise SynCamError(
                "engine.not_ready", state.sentence, fix=state.fix or "Start the engine"
            )
        return hello

    def _preset(self) -> PresetInfo:
        return request_making.choose_preset(self._check_engine().presets, self.fields.preset)

    def _fields_now(self) -> PanelFields:
        """Return a copy: what is typed from now on is the next job's."""
        return PanelFields.from_dict(self.fields.to_dict())

    def _save(self) -> None:
        self.host.save(
            {
                "client_id": self.client.client_id,
                "fields": self.fields.to_dict(),
                "history": [job.to_dict() for job in self.history],
            }
        )

    def _told_to_user(self, title: str) -> ToldToUser:
        return ToldToUser(title, self.host.log, self._report)

    def _report(self, title: str, error: SynCamError) -> None:
        """Log an error, show it as the status, and open a dialog."""
        text = error.sentence if not error.fix else f"{error.sentence} {error.fix}."
        self.host.log("error", f"{title}: {text}")
        self.status = text
        self.host.tell(title, text)
