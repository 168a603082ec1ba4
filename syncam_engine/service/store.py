# SPDX-License-Identifier: Apache-2.0
"""Jobs on disk: a SQLite database and a folder for each job, in one state folder.

    STATE/jobs.sqlite                     the index, WAL mode, schema version in `user_version`
    STATE/jobs/ID/request.json            the job as accepted: enough to run it
    STATE/jobs/ID/result/                 its clips and result.json; renamed into place whole
    STATE/jobs/ID/ended.json              why it has no result: cancelled or failed
    STATE/jobs/ID/latents                 only while it is open (see `kept_latents`)
    STATE/inputs/                         what clients sent (see `inputs`)
    STATE/logs/  STATE/engine.json  STATE/lock

A fact is in the job's folder before it is in the database, and in the database before anybody is
told. So the folders alone are enough: at the start they are read again, and a database that is
damaged, truncated or behind is mended from them.

That is why most changes of the database are not flushed one by one (`synchronous = NORMAL`): a kill
loses none of them, and a power cut only what the folders say again. What is in the database alone,
a changed order or a removal, is flushed.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.endpoint import private_dir
from syncam_engine.link.messages import Done, ErrorInfo, GenerateRequest, JobState

from .files import LATENTS_FILE, bytes_in, digest_of
from .job_index import open_index
from .jobs import OPEN, Job, Summary, Ticket
from .patient_disk import PatientDisk, StillWriting

LOG = logging.getLogger("syncam.store")


class DamagedResult(Exception):
    """A result that is there and not whole, or gone; trying again would find it so again."""


class Ended(msgspec.Struct, kw_only=True):
    """`ended.json`."""

    state: JobState
    error: ErrorInfo


_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Store:
    """The jobs of one state folder. Every method that changes something has written it when it
    returns, or raises `OSError` or `sqlite3.Error` and has changed nothing that counts."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = private_dir(state_dir)
        self.jobs_dir = private_dir(state_dir / "jobs")
        self._disk = PatientDisk()
        self._db, said = open_index(state_dir / "jobs.sqlite")
        self.mended: list[str] = [said] if said else []
        """What was found damaged or behind at the start, in words."""
        self._mend()

    def close(self) -> None:
        self._disk.close()
        self._db.close()

    # ---- reading ----

    def get(self, job_id: str) -> Job | None:
        """A job without its request."""
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return self._job(row) if row else None

    def open_jobs(self) -> list[Job]:
        """Every job that waits or was running when the server ended."""
        marks = ",".join("?" * len(OPEN))
        rows = self._db.execute(
            f"SELECT * FROM jobs JOIN tickets USING (id) WHERE state IN ({marks})", OPEN
        )
        return [self._job(row, _decode(row["ticket"], type=Ticket).request) for row in rows]

    def newest(
        self, asker: str, limit: int, *, mine: bool = False, before: str = "", begins: str = ""
    ) -> Iterator[Job]:
        """The newest jobs, without requests, the newest first, read as they are asked for: of
        those older than the job `before`, and of those of `asker`'s own whose id begins with
        `begins`. Of other clients' jobs only what anybody may know."""
        where, values = _those_of(asker if mine or begins else None)
        if before:
            where += " AND number < (SELECT number FROM jobs WHERE id = ?)"
            values.append(before)
        if begins:
            where += " AND id >= ? AND id < ?"
            values += [begins, begins + "\uffff"]
        own = ", ".join(
            f"CASE WHEN owner = ? THEN {name} END AS {name}"
            for name in ("summary", "done", "error")
        )
        rows = self._db.execute(
            "SELECT id, owner, place, state, attempts, deaths, bytes, submitted_unix_s, client,"
            f" views, {own} FROM jobs {where} ORDER BY number DESC LIMIT ?",
            (asker, asker, asker, *values, limit),
        )
        try:
            for row in rows:
                yield self._job(row)
        finally:
            rows.close()

    def count(self, owner: str | None = None) -> int:
        where, values = _those_of(owner)
        return self._db.execute(f"SELECT count(*) FROM jobs {where}", values).fetchone()[0]

    def counts(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state"))

    def served(self) -> dict[str, int]:
        """Owner to the counter of when it was last served, for `fair_order`."""
        rows = self._db.execute("SELECT owner, max(served) FROM jobs WHERE served > 0 GROUP BY 1")
        return dict(rows)

    def bytes_of(self, owner: str) -> int:
        row = self._db.execute("SELECT sum(bytes) FROM jobs WHERE owner = ?", (owner,)).fetchone()
        return row[0] or 0

    def last_place(self) -> float:
        return self._db.execute("SELECT max(place) FROM jobs").fetchone()[0] or 0.0

    def job_dir(self, job_id: str) -> Path:
        return self.jobs_dir / job_id

    # ---- changing ----

    def add(self, job: Job) -> None:
        """Write an accepted job down: after this it is never lost. Raises `StillWriting` where the
        disk takes its time; the same job again is the same call."""
        ticket = job.ticket()
        text = msgspec.json.encode(ticket)
        folder = private_dir(self.job_dir(job.id))
        try:
            self._disk.write(folder / "request.json", text)
            self._insert(job, ticket)
        except StillWriting:
            raise
        except (OSError, sqlite3.Error):
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def start(self, job: Job, counter: int) -> None:
        """A worker takes the job: one attempt more; `counter` says that its owner was served."""
        with self._db:
            self._db.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, served = ?"
                " WHERE id = ?",
                (counter, job.id),
            )
        job.attempts += 1
        job.state = "running"

    def put_back(self, job: Job, *, died: bool) -> None:
        """The attempt ended without a verdict: the job waits again, in its old place."""
        with self._db:
            self._db.execute(
                "UPDATE jobs SET state = 'queued', deaths = deaths + ? WHERE id = ?",
                (int(died), job.id),
            )
        job.deaths += died
        job.state, job.phase, job.step, job.eta_s = "queued", "", 0, None

    def set_waiting(self, job: Job, state: JobState) -> None:
        """Pause or resume a waiting job."""
        with self._flushed():
            self._db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job.id))
        job.state = state

    def set_places(self, jobs: Sequence[Job], places: Sequence[float]) -> None:
        """Move waiting jobs, all of them or none."""
        with self._flushed():
            self._db.executemany(
                "UPDATE jobs SET place = ? WHERE id = ?",
                [(place, job.id) for job, place in zip(jobs, places, strict=True)],
            )
        for job, place in zip(jobs, places, strict=True):
            job.place = place

    def end(self, job: Job, state: JobState, error: ErrorInfo) -> None:
        """Cancelled or failed, for good. Its request stays; what else it holds makes room first."""
        folder = self.job_dir(job.id)
        (folder / LATENTS_FILE).unlink(missing_ok=True)
        shutil.rmtree(folder / "result", ignore_errors=True)
        ended = msgspec.json.encode(Ended(state=state, error=error))
        self._disk.write(folder / "ended.json", ended)
        self._finish(job, state, None, error)

    def complete(self, job: Job) -> Done:
        """Take the result that lies in the job's folder. Raises `DamagedResult` when it is not
        whole, which is for good; what cannot be written may be tried again."""
        try:
            done = read_result(self.job_dir(job.id))
        except OSError as error:
            name = Path(error.filename).name if error.filename else ""
            raise DamagedResult(f"{name}: {error.strerror}" if name else str(error)) from error
        self._finish(job, "done", done, None)
        return done

    def put_aside(self, job: Job) -> None:
        """Keep a damaged result under another name, so that the job can run again."""
        folder = self.job_dir(job.id)
        if (folder / "result").exists():
            os.replace(folder / "result", folder / f"damaged-{time.time_ns()}")

    def remove(self, job: Job) -> None:
        """Delete an ended job and its clips."""
        with self._flushed():
            self._db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            self._db.execute("DELETE FROM tickets WHERE id = ?", (job.id,))
        shutil.rmtree(self.job_dir(job.id), ignore_errors=True)

    def _finish(
        self, job: Job, state: JobState, done: Done | None, error: ErrorInfo | None
    ) -> None:
        (self.job_dir(job.id) / LATENTS_FILE).unlink(missing_ok=True)
        size, now_s = bytes_in(self.job_dir(job.id)), time.time()
        with self._db:
            self._db.execute(
                "UPDATE jobs SET state = ?, done = ?, error = ?, bytes = ?, ended_unix_s = ?"
                " WHERE id = ?",
                (
                    state,
                    done and _encode(done),
                    error and _encode(error),
                    size,
                    now_s,
                    job.id,
                ),
            )
            self._db.execute("DELETE FROM tickets WHERE id = ?", (job.id,))
        job.state, job.done, job.error, job.bytes, job.eta_s = state, done, error, size, None

    def _insert(self, job: Job, ticket: Ticket) -> None:
        with self._db:
            self._keep_ticket(job.id, ticket)
            self._db.execute(
                "INSERT INTO jobs (id, owner, place, state, attempts, deaths, served, bytes,"
                " submitted_unix_s, client, views, summary) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    job.id,
                    job.owner,
                    job.place,
                    job.state,
                    job.attempts,
                    job.deaths,
                    0,
                    job.bytes,
                    job.submitted_unix_s,
                    job.client_name,
                    job.views,
                    _encode(Summary.of(ticket)),
                ),
            )

    def _keep_ticket(self, job_id: str, ticket: Ticket) -> None:
        values = (job_id, _encode(ticket))
        self._db.execute("INSERT OR REPLACE INTO tickets VALUES (?, ?)", values)

    @contextmanager
    def _flushed(self) -> Iterator[None]:
        """A transaction that is on the disk when it ends."""
        self._db.execute("PRAGMA synchronous = FULL")
        try:
            with self._db:
                yield
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")

    def _job(self, row: sqlite3.Row, request: GenerateRequest | None = None) -> Job:
        summary = _decode(row["summary"], type=Summary) if row["summary"] else None
        job = Job(
            id=row["id"],
            owner=row["owner"],
            client_name=row["client"],
            request=request,
            prompt=summary.prompt if summary else "",
            views=row["views"],
            fingerprint=summary.fingerprint if summary else "",
            place=row["place"],
            submitted_unix_s=row["submitted_unix_s"],
            state=row["state"],
            attempts=row["attempts"],
            deaths=row["deaths"],
            warnings=summary.warnings if summary else [],
            done=_decode(row["done"], type=Done) if row["done"] else None,
            error=_decode(row["error"], type=ErrorInfo) if row["error"] else None,
            bytes=row["bytes"],
        )
        return job

    # ---- mending ----

    def _mend(self) -> None:
        """Bring the database level with the folders."""
        known = {row["id"]: row["state"] for row in self._db.execute("SELECT id, state FROM jobs")}
        unknown = []
        for folder in self.jobs_dir.iterdir():
            try:
                place = self._mend_folder(folder, known.get(folder.name))
            except OSError as error:  # another user's, as after one start as root: it alone waits
                self.mended.append(f"The job folder {folder} is left alone: {error.strerror}.")
                continue
            if place is not None:
                unknown.append((place, folder))
        for _, folder in sorted(unknown):  # in the order in which they came
            ticket = _read_ticket(folder)
            self.mended.append(f"Job {folder.name} was not in the database.")
            self._insert(Job.of(ticket), ticket)
            self._settle(folder)

    def _mend_folder(self, folder: Path, state: JobState | None) -> float | None:
        """Bring the database level with one folder. Return the place of a job that it lacks."""
        for leftover in folder.glob("*.part"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        if state is not None and state not in OPEN:
            (folder / LATENTS_FILE).unlink(missing_ok=True)
        elif (ticket := _read_ticket(folder)) is None:
            # Never acknowledged: the request is written before the client is told.
            LOG.warning("no request in job folder", extra={"job": folder.name})
            if state is None and not (folder / "result").exists():
                shutil.rmtree(folder, ignore_errors=True)
        elif state is None:
            return ticket.place
        else:
            with self._db:
                self._keep_ticket(folder.name, ticket)
            self._settle(folder)
        return None

    def _settle(self, folder: Path) -> None:
        """Adopt what an open job's folder says: a whole result, or an end."""
        job = self.get(folder.name)
        if (folder / "ended.json").exists():
            try:
                ended = msgspec.json.decode((folder / "ended.json").read_bytes(), type=Ended)
            except msgspec.DecodeError:
                (folder / "ended.json").unlink()
            else:
                self._finish(job, ended.state, None, ended.error)
                return
        if (folder / "result").exists():
            try:
                done = read_result(folder, check_digests=True)
            except OSError as error:
                self.put_aside(job)
                self.mended.append(f"Job {job.id} had a damaged result: {error}. It runs again.")
            else:
                self._finish(job, "done", done, None)
                return
        if job.state == "running":
            self.put_back(job, died=False)


def read_result(folder: Path, *, check_digests: bool = False) -> Done:
    """Return what a job's `result/` holds; raises `OSError` when a clip is missing or damaged."""
    try:
        done = msgspec.json.decode((folder / "result" / "result.json").read_bytes(), type=Done)
    except msgspec.DecodeError as error:
        raise OSError(f"result.json cannot be read: {error}") from error
    for clip in done.clips:
        path = folder / "result" / clip_name(clip.index, clip.camera, clip.kind)
        if path.is_file() and path.stat().st_size != clip.bytes:
            raise OSError(f"{path.name} has {path.stat().st_size} bytes, not {clip.bytes}")
        if not path.exists():
            raise OSError(f"{path.name} is missing")
        if check_digests and path.is_file() and digest_of(path) != clip.digest:
            raise OSError(f"{path.name} has another digest")
    return done


def _read_ticket(folder: Path) -> Ticket | None:
    """What a job's folder says was accepted; None where that is not there, or not whole, or another
    job's."""
    try:
        text = (folder / "request.json").read_bytes()
        ticket = msgspec.json.decode(text, type=Ticket)
    except (OSError, msgspec.DecodeError):
        return None
    return ticket if ticket.request.job_id == folder.name else None


def _those_of(owner: str | None) -> tuple[str, list[str]]:
    """The condition for the jobs of an owner, or of all, and its values."""
    return ("WHERE owner = ?", [owner]) if owner else ("WHERE 1", [])
