# SPDX-License-Identifier: Apache-2.0
"""The engine's heart: jobs from acceptance to their end. It knows no sockets and never waits.

What clients ask is in `verbs`; what workers say arrives in `hear_worker` and `hear_death`; `tick`
hands out work and mends what could not be written.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncam_engine import __version__
from syncam_engine.link import limits
from syncam_engine.link import messages as wire
from syncam_engine.link.engine_facts import EngineStatus
from syncam_engine.link.messages import ErrorInfo

from . import worker_messages as wm
from .artefacts import Artefacts
from .catalog import Catalog
from .estimate import Estimator
from .fairness import fair_order
from .files import CANNOT_WRITE, not_written
from .inputs import InputStore
from .jobs import OPEN, Job
from .store import DamagedResult, Store
from .supervisor import Slot, Supervisor
from .verbs import Verbs

LOG = logging.getLogger("syncam.engine")
MOST_RUNS = 3
"""So often a job runs when it is the disk that did not take, or did not keep, its clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the engine allows; set by `syncam serve`."""

    max_jobs_per_client: int = limits.MAX_JOBS_PER_CLIENT
    max_disk_bytes_per_client: int = limits.MAX_DISK_BYTES_PER_CLIENT
    reserve_bytes: int = 256 * limits.MIB
    """Free disk that is kept: below it nothing new is accepted and nothing started."""
    max_deaths: int = 2
    """A job during which the worker died so often is given up."""
    yield_after_s: float | None = None
    """Free the device after so many idle seconds; None keeps the model loaded."""
    checkpoint_steps: int = 0
    """Keep a running job's latents after so many steps, to go on from after a kill; 0 never."""


