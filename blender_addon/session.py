# SPDX-License-Identifier: GPL-3.0-or-later
"""The one registered state of the add-on: its engine, its jobs, and the tick that moves both.

`tick()` is a plain function that never blocks: a timer calls it in a window, a loop in background
mode and in tests. It takes a few milliseconds at most: news from the socket, one picture of a
camera, one step of work that takes several.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

from syncam_engine.link.client import EngineClient
from syncam_engine.link.envelope import Envelope
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply, WorkerChanged
from syncam_engine.link.launch import EngineLauncher, EngineState
from syncam_engine.link.messages import (
    ClipResult,
    Done,
    EngineStatus,
    ErrorInfo,
    GenerateRequest,
    Hello,
    PresetInfo,
    Preview,
)

from . import landing, preferences, thumbs
from .jobs import JobRecord, JobStore
from .remote import remote_state

FAULTS = (ReferenceError, RuntimeError, AttributeError, KeyError, TypeError, ValueError)
STATUS_EVERY_S = 0.2
FACTS_EVERY_S = 5.0


class Session:
    """Engine, jobs and live pictures. `get()` returns the only one."""

    def __init__(self) -> None:
        self.client: EngineClient | None = None
        self.launcher: EngineLauncher | None = None
        self.engine = EngineState(state="stopped", sentence="No engine runs.")
        self.store = JobStore(preferences.jobs_folder())
        self.records: dict[str, JobRecord] = {}
        self.error: SynCamError | None = None
        """The last fault, for the panel, until the next run or a click."""
        self.notice = ""
        self.engine_status: EngineStatus | None = None
        self.tick_count = 0
        self.redraws_left = 0
        self.made_here: set[str] = set()
        """Jobs that were started in the file that is open, since it was opened."""
        self.install: Any = None
        """A running installation of the engine (`engine_ops`)."""
        self._tasks: dict[str, Iterator[None]] = {}
        self._previews: dict[tuple[str, str], Preview] = {}
        self._stack_due: list[str] = []
        self._landing: list[str] = []
        self._fetches: dict[str, tuple[str, int]] = {}
        self._next_status_s = self._next_facts_s = 0.0
        self._on_status: list[Callable[[EngineStatus], None]] = []
        self._restarts = 0
        self.is_stop_wanted = self.is_restart_wanted = False
        """The engine is being ended on purpose; the second: to be started again."""
        self.chore: Iterator[Any] | None = None
        """Work for the panel alone (camera thumbnails), a step a tick."""

    # ---- the engine ----

    def connect(self) -> None:
        """Begin to look for an engine; returns at once. Does nothing when that is under way."""
        if self.client is not None:
            return
        own = preferences.get()
        name = f"Blender {'.'.join(map(str, bpy.app.version[:2]))}"
        try:
            self.client = EngineClient(
                preferences.remote_endpoint(), client_name=name, client_id=preferences.client_id()
            )
        except SynCamError as error:
            self.error = error
            return
        python = own.engine_python.strip() if own else ""
        self.launcher = EngineLauncher(
            self.client, python=bpy.path.abspath(python) if python else None
        )
        for record in self.store.load():
            if record.job_id in self.records:
                continue
            self.records[record.job_id] = record
            if record.state == "preparing":
                record.state = "failed"
                record.sentence = "Blender ended before the job was sent."
                self.store.save(record)
            elif record.is_running:
                self.client.watch(record.job_id)
            elif record.state == "done" and not record.applied:
                self._begin_landing(record)

    def disconnect(self) -> None:
        """Leave the engine; jobs go on there."""
        for task in self._tasks.values():
            task.close()
        self._tasks.clear()
        if self.client is not None:
            self.client.close()
        self.client = self.launcher = None
        self.engine = EngineState(state="stopped", sentence="Not connected.")

    def reconnect(self) -> None:
        self.disconnect()
        self.records.clear()
        self.connect()

    def start_engine(self) -> None:
        """Have an engine running soon; returns at once."""
        self.connect()
        self.is_stop_wanted = False
        if self.launcher is not None and preferences.remote_endpoint() is None:
            self.launcher.ensure_started()
            self._next_status_s = 0.0

    def ask_status(self, then: Callable[[EngineStatus], None]) -> None:
        if self.client is not None:
            self._on_status.append(then)
            self.client.ask_status()

    def presets(self) -> list[PresetInfo]:
        return list(self.client.hello.presets) if self.client and self.client.hello else []

    def envelope_or_none(self, preset: str) -> Envelope | None:
        """Return a preset's envelope, once the engine has told it."""
        for info in self.presets():
            if info.name == preset and info.envelope:
                return Envelope.from_dict(info.envelope)
        return None

    def checked_envelope_or_none(self, preset: str) -> Envelope | None:
        """Like `envelope_or_none`; raises SynCamError for a preset that the engine lacks."""
        envelope = self.envelope_or_none(preset)
        if envelope is None and self.presets():
            names = ", ".join(info.name for info in self.presets())
            raise SynCamError(
                "preset.unknown",
                f"The engine has no preset {preset!r}; it has {names}.",
                value=preset,
                nearest=self.presets()[0].name,
            )
        return envelope

    def fit_to_preset(self, settings: Any) -> None:
        """Set what a newly chosen preset is made for: its size, length, steps and guidance."""
        own = next((info.defaults for info in self.presets() if info.name == settings.preset), {})
        if "width" in own and "height" in own:
            settings.size = f"{own['width']}x{own['height']}"
        for name, key in (("frames", "frames"), ("steps", "steps"), ("guidance", "guidance_scale")):
            if key in own:
                setattr(settings, name, own[key])

    # ---- jobs ----

    def running(self) -> list[JobRecord]:
        return [record for record in self.records.values() if record.is_running]

    def ended(self) -> list[JobRecord]:
        """Jobs that ended, newest first."""
        done = [record for record in self.records.values() if not record.is_running]
        return sorted(done, key=lambda record: -record.created_unix_s)

    def run(self, record: JobRecord, task: Iterator[GenerateRequest | None]) -> None:
        """Remember a job and let its preparation advance, a step a tick, until it is sent.

        `task` yields None while it works and raises SynCamError when it cannot go on.
        """
        self.error, self.notice, self._restarts = None, "", 0
        self.store.save(record)
        self.records[record.job_id] = record
        self.made_here.add(record.job_id)
        self._tasks[record.job_id] = task
        self.connect()

    def send(self, record: JobRecord, request: GenerateRequest, clips: list) -> None:
        """Send a prepared job."""
        record.state, record.phase = "queued", ""
        self.store.save(record)
        self.client.submit(request, clips)

    def cancel(self, job_id: str) -> None:
        record = self.records.get(job_id)
        if record is None or not record.is_running:
            return
        task = self._tasks.pop(job_id, None)
        if task is not None and record.state == "preparing":
            task.close()
            self._end(record, "cancelled", "Cancelled before it was sent.")
        elif self.client is not None:
            record.state = "cancelling"
            self.client.cancel(job_id)

    def forget(self, job_id: str) -> None:
        record = self.records.get(job_id)
        if record is not None and not record.is_running:
            del self.records[job_id]
            self.store.forget(record)

    def land_again(self, record: JobRecord) -> None:
        """Bring a finished job's clips into the scene (again)."""
        self._begin_landing(record)

    # ---- the tick ----

    def tick(self) -> bool:
        """Move everything on by a little; True when the panel should be drawn again."""
        self.tick_count += 1
        if self.client is None:
            return False
        changed = False
        for event in self.client.poll(budget_s=0.0015):
            changed = self._hear(event) or changed
        now_s = time.monotonic()
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + STATUS_EVERY_S
            changed = self._follow_engine() or changed
        changed = self._show_one_preview() or changed
        changed = self._advance_chore() or changed
        return self._advance_one_task() or changed

    @property
    def is_busy(self) -> bool:
        return bool(
            self._tasks or self._previews or self._stack_due or self.chore or self.running()
        ) or self.engine.state in (
            "starting",
            "loading",
        )

    def is_settled(self, job_ids: list[str]) -> bool:
        """Whether these jobs ended and their clips, where they have any, are in the scene."""
        return not any(
            job_id in self._tasks or (job_id in self.records and self.records[job_id].is_running)
            for job_id in job_ids
        )

    def _hear(self, event: Any) -> bool:
        if isinstance(event, Preview):
            record = self.records.get(event.job_id)
            if record is not None and record.state == "running":
                self._previews[(event.job_id, event.camera)] = event
            return False
        if isinstance(event, Hello):
            self.error = (
                None if self.error and self.error.code.startswith("engine.") else self.error
            )
            for record in self.running():
                if record.job_id not in self._tasks:
                    self.client.watch(record.job_id)
            self._next_status_s = 0.0
            return True
        if isinstance(event, Lost):
            self.error = event.error.to_error()
            self._next_status_s = 0.0
            return True
        if isinstance(event, WorkerChanged):
            self._next_status_s = 0.0
            return True
        if isinstance(event, Fetched):
            return self._fetched(event)
        if isinstance(event, Reply):
            return self._replied(event)
        record = self.records.get(getattr(event, "job_id", ""))
        if record is None or not record.take(event):
            return False
        if isinstance(event, Done):
            self._begin_landing(record)
        if record.state == "failed":
            self.error = event.error.to_error()
        if not record.is_running:
            self._drop_previews(record.job_id)
        self.store.save(record)
        return True

    def _replied(self, reply: Reply) -> bool:
        if isinstance(reply.body, EngineStatus):
            self.engine_status = reply.body
            waiting, self._on_status = self._on_status, []
            for then in waiting:
                then(reply.body)
            return True
        if isinstance(reply.body, ErrorInfo):
            self.error = reply.body.to_error()
            if reply.message_id in self._fetches:
                self._fetches.pop(reply.message_id)
            return True
        return False

    def _follow_engine(self) -> bool:
        if preferences.remote_endpoint() is not None:
            now = remote_state(self.client)
        else:
            now = self.launcher.status()
            own = preferences.get()
            may_start = own is None or own.start_engine
            if now.state == "lost" and self.is_restart_wanted:
                self.is_restart_wanted = False
                self.launcher.ensure_started()
            elif now.state == "lost" and self.is_stop_wanted:
                now = EngineState(state="stopped", sentence="The engine is stopped.")
                self.error = None
            elif now.state == "lost" and self.running() and may_start and self._restarts < 3:
                self._restarts += 1
                self.notice = "The engine stopped; it is being started again and the job goes on."
                self.launcher.ensure_started()
        # While it starts or loads, a bar moves.
        changed = now != self.engine or now.state in ("starting", "loading")
        self.engine = now
        if now.state == "ready" and time.monotonic() >= self._next_facts_s:
            self._next_facts_s = time.monotonic() + FACTS_EVERY_S
            self.client.ask_status()
        if now.state == "ready" and self.notice.startswith("The engine stopped"):
            self.notice = "The engine stopped and was started again; the job goes on."
        return changed

    def _show_one_preview(self) -> bool:
        """Put one waiting picture into its camera's datablock: more would make the tick long."""
        if self._stack_due:
            # The panel's icon in a tick of its own.
            thumbs.stack(self._stack_due)
            self._stack_due = []
            return True
        if not self._previews:
            return False
        (_, camera), preview = next(iter(self._previews.items()))
        del self._previews[next(iter(self._previews))]
        thumbs.show_live(camera, preview.width, preview.height, preview.rgb8)
        names = [reference["name"] for reference in self.records[preview.job_id].cameras]
        self._stack_due = next(c for c in thumbs.columns_of(names) if camera in c)
        return True

    def _advance_chore(self) -> bool:
        if self.chore is None:
            return False
        try:
            next(self.chore)
        except StopIteration:
            self.chore = None
        except SynCamError as error:
            self.chore, self.error = None, error
        return True

    def _drop_previews(self, job_id: str) -> None:
        for key in [key for key in self._previews if key[0] == job_id]:
            del self._previews[key]

    def _advance_one_task(self) -> bool:
        for job_id, task in list(self._tasks.items()):
            record = self.records[job_id]
            before = (record.state, record.phase, record.step)
            try:
                next(task)
            except StopIteration:
                self._tasks.pop(job_id, None)
                return True
            except SynCamError as error:
                self._tasks.pop(job_id, None)
                self.error = error
                if record.is_running:
                    self._end(record, "failed", error.sentence, error.fix or "")
                return True
            except OSError as error:
                self._give_up(
                    record, f"{error.filename or 'A file'} cannot be used: {error.strerror}."
                )
                return True
            except FAULTS as error:
                # Blender took away what was worked on (an undo, another add-on): say so, go on.
                traceback.print_exc()
                self._give_up(record, f"The scene changed under the job ({error}); run it again.")
                return True
            if (record.state, record.phase, record.step) != before:
                return True
        return False

    def _give_up(self, record: JobRecord, sentence: str) -> None:
        """End a task that failed; a finished job keeps its clips and its state."""
        self._tasks.pop(record.job_id, None)
        self.error = SynCamError("job.task", sentence)
        if record.is_running:
            self._end(record, "failed", sentence)

    def _end(self, record: JobRecord, state: str, sentence: str, fix: str = "") -> None:
        record.state, record.sentence, record.fix = state, sentence, fix
        self.store.save(record)

    # ---- results ----

    def _begin_landing(self, record: JobRecord) -> None:
        self._tasks[record.job_id] = landing.land(self, record)

    def fetch(self, record: JobRecord, index: int, target: Path) -> None:
        """Ask for one clip's file; `record.clips[index]["local"]` is set when it is there."""
        clip = record.clips[index]
        wanted = ClipResult(
            camera=clip["camera"], index=clip["index"], digest=clip["digest"], bytes=clip["bytes"]
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        message_id = self.client.fetch(record.job_id, wanted, target)
        self._fetches[message_id] = (record.job_id, index)

    def is_fetching(self, record: JobRecord) -> bool:
        return any(job_id == record.job_id for job_id, _ in self._fetches.values())

    def _fetched(self, event: Fetched) -> bool:
        job_id, index = self._fetches.pop(event.message_id, ("", 0))
        record = self.records.get(job_id)
        if record is None:
            return False
        record.clips[index]["local"] = event.path
        return True


_session: Session | None = None


def get() -> Session:
    """Return the add-on's only session."""
    global _session
    if _session is None:
        _session = Session()
    return _session


def forget() -> None:
    """End the session: the add-on is being disabled."""
    global _session
    if _session is not None:
        _session.disconnect()
        _session = None
