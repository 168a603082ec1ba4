# SPDX-License-Identifier: Apache-2.0
"""The jobs on the disk: all of a job is kept, nothing is half written, old folders are read."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ClipResult, Done, ErrorInfo
from syncam_engine.service import job_index
from syncam_engine.service.fairness import fair_order
from syncam_engine.service.files import write_whole
from syncam_engine.service.job_index import _MIGRATIONS, SCHEMA_VERSION
from syncam_engine.service.jobs import Job, Ticket, fingerprint_of
from syncam_engine.service.store import Store


def make_job(**changes):
    request = sample_request(2)
    fields = {
        "owner": "local:me",
        "client_name": "t",
        "request": request,
        "fingerprint": fingerprint_of(request),
        "place": 1.0,
        "submitted_unix_s": time.time(),
        "warnings": [],
    }
    return Job.of(Ticket(**{**fields, **changes}))


def write_result_by_hand(store, job, data=b"clip"):
    folder = store.job_dir(job.id) / "result"
    folder.mkdir()
    (folder / "00-a.mp4").write_bytes(data)
    clip = ClipResult(
        camera="a",
        index=0,
        digest=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
    )
    done = Done(job_id=job.id, clips=[clip])
    (folder / "result.json").write_bytes(msgspec.json.encode(done))


def test_store_keeps_everything_of_a_job(tmp_path):
    store = Store(tmp_path / "s")
    job, other = make_job(), make_job(place=2.0)
    store.add(job)
    store.add(other)
    assert [fingerprint_of(kept.request) for kept in store.open_jobs()] == [
        job.fingerprint,
        other.fingerprint,
    ]
    store.start(job, 7)
    store.put_back(job, died=True)
    store.start(job, 8)
    write_result_by_hand(store, job)
    done = store.complete(job)
    store.end(other, "failed", ErrorInfo(code="a.b", sentence="no", value=[1, {"x": 2}]))
    store.close()
    again = Store(tmp_path / "s")
    assert again.mended == []
    kept = again.get(job.id)
    assert (kept.state, kept.attempts, kept.deaths) == ("done", 2, 1)
    assert (kept.prompt, kept.views) == ("a small stage", 2)
    assert kept.fingerprint == job.fingerprint
    assert kept.done == done
    assert (store.job_dir(job.id) / "result" / "00-a.mp4").is_file()
    assert again.get(other.id).error.value == [1, {"x": 2}]
    assert again.served() == {"local:me": 8}
    assert again.counts() == {"done": 1, "failed": 1}
    assert again.bytes_of("local:me") > 0
    assert again.open_jobs() == []
    again.close()
    (tmp_path / "s").rename(tmp_path / "moved")
    again = Store(tmp_path / "moved")
    assert again.get(job.id).done == done
    again.remove(kept)
    assert not again.job_dir(job.id).exists()
    again.close()


@pytest.mark.parametrize("version", [1, 2])
def test_store_of_an_earlier_schema_is_brought_up(tmp_path, version):
    """With its order, its ended jobs, and the requests of those that are open."""
    waits, ended = make_job(place=3.0, submitted_unix_s=99.0), make_job(submitted_unix_s=7.0)
    (tmp_path / "s" / "jobs").mkdir(parents=True, mode=0o700)
    with sqlite3.connect(tmp_path / "s" / "jobs.sqlite") as db:
        for step in range(version):
            for statement in _MIGRATIONS[step]:
                db.execute(statement)
        for job, state, error in (
            (waits, "queued", None),
            (ended, "failed", ErrorInfo(code="a.b", sentence="no")),
        ):
            ticket = msgspec.msgpack.encode(job.ticket())
            row = (job.id, job.owner, 5.0, state, 1, 0, 3, 44, job.submitted_unix_s, None, ticket)
            error = error and msgspec.msgpack.encode(error)
            db.execute("INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,?,NULL,?)", (*row, error))
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    store = Store(tmp_path / "s")
    assert store.mended == []
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    (kept,) = store.open_jobs()
    assert fingerprint_of(kept.request) == waits.fingerprint
    assert (kept.id, kept.place, kept.attempts) == (waits.id, 5.0, 1)
    listed = list(store.newest("local:me", 9))
    assert [job.id for job in listed] == [ended.id, waits.id], "as they came, not by the clock"
    assert (listed[0].error.sentence, listed[0].prompt, listed[0].views) == (
        "no",
        "a small stage",
        2,
    )
    assert store._db.execute("SELECT count(*) FROM tickets").fetchone()[0] == 1
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.close()


def test_database_that_another_program_locks_is_no_damage(tmp_path, monkeypatch):
    Store(tmp_path / "s").close()
    monkeypatch.setattr(job_index, "START_WAIT_S", 0.01)
    other = sqlite3.connect(tmp_path / "s" / "jobs.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SynCamError, match="another program has locked") as caught:
        Store(tmp_path / "s")
    assert caught.value.code == "disk.locked"
    assert not list((tmp_path / "s").glob("*damaged*"))
    other.close()
    Store(tmp_path / "s").close()


@pytest.mark.processes
def test_no_other_program_locks_the_database_of_a_running_engine(tmp_path):
    store = Store(tmp_path / "s")
    lock = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0.01).execute('BEGIN EXCLUSIVE')"
    path = str(tmp_path / "s" / "jobs.sqlite")
    said = subprocess.run([sys.executable, "-c", lock, path], capture_output=True, text=True)
    assert "database is locked" in said.stderr
    store.add(make_job())
    assert store.count() == 1
    store.close()


def test_page_of_jobs_does_not_read_what_is_large_or_anothers(tmp_path):
    store = Store(tmp_path / "s")
    mine, theirs = make_job(), make_job(owner="local:other")
    store.add(mine)
    store.add(theirs)
    store.end(theirs, "failed", ErrorInfo(code="a.b", sentence="their secret"))
    read = []
    store._db.set_trace_callback(read.append)
    listed = {job.id: job for job in store.newest("local:me", 10)}
    assert "ticket" not in " ".join(read)
    assert (listed[mine.id].prompt, listed[mine.id].request) == ("a small stage", None)
    other = listed[theirs.id]
    assert (other.views, other.prompt, other.error, other.fingerprint) == (2, "", None, "")
    store.close()


def test_ids_of_strangers_are_not_found_by_their_beginnings(tmp_path):
    store = Store(tmp_path / "s")
    job = make_job(owner="local:other")
    store.add(job)
    assert list(store.newest("local:me", 10, begins=job.id[:4])) == []
    assert len(list(store.newest("local:other", 10, begins=job.id[:4]))) == 1
    store.close()


def test_pages_go_by_the_order_of_coming_also_when_the_clock_is_set_back(tmp_path):
    store = Store(tmp_path / "s")
    jobs = [
        make_job(place=float(k), submitted_unix_s=moment) for k, moment in enumerate((9e9, 5, 7))
    ]
    for job in jobs:
        store.add(job)
    for again in range(2):
        older = list(store.newest("local:me", 10, before=jobs[2].id))
        assert [job.id for job in older] == [jobs[1].id, jobs[0].id]
        assert list(store.newest("local:me", 10, before=jobs[0].id)) == []
        if not again:  # and from the folders alone
            store.close()
            for path in tmp_path.glob("s/jobs.sqlite*"):
                path.unlink()
            store = Store(tmp_path / "s")
    store.close()


def test_request_that_cannot_be_written_leaves_no_folder(tmp_path):
    store = Store(tmp_path / "s")
    request = sample_request(2)
    request.rig["note"] = msgspec.msgpack.Ext(5, b"x")
    job = make_job(request=request)
    with pytest.raises(TypeError):
        store.add(job)
    assert not store.job_dir(job.id).exists()
    store.close()


def test_store_of_a_newer_schema_is_left_alone(tmp_path):
    Store(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s" / "jobs.sqlite") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(SynCamError, match="newer SynCam"):
        Store(tmp_path / "s")
    assert not list((tmp_path / "s").glob("*damaged*"))


def test_folder_without_a_request_is_no_job(tmp_path):
    store = Store(tmp_path / "s")
    (tmp_path / "s" / "jobs" / ("x" * 8)).mkdir()
    store.close()
    store = Store(tmp_path / "s")
    assert store.open_jobs() == []
    assert list((tmp_path / "s" / "jobs").iterdir()) == []
    store.close()


def test_failed_write_leaves_no_half(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syncam_engine.service.files.os.fsync", full)
    job = make_job()
    with pytest.raises(OSError, match="No space"):
        store.add(job)
    monkeypatch.undo()
    assert store.get(job.id) is None
    assert not store.job_dir(job.id).exists()
    store.close()


def test_write_whole_keeps_the_old_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syncam_engine.service.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_clock_that_jumps_moves_nothing(tmp_path, monkeypatch):
    """Times of day are for people: neither order nor waiting depends on them."""
    store = Store(tmp_path / "s")
    jobs = []
    for place, moment in ((1.0, 2e9), (2.0, 5.0), (3.0, 1e12)):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        jobs.append(make_job(place=place))
        store.add(jobs[-1])
    store.close()
    again = Store(tmp_path / "s")
    assert fair_order(again.open_jobs(), {}) == [job.id for job in jobs]
    again.close()


def test_folder_that_cannot_be_read_keeps_no_other_job(tmp_path, monkeypatch):
    """Another user's, as after one start of the engine as root."""
    store, job = Store(tmp_path), make_job()
    store.add(job)
    store.close()
    folder = tmp_path / "jobs" / "another-users"
    folder.mkdir()
    found = Path.exists

    def exists(path):
        if folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return found(path)

    monkeypatch.setattr(Path, "exists", exists)
    again = Store(tmp_path)
    assert [kept.id for kept in again.open_jobs()] == [job.id]
    assert again.mended == [f"The job folder {folder} is left alone: Permission denied."]
    again.close()
    assert folder.is_dir()