class Engine(Verbs):
    """Jobs of one state folder. `publish(owner, event, job_id)` tells an owner's clients."""

    def __init__(
        self, store: Store, inputs: InputStore, catalog: Catalog, rules: Rules, log_path: Path
    ) -> None:
        self.store, self.inputs, self.catalog, self.rules = store, inputs, catalog, rules
        self.log_path = log_path
        self.instance = wire.new_id()
        self.started_s = time.monotonic()
        self.publish: Callable[[str, Any, str], None] = lambda *_: None
        self.workers: Supervisor | None = None
        self.estimator = Estimator()
        self.artefacts = Artefacts()
        self.jobs: dict[str, Job] = {job.id: job for job in store.open_jobs()}
        self.failures: dict[str, int] = {}
        self.phase_seconds: dict[str, float] = {}
        self._served = store.served()
        self._counter = max(self._served.values(), default=0)
        self._place = store.last_place()
        self._order_cache: list[str] | None = None
        self._places_cache: dict[str, tuple[int, float | None]] | None = None
        self._unwritten: dict[str, Callable[[], Any]] = {}
        self._hold_until_s = 0.0
        self._idle_since_s = time.monotonic()
        self._next_retry_s = 0.0
        self.address = ""
        self.pid = os.getpid()
        self.client_count: Callable[[], int] = lambda: 0

    # ---- what workers say ----

    def hear_worker(self, slot: Slot, message: Any, buffers: list) -> None:
        if isinstance(message, wm.Loaded):
            LOG.info(
                "model loaded on %s in %.1f s",
                message.device,
                message.seconds,
                extra={"worker": slot.index, "preset": message.preset},
            )
            return
        job = self.jobs.get(getattr(message, "job_id", ""))
        is_current = job is not None and job.state == "running" and message.attempt == job.attempts
        if not is_current or self._has_verdict(job):
            self._late(message)
            return
        if isinstance(message, wm.AtPhase):
            job.phase = message.phase
            event = wire.Phase(job_id=job.id, phase=message.phase, attempt=job.attempts)
            self.publish(job.owner, event, job.id)
        elif isinstance(message, wm.AtStep):
            job.step, job.steps = message.step, message.steps
            job.eta_s = self.estimator.left_s(job.id, job.request, job.step, job.steps)
            event = wire.Progress(job_id=job.id, step=job.step, steps=job.steps, eta_s=job.eta_s)
            self.publish(job.owner, event, job.id)
        elif isinstance(message, wm.Pixels) and buffers:
            self._preview(job, message, buffers[0])
        elif isinstance(message, wm.Noted):
            LOG.info("job: %s", message.text, extra={"job": job.id, "attempt": job.attempts})
        elif isinstance(message, wm.Finished):
            self._settle(job.id, lambda: self._complete(job))
        elif isinstance(message, wm.Broke):
            self._broke(job, message)

    def hear_death(self, slot: Slot, reason: str, hung: bool) -> None:
        """A worker ended by itself. Its job runs again, unless it has done this before."""
        job = self.jobs.get(slot.job_id)
        self.failures["worker"] = self.failures.get("worker", 0) + 1
        if job is None or job.state != "running" or self._has_verdict(job):
            return
        # The result may be whole already: the worker died between its rename and its word.
        if (self.store.job_dir(job.id) / "result").exists():
            self._settle(job.id, lambda: self._complete(job))
        elif job.deaths + 1 < self.rules.max_deaths:
            LOG.warning("job runs again: %s", reason, extra={"job": job.id})
            self._settle(job.id, lambda: self._put_back(job, died=True))
        else:
            job.deaths += 1
            code = "job.hung" if hung else "job.poisoned"
            sentence = (
                f"The job was given up: the worker ended {job.deaths} times while it ran "
                f"(the last time: {reason})."
            )
            error = ErrorInfo(
                code=code, sentence=sentence, value=job.deaths, fix="Read the engine's log"
            )
            self._settle(job.id, lambda: self._end(job, "failed", error))

    # ---- time ----

    def tick(self) -> None:
        """Retry what could not be written, yield the device, hand out work."""
        now_s = time.monotonic()
        if self._unwritten and now_s >= self._next_retry_s:
            self._next_retry_s = now_s + 1.0
            for job_id in list(self._unwritten):
                self._settle(job_id, self._unwritten.pop(job_id))
        if any(job.state == "running" for job in self.jobs.values()):
            self._idle_since_s = now_s
        queue = self.order()
        held = now_s < self._hold_until_s
        if held:
            self._yield_idle()
            return
        if not queue:
            idle = self.rules.yield_after_s
            if idle is not None and now_s - self._idle_since_s > idle:
                self._yield_idle()
            return
        if self._disk_state()[0] < self.rules.reserve_bytes // 2:
            return
        self._idle_since_s = now_s
        for slot in self.workers.slots:
            self.workers.wake(slot)
        for slot, job_id in zip(self.workers.free_slots(), queue, strict=False):
            self._start(slot, self.jobs[job_id])

    def order(self) -> list[str]:
        """Ids of the waiting jobs in the order in which they will start."""
        if self._order_cache is None:
            queued = [
                job
                for job in self.jobs.values()
                if job.state == "queued" and not self._has_verdict(job)
            ]
            # A job that was interrupted has had its turn already: it goes first.
            again = sorted((j for j in queued if j.attempts), key=lambda j: (-j.priority, j.place))
            fresh = fair_order((j for j in queued if not j.attempts), self._served)
            self._order_cache = [job.id for job in again] + fresh
        return self._order_cache

    def status(self, *, owner: str = "") -> EngineStatus:
        """What everybody may know; of jobs' ids those of `owner`."""
        counts = self.store.counts()
        notes = list(self.store.mended[-3:])
        free, note = self._disk_state()
        if note:
            notes.append(note)
        own = {job.id for job in self.jobs.values() if job.owner == owner}
        held_s = self._hold_until_s - time.monotonic()
        if held_s > 0:
            notes.append(f"The device is left to other programs for {held_s:.0f} s more.")
        notes += [note for slot in self.workers.slots for note in slot.notes.values()]
        return EngineStatus(
            engine=__version__,
            instance=self.instance,
            pid=self.pid,
            uptime_s=time.monotonic() - self.started_s,
            endpoint=self.address,
            workers=[slot.info(own) for slot in self.workers.slots],
            queued=counts.get("queued", 0),
            running=counts.get("running", 0),
            paused=counts.get("paused", 0),
            done=counts.get("done", 0),
            failed=counts.get("failed", 0),
            cancelled=counts.get("cancelled", 0),
            clients=self.client_count(),
            disk_free_mb=free / limits.MIB,
            notes=notes,
        )

    # ---- inside ----

    def _start(self, slot: Slot, job: Job) -> None:
        paths = [self.inputs.path_or_none(job.owner, digest) for digest in job.request.inputs]
        if None in paths:
            error = ErrorInfo(
                code="input.missing", sentence="An input clip of the job is gone from the disk."
            )
            self._settle(job.id, lambda: self._end(job, "failed", error))
            return
        self._counter += 1
        try:
            self.store.start(job, self._counter)
        except CANNOT_WRITE as error:
            LOG.error("cannot write: %s", error, extra={"job": job.id})
            return
        self._served[job.owner] = self._counter
        self._changed()
        order = wm.Run(
            job_id=job.id,
            attempt=job.attempts,
            request=job.request,
            folder=str(self.store.job_dir(job.id)),
            inputs=[str(path) for path in paths],
            checkpoint_steps=self.rules.checkpoint_steps,
        )
        if not self.workers.run(slot, order):
            self._settle(job.id, lambda: self._put_back(job, died=False))
            return
        LOG.info("job started", extra={"job": job.id, "attempt": job.attempts})
        self.publish(job.owner, wire.Queued(job_id=job.id, warnings=job.warnings), job.id)

    def _preview(self, job: Job, pixels: wm.Pixels, data: bytes) -> None:
        cameras = job.request.rig.get("cameras", [])
        if pixels.index < len(cameras):
            event = wire.Preview(
                job_id=job.id,
                camera=str(cameras[pixels.index].get("name", "")),
                index=pixels.index,
                step=pixels.step,
                width=pixels.width,
                height=pixels.height,
                rgb8=data,
            )
            self.publish(job.owner, event, job.id)

    def _broke(self, job: Job, message: wm.Broke) -> None:
        LOG.error(
            "job broke: %s",
            message.error.sentence,
            extra={"job": job.id, "code": message.error.code, "details": message.details},
        )
        # A full disk is nobody's fault: the job waits until there is room, within reason.
        if message.error.code == "disk.full" and job.attempts < MOST_RUNS:
            self._settle(job.id, lambda: self._put_back(job, died=False))
        else:
            self._settle(job.id, lambda: self._end(job, "failed", message.error))

    def _complete(self, job: Job) -> None:
        try:
            done = self.store.complete(job)
        except DamagedResult as damage:
            self._drop_result(job, damage)
            return
        self.estimator.learn(job.request, done.seconds)
        for phase, seconds in done.seconds.items():
            self.phase_seconds[phase] = self.phase_seconds.get(phase, 0.0) + seconds
        LOG.info("job done", extra={"job": job.id, "seconds": done.seconds.get("total")})
        self._closed(job, done)

    def _drop_result(self, job: Job, damage: DamagedResult) -> None:
        """A result that is not what was written: as at a start, the job runs again for it."""
        LOG.error("damaged result: %s", damage, extra={"job": job.id, "attempt": job.attempts})
        self.store.put_aside(job)
        if job.attempts < MOST_RUNS:
            self._put_back(job, died=False)
            return
        sentence = (
            f"The job was given up: its clips were damaged on the engine's disk {job.attempts} "
            f"times (the last time: {damage})."
        )
        error = ErrorInfo(
            code="result.damaged",
            sentence=sentence,
            value=job.attempts,
            fix="Check the engine's disk",
        )
        self._end(job, "failed", error)

    def _end(self, job: Job, state: wire.JobState, error: ErrorInfo) -> None:
        self.store.end(job, state, error)
        self.failures[error.code] = self.failures.get(error.code, 0) + 1
        LOG.info("job ended: %s", state, extra={"job": job.id, "code": error.code})
        self._closed(job, wire.Failed(job_id=job.id, error=error))

    def _closed(self, job: Job, event: Any) -> None:
        self.jobs.pop(job.id, None)
        self._unwritten.pop(job.id, None)
        self.estimator.forget(job.id)
        self._changed()
        self.publish(job.owner, event, job.id)

    def _put_back(self, job: Job, *, died: bool) -> None:
        self.store.put_back(job, died=died)
        self.estimator.forget(job.id)
        self._changed()

    def _settle(self, job_id: str, write: Callable[[], Any]) -> None:
        """Write a verdict now, or keep it and try again: it is not told before it is written."""
        try:
            write()
        except CANNOT_WRITE as error:
            LOG.error("cannot write, will retry: %s", error, extra={"job": job_id})
            self._unwritten[job_id] = write
            self._changed()

    def _late(self, message: Any) -> None:
        """News of an attempt that does not count any more: a cancelled job's clips are deleted."""
        if isinstance(message, wm.Finished) and message.job_id not in self.jobs:
            job = self.store.get(message.job_id)
            if job is not None and job.state != "done":
                shutil.rmtree(self.store.job_dir(job.id) / "result", ignore_errors=True)

    def _queued(self, job: Job) -> wire.Queued:
        info = self._info(job, mine=True)
        return wire.Queued(
            job_id=job.id,
            position=info.position,
            eta_s=info.eta_s,
            warnings=job.warnings,
            paused=job.state == "paused",
        )

    def _info(self, job: Job, *, mine: bool) -> wire.JobInfo:
        if job.state != "queued" or self._has_verdict(job):
            return job.info(mine=mine)
        if self._places_cache is None:
            self._places_cache = self._places()
        place, work_s = self._places_cache[job.id]
        running = [j.eta_s for j in self.jobs.values() if j.state == "running"]
        lanes = max(1, len(self.workers.slots))
        known = work_s is not None and None not in running
        eta_s = (work_s + sum(running)) / lanes if known else None
        return job.info(mine=mine, position=place + len(running), eta_s=eta_s)

    def _places(self) -> dict[str, tuple[int, float | None]]:
        """Of each waiting job how many wait before it, and the seconds of work to its end, as far
        as that can be told."""
        places: dict[str, tuple[int, float | None]] = {}
        work_s: float | None = 0.0
        for place, job_id in enumerate(self.order()):
            whole_s = self.estimator.whole_s(self.jobs[job_id].request)
            work_s = None if None in (work_s, whole_s) else work_s + whole_s
            places[job_id] = (place, work_s)
        return places

    def _disk_free(self) -> int:
        """Raises `OSError` where the state folder is gone."""
        return shutil.disk_usage(self.store.folder).free

    def _disk_state(self) -> tuple[int, str]:
        """The free bytes, and what is wrong with them."""
        try:
            free = self._disk_free()
        except OSError as error:
            return 0, f"{not_written(error).sentence} Nothing starts."
        if free < self.rules.reserve_bytes:
            return free, f"The disk is full: {free // limits.MIB} MiB are left; nothing starts."
        return free, ""

    def _has_verdict(self, job: Job) -> bool:
        """It has ended, or will have as soon as the disk takes it."""
        return job.state not in OPEN or job.id in self._unwritten

    def _yield_idle(self) -> None:
        for slot in self.workers.slots:
            self.workers.yield_slot(slot)

    def _changed(self) -> None:
        self._order_cache = self._places_cache = None
