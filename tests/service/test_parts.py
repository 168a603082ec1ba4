# SPDX-License-Identifier: Apache-2.0
"""The parts of the server, one by one, without processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import sqlite3
import threading
import time

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import CHUNK_BYTES
from syncam_engine.link.messages import (
    ClipResult,
    Done,
    ErrorInfo,
    JobInfo,
    JobList,
    Synced,
    Upload,
)
from syncam_engine.service.estimate import Estimator
from syncam_engine.service.fairness import fair_order
from syncam_engine.service.files import safe_name, write_whole
from syncam_engine.service.harness import sample_request
from syncam_engine.service.hub import without_paths
from syncam_engine.service.inputs import InputStore
from syncam_engine.service.jobs import Job, fingerprint_of
from syncam_engine.service.logs import JsonLines, start_logging
from syncam_engine.service.memory import is_out_of_memory, out_of_memory
from syncam_engine.service.store import SCHEMA_VERSION, Store
from syncam_engine.service.supervisor import Supervisor, WorkerPlan


@dataclasses.dataclass
class Waiter:
    id: str
    owner: str
    place: float
    priority: int = 0


WAITERS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 1)), max_size=25).map(
    lambda rows: [Waiter(f"{k:03d}", o, float(k), p) for k, (o, p) in enumerate(rows)]
)


@settings(max_examples=200, deadline=None)
@given(jobs=WAITERS, served=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)))
def test_fair_order_is_a_fair_permutation(jobs, served):
    order = fair_order(jobs, served)
    assert sorted(order) == sorted(job.id for job in jobs)
    by_id = {job.id: job for job in jobs}
    ranked = [by_id[k] for k in order]
    assert [j.priority for j in ranked] == sorted((j.priority for j in ranked), reverse=True)
    for priority in {j.priority for j in jobs}:
        lane = [j for j in ranked if j.priority == priority]
        counts = {owner: 0 for owner in "abcd"}
        left = {o: sum(j.owner == o for j in lane) for o in "abcd"}
        for job in lane:
            counts[job.owner] += 1
            left[job.owner] -= 1
            # Nobody with work left is more than one turn behind the one just served.
            behind = [counts[o] for o in "abcd" if left[o] > 0]
            assert all(counts[job.owner] - c <= 1 for c in behind)
        for owner in "abcd":
            places = [j.place for j in lane if j.owner == owner]
            assert places == sorted(places)


def test_whoever_was_served_longest_ago_goes_first():
    jobs = [Waiter("1", "a", 1), Waiter("2", "b", 2), Waiter("3", "c", 3)]
    assert fair_order(jobs, {"a": 5, "b": 2, "c": 9}) == ["2", "1", "3"]


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
        path="/elsewhere/00-a.mp4",
        digest=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
    )
    import msgspec

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
    assert done.clips[0].path == str(tmp_path / "s" / "jobs" / job.id / "result" / "00-a.mp4")
    assert again.get(other.id).error.value == [1, {"x": 2}]
    assert again.served() == {"local:me": 8}
    assert again.counts() == {"done": 1, "failed": 1}
    assert again.bytes_of("local:me") > 0
    assert again.open_jobs() == []
    again.close()
    (tmp_path / "s").rename(tmp_path / "moved")
    again = Store(tmp_path / "moved")
    path = again.get(job.id).done.clips[0].path
    assert path == str(tmp_path / "moved" / "jobs" / job.id / "result" / "00-a.mp4")
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


def upload(store, owner, data, digest=None, chunk=CHUNK_BYTES):
    digest = digest or hashlib.sha256(data).hexdigest()
    state = None
    for offset in range(0, len(data), chunk):
        call = Upload(digest=digest, size=len(data), offset=offset)
        state = store.take(owner, call, data[offset : offset + chunk])
    return digest, state


def test_inputs_belong_to_whoever_sent_them(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=10**7)
    digest, state = upload(store, "anna", b"q" * 3_000_001)
    assert state.complete
    assert store.path_or_none("anna", digest).read_bytes() == b"q" * 3_000_001
    assert store.path_or_none("bert", digest) is None
    # Again: complete at the first chunk.
    call = Upload(digest=digest, size=3_000_001, offset=0)
    assert store.take("anna", call, b"q").complete


def test_inputs_say_where_to_go_on(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=10**7)
    data = b"0123456789" * 10
    digest = hashlib.sha256(data).hexdigest()
    take = lambda o, n: store.take("a", Upload(digest=digest, size=100, offset=o), data[o : o + n])  # noqa: E731
    assert take(40, 20).received == 0
    assert take(0, 30).received == 30
    assert take(60, 20).received == 30
    assert take(30, 30).received == 60
    assert take(60, 40).complete
    # A new server knows nothing of unfinished ones.
    other = b"x" * 100
    digest = hashlib.sha256(other).hexdigest()
    store.take("a", Upload(digest=digest, size=100, offset=0), other[:50])
    fresh = InputStore(tmp_path, most_bytes_per_owner=10**7)
    assert fresh.take("a", Upload(digest=digest, size=100, offset=50), other[50:]).received == 0
    assert not list(tmp_path.glob("inputs/*/*.part"))


def test_inputs_are_checked_and_limited(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=1000, most_partials=2)
    with pytest.raises(SynCamError, match="damaged"):
        upload(store, "a", b"abc", digest="0" * 64)
    with pytest.raises(SynCamError, match="room for 1000"):
        upload(store, "a", b"x" * 1001)
    with pytest.raises(SynCamError, match="does not fit"):
        store.take("a", Upload(digest="1" * 64, size=3, offset=0), b"four")
    for digest in ("2" * 64, "3" * 64):
        store.take("a", Upload(digest=digest, size=400, offset=0), b"x")
    with pytest.raises(SynCamError, match="at once"):
        store.take("a", Upload(digest="4" * 64, size=10, offset=0), b"x")
    store.take("b", Upload(digest="4" * 64, size=10, offset=0), b"x")
    store.forget_stale(after_s=-1.0)
    assert not list(tmp_path.glob("inputs/*/*"))


def test_old_inputs_are_swept_but_not_those_in_use(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=10**6)
    used, _ = upload(store, "a", b"used")
    unused, _ = upload(store, "a", b"unused")
    store.sweep({("a", used)}, older_than_s=3600.0)
    assert store.path_or_none("a", unused)
    store.sweep({("a", used)}, older_than_s=-1.0)
    assert store.path_or_none("a", used)
    assert store.path_or_none("a", unused) is None


def test_input_is_kept_from_the_last_job_on_that_used_it(tmp_path):
    before = InputStore(tmp_path, most_bytes_per_owner=10**6)
    digests = [upload(before, "a", data)[0] for data in (b"used again", b"used once")]
    for digest in digests:
        os.utime(before.path_or_none("a", digest), (1e9, 1e9))
    store = InputStore(tmp_path, most_bytes_per_owner=10**6)
    store.used_now("a", digests[:1])
    store.sweep(set(), older_than_s=7 * 86400.0)
    assert [store.path_or_none("a", digest) is not None for digest in digests] == [True, False]


def test_large_input_is_flushed_beside_the_loop(tmp_path, monkeypatch):
    disk = threading.Event()
    flush = os.fsync
    monkeypatch.setattr(
        "syncam_engine.service.inputs.os.fsync", lambda handle: (disk.wait(60), flush(handle))
    )
    store = InputStore(tmp_path, most_bytes_per_owner=10**7)
    data = bytes(range(250)) * 20_000  # 5 MB
    digest, state = upload(store, "anna", data)
    assert (state.received, state.complete) == (len(data), False)
    # Whatever comes meanwhile changes nothing, also its first chunk.
    for offset in (0, 4 * CHUNK_BYTES):
        call = Upload(digest=digest, size=len(data), offset=offset)
        assert not store.take("anna", call, data[offset : offset + CHUNK_BYTES]).complete
    store.forget_stale(after_s=-1.0)
    disk.set()
    end_s = time.monotonic() + 60
    while not store.take("anna", call, data[offset:]).complete and time.monotonic() < end_s:
        time.sleep(0.005)
    assert store.path_or_none("anna", digest).read_bytes() == data


def test_disk_that_fills_while_an_input_is_flushed(tmp_path, monkeypatch):
    store = InputStore(tmp_path, most_bytes_per_owner=10**7)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syncam_engine.service.inputs.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        upload(store, "anna", b"abc")
    monkeypatch.undo()
    assert list(tmp_path.glob("inputs/*/*")) == []
    assert upload(store, "anna", b"abc")[1].complete


def test_inputs_that_just_came_outlive_a_clock_that_jumps(tmp_path, monkeypatch):
    store = InputStore(tmp_path, most_bytes_per_owner=10**6)
    digest, _ = upload(store, "a", b"for a job that is on its way")
    ten_years_on = time.time() + 3e8
    monkeypatch.setattr(time, "time", lambda: ten_years_on)
    store.sweep(set(), older_than_s=7 * 86400.0)
    assert store.path_or_none("a", digest)
    # A server that started since does not know when it came.
    InputStore(tmp_path, most_bytes_per_owner=10**6).sweep(set(), older_than_s=7 * 86400.0)
    assert store.path_or_none("a", digest) is None


def test_workers_log_is_cut_while_it_is_held_open(tmp_path):
    context = zmq.Context()
    plan = WorkerPlan(preset="preview", presets={}, pipeline="a:b", preload=False)
    log = tmp_path / "worker.log"
    nothing = lambda *_: None  # noqa: E731
    supervisor = Supervisor(context, f"inproc://{id(plan)}", log, plan, nothing, nothing)
    with open(log, "ab") as held:
        held.write(b"x" * 5_000_001)
        held.flush()
        supervisor.rotate_log()
        held.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "worker.log.1").stat().st_size == 5_000_001
    supervisor.rotate_log()
    assert log.read_bytes() == b"after"
    supervisor.close()
    context.destroy(linger=0)


def test_paths_stay_on_the_engines_machine():
    done = Done(job_id="j", clips=[ClipResult(camera="a", index=0, path="/secret/a.mp4")])
    info = JobInfo(job_id="j", state="done", done=done)
    for body in (done, JobList(jobs=[info]), Synced(instance="i", worker="ready", jobs=[info])):
        assert "/secret" in repr(body)
        assert "/secret" not in repr(without_paths(body))


def test_estimates_follow_the_work():
    estimator = Estimator()
    request = sample_request(2, width=160, height=96, steps=10)
    assert estimator.whole_s(request) is None
    estimator.learn(request, {"sample": 20.0, "decode": 3.0, "write": 1.0, "total": 24.0})
    assert estimator.whole_s(request) == pytest.approx(24.0)
    double = sample_request(4, width=160, height=96, steps=10)
    assert estimator.whole_s(double) == pytest.approx(48.0)
    more_steps = sample_request(2, width=160, height=96, steps=20)
    assert estimator.whole_s(more_steps) == pytest.approx(44.0)
    assert estimator.left_s("j", request, 4, 10) == pytest.approx(6 * 2.0 + 4.0)


def test_log_lines_are_json_with_the_job(tmp_path):
    start_logging(tmp_path / "logs" / "engine.log", megabytes=1, files=2)
    logger = logging.getLogger("syncam.test")
    logger.info("job %s", "starts", extra={"job": "j1", "worker": None})
    try:
        raise ValueError("deep")
    except ValueError:
        logger.exception("fault")
    lines = (tmp_path / "logs" / "engine.log").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["text"], first["job"], first["level"]) == ("job starts", "j1", "info")
    assert "worker" not in first
    assert "ValueError: deep" in second["details"]
    for _ in range(4000):
        logger.info("x" * 1000)
    files = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert files == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(p.stat().st_size <= 1_001_000 for p in (tmp_path / "logs").iterdir())
    logging.getLogger("syncam").handlers[:] = []


def test_json_lines_keep_any_text():
    record = logging.LogRecord("syncam.x", logging.INFO, "", 0, 'quo"te\nünï', (), None)
    assert json.loads(JsonLines().format(record))["text"] == 'quo"te\nünï'


@pytest.mark.parametrize(
    ("name", "safe"),
    [("Cam A.001", "Cam_A_001"), ("../../x", "x"), ("カメラ", "camera"), ("con:/\\|", "con")],
)
def test_safe_names(name, safe):
    assert safe_name(name) == safe


class OutOfMemoryError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_out_of_memory_is_known_by_its_kinds(error, expected):
    assert is_out_of_memory(error) is expected


def test_out_of_memory_says_what_would_fit():
    one = sample_request(1, width=160, height=96, frames=81)
    assert out_of_memory("decode", one).nearest == {"frames": 37}
    assert out_of_memory("load", None).code == "device.out_of_memory"


def test_fingerprint_is_of_the_content():
    request = sample_request(2)
    turned = sample_request(2, job_id=request.job_id)
    turned.rig = dict(reversed(list(turned.rig.items())))
    assert fingerprint_of(turned) == fingerprint_of(request)
    turned.seed += 1
    assert fingerprint_of(turned) != fingerprint_of(request)
