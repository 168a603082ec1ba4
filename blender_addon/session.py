# SPDX-License-Identifier: GPL-3.0-or-later
"""The one registered state of the add-on: its engine, its jobs, and the tick that moves both.

`tick()` is a plain function that never blocks: a timer calls it in a window, a loop in background
mode and in tests. It takes a few milliseconds at most: news from the socket, one picture of a
camera, one step of work that takes several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import bpy

from syncam_engine.link.client import EngineClient
from syncam_engine.link.engine_facts import EngineStatus, Hello, PresetInfo
from syncam_engine.link.envelope import Envelope
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply, WorkerChanged
from syncam_engine.link.launch import EngineLauncher, EngineState
from syncam_engine.link.messages import Done, ErrorInfo, Failed, GenerateRequest, Preview

from . import landing, preferences, tick_work
from .fetches import Fetches
from .jobs import JobRecord, JobStore
from .keeper import EngineKeeper
from .live import LivePictures
from .remote import remote_state

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
        self.brought: list[tuple[Any, str, str]] = []
        """While a file is written: what shows clips that came along, their paths before and
        after."""
        self.reads_scene: set[str] = set()
        """Jobs in preparation that have still to read the file that is open."""
        self.install: Any = None
        """A running installation of the engine (`engine_ops`)."""
        self._tasks: dict[str, Iterator[None]] = {}
        self._sent: dict[str, GenerateRequest] = {}
        """Requests that the engine has not answered yet."""
        self._instead: dict[str, Iterator[None]] = {}
        """Of these, what to do when the engine has not kept the inputs that they name."""
        self.fetches = Fetches()
        self._live = LivePictures()
        self._next_status_s = self._next_facts_s = 0.0
        self._on_status: list[Callable[[EngineStatus], None]] = []
        self.keeper = EngineKeeper()
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
                self.save(record)
            elif record.is_running:
                self.client.watch(record.job_id, record.asked)
            elif record.is_landing_due:
                self.land(record)

    def disconnect(self) -> None:
        """Leave the engine; jobs go on there."""
        for task in self._tasks.values():
            task.close()
        self._tasks.clear()
        self._instead.clear()
        self.fetches.clear()
        # What was to be done with this engine's process must not meet another's.
        self._on_status.clear()
        if self.client is not None:
            self.client.close()
        self.client = self.launcher = self.engine_status = None
        self.engine = EngineState(state="stopped", sentence="Not connected.")

    def reconnect(self) -> None:
        self.disconnect()
        self.records.clear()
        self.connect()

    def start_engine(self) -> None:
        """Have an engine running soon; returns at once."""
        self.connect()
        self.keeper.begin()
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

    # ---- jobs ----

    def running(self) -> list[JobRecord]:
        return [record for record in self.records.values() if record.is_running]

    def ended(self) -> list[JobRecord]:
        """Jobs that ended, newest first."""
        done = [record for record in self.records.values() if not record.is_running]
        return sorted(done, key=lambda record: -record.created_unix_s)

    def run(self, record: JobRecord, task: Iterator[None], *, reads_scene: bool) -> None:
        """Remember a job and let its preparation advance, a step a tick, until it is sent.

        `task` raises SynCamError when it cannot go on; `reads_scene`: it has still to read what
        the open file holds.
        """
        self.error, self.notice, self.keeper.restarts = None, "", 0
        self.store.save(record)
        self.records[record.job_id] = record
        self.made_here.add(record.job_id)
        self._tasks[record.job_id] = task
        if reads_scene:
            self.reads_scene.add(record.job_id)
        self.connect()

    def send(
        self,
        record: JobRecord,
        request: GenerateRequest,
        clips: list,
        instead: Iterator[None] | None = None,
    ) -> None:
        """Send a prepared job. `instead` prepares it anew, from the open file, and sends it, where
        the engine has not kept the inputs that `request` names."""
        record.state, record.phase = "queued", ""
        self.save(record)
        self.reads_scene.discard(record.job_id)
        self.client.submit(request, clips)
        self._sent[record.job_id] = request
        if instead is not None:
            self._instead[record.job_id] = instead

    def leave_file(self) -> None:
        """Another file was opened: what has still to read the old one ends; sent jobs go on."""
        self.made_here.clear()
        self.brought.clear()
        self._live.clear()
        self.chore = None
        for job_id in sorted(self.reads_scene):
            task = self._tasks.pop(job_id, None)
            if task is not None:
                task.close()
                sentence = "Another file was opened before the job was sent; run it again there."
                self._end(self.records[job_id], "failed", sentence)
        self.reads_scene.clear()
        self._instead.clear()
        for record in self.records.values():
            if record.is_landing_due and record.job_id not in self._tasks:
                self.land(record)

    def cancel(self, job_id: str) -> None:
        record = self.records.get(job_id)
        if record is None or not record.is_running:
            return
        task = self._tasks.pop(job_id, None)
        if task is not None and record.state == "preparing":
            task.close()
            self._end(record, "cancelled", "Cancelled before it was sent.")
        elif self.client is not None:
            is_there = self.client.state in ("ready", "loading")
            if record.state == "cancelling" and not is_there:
                # Asked before, of an engine that is gone: the panel is not to wait for it for ever.
                self._end(record, "cancelled", "Cancelled; the engine does not answer.")
                return
            record.state = "cancelling"
            self.client.cancel(job_id)

    def forget(self, job_id: str) -> None:
        record = self.records.get(job_id)
        if record is not None and not record.is_running:
            del self.records[job_id]
            self.store.forget(record)
            if self.client is not None:
                # Nobody could ask for its clips any more: they only fill the engine's disk.
                self.client.remove(job_id)

    def land(self, record: JobRecord) -> None:
        """Bring a finished job's clips into the scene (again), a step a tick."""
        self._tasks[record.job_id] = landing.land(self, record)

    # ---- the tick ----

    def tick(self) -> bool:
        """Move everything on by a little; True when the panel should be drawn again."""
        self.tick_count += 1
        if self.client is None:
            # A job may wait for a connection that cannot be: it is to say so.
            return self._advance_one_task()
        changed = False
        for event in self.client.poll(budget_s=0.0015):
            changed = self._hear(event) or changed
        now_s = time.monotonic()
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + STATUS_EVERY_S
            changed = self._follow_engine() or changed
        changed = self._live.show_one() or changed
        changed = self._advance_chore() or changed
        return self._advance_one_task() or changed

    @property
    def is_busy(self) -> bool:
        waits = self._tasks or self._live or self.chore or self.running()
        return bool(waits) or self.engine.state in ("starting", "loading")

    def is_settled(self, job_ids: list[str]) -> bool:
        """Whether these jobs ended and their clips, where they have any, are in the scene."""
        return not any(
            job_id in self._tasks or (job_id in self.records and self.records[job_id].is_running)
            for job_id in job_ids
        )

    def _hear(self, event: Any) -> bool:
        if isinstance(event, Preview):
            record = self.records.get(event.job_id)
            # Those of another file's job would become datablocks of this one.
            here = record is not None and landing.belongs_here(self, record)
            if here and record.state == "running":
                self._live.take(event, [reference["name"] for reference in record.cameras])
            return False
        if isinstance(event, Hello):
            if self.error is not None and self.error.code.startswith(("engine.", "keys.")):
                self.error = None
            for record in self.running():
                if record.job_id not in self._tasks:
                    self.client.watch(record.job_id, record.asked)
            self._next_status_s = 0.0
            return True
        if isinstance(event, Lost):
            self.engine_status = None
            if not self.keeper.is_end_wanted:
                self.error = event.error.to_error()
            self._next_status_s = 0.0
            return True
        if isinstance(event, WorkerChanged):
            self._next_status_s = 0.0
            return True
        if isinstance(event, Fetched):
            return self.fetches.arrived(event)
        if isinstance(event, Reply):
            return self._replied(event)
        record = self.records.get(getattr(event, "job_id", ""))
        if record is None:
            return False
        instead = self._instead.pop(record.job_id, None)
        is_missing = isinstance(event, Failed) and event.error.code == "input.missing"
        if instead is not None and is_missing and record.state == "queued":
            record.state = "preparing"
            self._tasks[record.job_id] = instead
            self.reads_scene.add(record.job_id)
            self.save(record)
            return True
        if not record.take(event):
            return False
        if isinstance(event, Done):
            self.land(record)
        sent = self._sent.pop(record.job_id, None)
        if sent is not None:
            record.request["inputs"] = list(sent.inputs)
        if record.state == "failed":
            self.error = SynCamError(event.error.code, record.sentence, fix=record.fix or None)
        if not record.is_running:
            self._live.drop(record.job_id)
        self.save(record)
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
            self.fetches.failed(reply.message_id, self.error)
            return True
        return False

    def _follow_engine(self) -> bool:
        if preferences.remote_endpoint() is not None:
            now = remote_state(self.client)
        else:
            own = preferences.get()
            now, self.notice = self.keeper.follow(
                self.launcher,
                has_jobs=bool(self.running()),
                may_start=own is None or own.start_engine,
                notice=self.notice,
            )
        # While it starts or loads, a bar moves.
        changed = now != self.engine or now.state in ("starting", "loading")
        self.engine = now
        if now.state == "ready" and time.monotonic() >= self._next_facts_s:
            self._next_facts_s = time.monotonic() + FACTS_EVERY_S
            self.client.ask_status()
        return changed

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

    def _advance_one_task(self) -> bool:
        for job_id, task in list(self._tasks.items()):
            record = self.records[job_id]
            before = (record.state, record.phase, record.step)
            has_ended, error = tick_work.advance(task)
            if has_ended:
                self._tasks.pop(job_id, None)
                if error is not None:
                    self.error = error
                    # A finished job keeps its clips and its state.
                    if record.is_running:
                        self._end(record, "failed", error.sentence, error.fix or "")
                    elif not record.applied:
                        record.failed_landings += 1
                        self.save(record)
                return True
            if (record.state, record.phase, record.step) != before:
                return True
        return False

    def _end(self, record: JobRecord, state: str, sentence: str, fix: str = "") -> None:
        record.state, record.sentence, record.fix = state, sentence, fix
        self.save(record)

    def save(self, record: JobRecord) -> None:
        """Write a job down; where that fails (a full disk) say so, and go on with it in memory."""
        try:
            self.store.save(record)
        except OSError as error:
            self.error = SynCamError(
                "jobs.folder",
                f"The job cannot be written down: {error.strerror} ({self.store.folder}). It goes "
                "on, but a Blender that is started anew would not find it.",
                fix="Free disk space",
            )


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
