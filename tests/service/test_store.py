# SPDX-License-Identifier: Apache-2.0
"""The jobs on the disk: all of a job is kept, nothing is half written, old folders are read."""

from __future__ import annotations

import hashlib
import sqlite3
import time

import msgspec
import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ClipResult, Done, ErrorInfo
from syncam_engine.service.fairness import fair_order
from syncam_engine.service.files import write_whole
from syncam_engine.service.harness import sample_request
from syncam_engine.service.job_index import SCHEMA_VERSION
from syncam_engine.service.jobs import Job, fingerprint_of
from syncam_engine.service.store import Store


def make_job(**changes):
    request = sample_request(2)
    fields = {
        "id": request.job_id,
        "owner": "local:me",
        "client_name": "t",
        "request": request,
        "fingerprint": fingerprint_of(request),
        "place": 1.0,
        "submitted_unix_s": time.time(),
    }
    return Job(**{**fields, **changes})


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
    assert fingerprint_of(kept.request) == job.fingerprint
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


def test_store_of_the_first_schema_is_brought_up(tmp_path):
    store = Store(tmp_path / "s")
    store.add(make_job())
    store.close()
    with sqlite3.connect(tmp_path / "s" / "jobs.sqlite") as db:
        db.execute("DROP INDEX jobs_by_owner")
        db.execute("PRAGMA user_version = 1")
    db.close()
    store = Store(tmp_path / "s")
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert len(store.open_jobs()) == 1
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
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
