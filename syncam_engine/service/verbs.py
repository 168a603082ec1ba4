# SPDX-License-Identifier: Apache-2.0
"""What clients may ask of the engine: one method `on_VERB(session, body, buffers)` for each verb.

A method returns the answer, or raises `SynCamError`. Every verb may come twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from syncam_engine import __version__
from syncam_engine.link import limits
from syncam_engine.link import messages as wire
from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.engine_facts import EngineStatus, Hello
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ErrorInfo

from .acceptance import accept
from .files import CANNOT_WRITE, not_written
from .hub import Session
from .jobs import OPEN, WAITING, Job, Ticket, fingerprint_of
from .patient_disk import StillWriting

LOG = logging.getLogger("syncam.engine")
MOST_SAID_CHARS = 2000
LONGEST_HOLD_S = 600.0
"""The others' jobs wait for no render longer than that; its host may ask again."""


class Verbs:
    """The part of `Engine` that clients reach."""

    def handle(self, session: Session, body: Any, buffers: list) -> Any:
        """Answer one message; a disk that does not take it is an answer as well. One that has not
        taken it yet is none: the client sends its call again, as after each lost answer."""
        try:
            return _VERBS[type(body)](self, session, body, buffers)
        except StillWriting as error:
            LOG.warning("the disk is slow: %s", error.strerror)
            return []
        except CANNOT_WRITE as error:
            LOG.error("cannot write: %s", error)
            raise not_written(error) from error
        except SynCamError as error:
            raise _short(error) from error

    def on_hello(self, session: Session, body: wire.SayHello, _: list) -> Hello:
        return Hello(
            engine=__version__,
            protocol=limits.PROTOCOL,
            instance=self.instance,
            presets=self.catalog.infos(),
            worker=self.workers.state,
            device=self.workers.device,
        )

    def on_submit(self, session: Session, body: wire.Submit, _: list) -> wire.Queued:
        request = body.request
        fingerprint = fingerprint_of(request)
        known = self.jobs.get(request.job_id) or self.store.get(request.job_id)
        if known is not None:
            if known.owner != session.owner or known.fingerprint != fingerprint:
                raise SynCamError(
                    "job.conflict",
                    f"The job id {request.job_id} is already used by another job.",
                    value=request.job_id,
                    fix="Use a new job id",
                )
            return self._queued(known)
        mine = sum(job.owner == session.owner for job in self.jobs.values())
        if mine >= self.rules.max_jobs_per_client:
            raise SynCamError(
                "quota.jobs",
                f"This client has {mine} jobs that wait or run, the most there may be.",
                value=mine,
                nearest=self.rules.max_jobs_per_client,
                fix="Wait for one to end, or cancel one",
            )
        kept = self.store.count(session.owner)
        if kept >= limits.MAX_KEPT_JOBS_PER_CLIENT:
            raise SynCamError(
                "quota.jobs",
                f"The engine keeps {kept} jobs of this client, the most there may be.",
                value=kept,
                nearest=limits.MAX_KEPT_JOBS_PER_CLIENT,
                fix="Remove old jobs",
            )
        self._check_disk(session.owner)
        request, notices = accept(
            request,
            self.catalog,
            lambda digest: self.inputs.path_or_none(session.owner, digest),
        )
        self._place += 1.0
        job = Job.of(
            Ticket(
                owner=session.owner,
                client_name=session.name,
                fingerprint=fingerprint,
                place=self._place,
                submitted_unix_s=time.time(),
                warnings=notices,
                request=request,
            )
        )
        self.inputs.used_now(session.owner, request.inputs)
        self.store.add(job)
        self.jobs[job.id] = job
        self._changed()
        LOG.info("job accepted", extra={"job": job.id, "client": session.name})
        return self._queued(job)

    def on_cancel(self, session: Session, body: wire.Cancel, _: list) -> wire.Acknowledged:
        job = self._own(session, body.job_id)
        if job.state in OPEN:
            # Whatever the disk says, nothing more is done for it.
            self.workers.stop_job(job.id)
            error = ErrorInfo(code="job.cancelled", sentence="The job was cancelled.")
            self._settle(job.id, lambda: self._end(job, "cancelled", error))
        return wire.Acknowledged(note="cancelling" if job.state in OPEN else job.state)

    def on_pause(self, session: Session, body: wire.Pause, _: list) -> wire.Acknowledged:
        return self._set_waiting(session, body.job_id, "queued", "paused")

    def on_resume(self, session: Session, body: wire.Resume, _: list) -> wire.Acknowledged:
        return self._set_waiting(session, body.job_id, "paused", "queued")

    def on_reorder(self, session: Session, body: wire.Reorder, _: list) -> wire.Acknowledged:
        job = self._own_waiting(session, body.job_id)
        before = self._own_waiting(session, body.before) if body.before else None
        mine = sorted(
            (j for j in self.jobs.values() if j.owner == session.owner and j.state in WAITING),
            key=lambda j: j.place,
        )
        # The places stay the same ones: there is no room between two of them for ever.
        places = [j.place for j in mine]
        if job is not before:
            mine.remove(job)
            mine.insert(mine.index(before) if before else len(mine), job)
        self.store.set_places(mine, places)
        self._changed()
        return wire.Acknowledged(note=job.state)

    def on_remove(self, session: Session, body: wire.Remove, _: list) -> wire.Acknowledged:
        job = self.store.get(body.job_id)
        if job is not None and job.owner == session.owner and job.state in OPEN:
            raise SynCamError(
                "job.open", "The job has not ended yet.", value=job.state, fix="Cancel it first"
            )
        if job is not None and job.owner == session.owner:
            self.artefacts.forget(job.id)
            self.store.remove(job)
        return wire.Acknowledged()

    def on_yield(self, session: Session, body: wire.YieldDevice, _: list) -> wire.Acknowledged:
        if session.remote:
            raise SynCamError(
                "yield.remote",
                "The device is left to programs of the engine's own machine alone, and this client "
                "is on another.",
            )
        hold_s = min(body.hold_s, LONGEST_HOLD_S)
        self._hold_until_s = time.monotonic() + hold_s if hold_s else 0.0
        if hold_s:
            LOG.info("device held for %g s by %s", hold_s, session.name)
        self._yield_idle()
        return wire.Acknowledged(note=self.workers.state)

    def on_status(self, session: Session, body: wire.AskStatus, _: list) -> EngineStatus:
        return self.status(owner=session.owner)

    def on_jobs(self, session: Session, body: wire.AskJobs, _: list) -> wire.JobList:
        if body.before:
            self._own(session, body.before)
        newest = self.store.newest(
            session.owner, body.limit, mine=body.mine, before=body.before, begins=body.begins
        )
        infos = (
            self._info(self.jobs.get(job.id, job), mine=job.owner == session.owner)
            for job in newest
        )
        return wire.JobList(
            jobs=list(reversed(_in_one_frame(infos))),
            total=self.store.count(session.owner if body.mine else None),
        )

    def on_sync(self, session: Session, body: wire.Sync, _: list) -> wire.Synced:
        found, unknown = [], []
        for job_id in body.jobs:
            job = self.jobs.get(job_id) or self.store.get(job_id)
            if job is None or job.owner != session.owner:
                unknown.append(job_id)
            else:
                found.append(replace(self._info(job, mine=True), prompt=""))
        # Those that have ended first: once they are told of, they are not asked for again, and
        # there is room for the others.
        found.sort(key=lambda info: info.state in OPEN)
        return wire.Synced(
            instance=self.instance,
            worker=self.workers.state,
            device=self.workers.device,
            jobs=_in_one_frame(found),
            unknown=unknown,
        )

    def on_upload(self, session: Session, body: wire.Upload, buffers: list) -> wire.UploadState:
        if len(buffers) != 1:
            raise SynCamError("message.invalid", "An upload has exactly one buffer.")
        if not self.inputs.has_all(session.owner, body.digest):
            # What has come of it already lies on the disk: it needs no room a second time.
            try:
                self._check_disk(session.owner, max(0, body.size - body.offset))
            except SynCamError:
                self.inputs.give_up(session.owner, body.digest)
                raise
        return self.inputs.take(session.owner, body, buffers[0])

    def on_fetch(
        self, session: Session, body: wire.Fetch, _: list
    ) -> list[tuple[wire.Chunk, list]]:
        artefact = self.artefacts.get(body.job_id, body.digest)
        if artefact is None or artefact.owner != session.owner:
            job = self._own(session, body.job_id)
            clips = job.done.clips if job.done else []
            clip = next((c for c in clips if c.digest and c.digest == body.digest), None)
            if clip is None:
                raise SynCamError("fetch.unknown", "The job has no such clip.", value=body.digest)
            path = self.store.job_dir(job.id) / "result" / clip_name(clip.index, clip.camera)
            artefact = self.artefacts.add(job.id, body.digest, job.owner, path)
        end = min(artefact.size, body.offset + body.length)
        # A chunk is encrypted in one go, and another client's answer may be next.
        chunk = limits.CHUNK_BYTES if session.user_id else limits.FETCH_CHUNK_BYTES
        return [
            (
                wire.Chunk(digest=body.digest, offset=offset, size=artefact.size),
                [artefact.read(offset, min(chunk, end - offset))],
            )
            for offset in range(body.offset, max(end, body.offset + 1), chunk)
        ]

    # ---- inside ----

    def _set_waiting(
        self, session: Session, job_id: str, before: str, after: wire.JobState
    ) -> wire.Acknowledged:
        job = self._own_waiting(session, job_id)
        if job.state == before:
            self.store.set_waiting(job, after)
            self._changed()
        return wire.Acknowledged(note=job.state)

    def _own(self, session: Session, job_id: str) -> Job:
        job = self.jobs.get(job_id) or self.store.get(job_id)
        if job is None or job.owner != session.owner:
            raise SynCamError("job.unknown", f"There is no job {job_id}.", value=job_id)
        return job

    def _own_waiting(self, session: Session, job_id: str) -> Job:
        job = self._own(session, job_id)
        if job.state not in WAITING:
            raise SynCamError(
                "job.not_waiting", f"The job {job_id} does not wait: {job.state}.", value=job.state
            )
        return job

    def _check_disk(self, owner: str, more: int = 0) -> None:
        free = self._disk_free()
        if free < self.rules.reserve_bytes + more:
            raise SynCamError(
                "disk.full",
                f"The engine's disk has {free // limits.MIB} MiB left, less than the "
                f"{self.rules.reserve_bytes // limits.MIB} MiB that it keeps free.",
                value=free,
                nearest=self.rules.reserve_bytes,
                fix="Free disk space on the engine's machine",
            )
        used, most = self.store.bytes_of(owner), self.rules.max_disk_bytes_per_client
        if used > most:
            raise SynCamError(
                "quota.disk",
                f"This client's jobs hold {used // limits.MIB} MiB, more than "
                f"{most // limits.MIB} MiB.",
                value=used,
                nearest=most,
                fix="Remove old jobs",
            )


def _short(error: SynCamError) -> SynCamError:
    """The same error without what a client sent of a length that no answer holds."""
    sentence = error.sentence
    if len(sentence) > MOST_SAID_CHARS:
        sentence = f"{sentence[: MOST_SAID_CHARS - 40]} ... {sentence[-35:]}"
    value, nearest = (
        repr(item)[:MOST_SAID_CHARS] if len(repr(item)) > 4 * MOST_SAID_CHARS else item
        for item in (error.value, error.nearest)
    )
    return SynCamError(error.code, sentence, value=value, nearest=nearest, fix=error.fix)


def _in_one_frame(infos: Iterable[wire.JobInfo]) -> list[wire.JobInfo]:
    """As many of the first as one answer holds, and at least one."""
    taken: list[wire.JobInfo] = []
    room = limits.PAGE_BYTES
    for info in infos:
        room -= len(msgspec.msgpack.encode(info))
        if taken and room < 0:
            break
        taken.append(info)
    return taken


_VERBS: dict[type[msgspec.Struct], Callable[..., Any]] = {
    body: getattr(Verbs, f"on_{verb}") for verb, body in wire.TO_ENGINE.items()
}
