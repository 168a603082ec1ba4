# SPDX-License-Identifier: Apache-2.0
"""What is said, and what still works, when the disk does not take something: the true reason."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from types import SimpleNamespace

import pytest

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import AskStatus, Cancel, Done, Failed, Submit, YieldDevice
from syncam_engine.service import worker_messages as wm
from syncam_engine.service.catalog import read_catalog
from syncam_engine.service.engine import Engine, Rules
from syncam_engine.service.files import not_written
from syncam_engine.service.inputs import InputStore
from syncam_engine.service.store import Store
from syncam_engine.service.worker import as_syncam_error

from .test_engine import run

ME = SimpleNamespace(owner="local:me", name="me", remote=False, user_id="")


class Workers:
    """One that is always ready, and does nothing."""

    def __init__(self):
        self.slots = [SimpleNamespace(state="ready", job_id="", notes={}, info=lambda own: None)]
        self.stopped, self.runs, self.state, self.device = [], [], "ready", "stub"

    def free_slots(self):
        return [slot for slot in self.slots if slot.state == "ready"]

    def wake(self, slot):
        pass

    def run(self, slot, order):
        slot.state, slot.job_id = "busy", order.job_id
        self.runs.append(order.job_id)
        return True

    def stop_job(self, job_id):
        self.stopped.append(job_id)

    def yield_slot(self, slot):
        pass


@pytest.fixture
def heart(tmp_path):
    """An engine without sockets."""
    store = Store(tmp_path / "s")
    inputs = InputStore(tmp_path / "s", most_bytes_per_owner=10**6)
    engine = Engine(store, inputs, read_catalog("", None), Rules(reserve_bytes=0), tmp_path / "log")
    engine.workers = Workers()
    engine.told = []
    engine.publish = lambda owner, event, job_id: engine.told.append(event)
    yield engine
    store.close()


def submit(engine, **changes):
    request = sample_request(2, **changes)
    while engine.handle(ME, Submit(request=request), []) == []:  # a disk that is really slow
        pass
    return request.job_id


def fill(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/folder")

    monkeypatch.setattr("syncam_engine.service.files.os.fsync", full)


def test_cancel_on_a_full_disk_takes_effect_and_is_told_once_it_is_written(heart, monkeypatch):
    running, waiting = submit(heart), submit(heart)
    heart.tick()
    assert heart.workers.runs == [running]
    fill(monkeypatch)
    for job_id in (running, waiting):
        assert heart.handle(ME, Cancel(job_id=job_id), []).note == "cancelling"
    assert running in heart.workers.stopped
    # The worker obeys, and is free: neither of them runs again, and nothing is told too early.
    heart.workers.slots[0].state = "ready"
    heart.hear_worker(
        heart.workers.slots[0],
        wm.Broke(job_id=running, attempt=1, error={"code": "job.cancelled", "sentence": "x"}),
        [],
    )
    heart.tick()
    assert heart.workers.runs == [running]
    assert not any(isinstance(event, Failed) for event in heart.told)
    monkeypatch.undo()
    heart._next_retry_s = 0.0
    heart.tick()
    ends = [event for event in heart.told if isinstance(event, Failed)]
    assert {end.job_id for end in ends} == {running, waiting}
    assert len(ends) == 2
    assert all(end.cancelled for end in ends)
    assert {heart.store.get(job_id).state for job_id in (running, waiting)} == {"cancelled"}


def test_cancelled_job_gives_the_room_of_its_result_back_first(heart, monkeypatch):
    job_id = submit(heart)
    heart.tick()
    result = heart.store.job_dir(job_id) / "result"
    result.mkdir()
    fill(monkeypatch)
    heart.handle(ME, Cancel(job_id=job_id), [])
    assert not result.exists()


def test_folder_that_was_removed_is_no_full_disk(heart, tmp_path):
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(SynCamError, match="was removed") as refused:
        submit(heart)
    assert refused.value.code == "disk.gone"
    assert str(tmp_path) not in str(refused.value)
    status = heart.status()
    assert any("was removed" in note for note in status.notes)
    heart.tick()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk.full"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/secret/x"), "disk.gone"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret/x"), "disk.denied"),
        (OSError(errno.EROFS, "Read-only file system"), "disk.denied"),
        (OSError(errno.EIO, "Input/output error", "/secret/x"), "disk.failed"),
    ],
)
def test_reason_of_what_is_not_written(error, code):
    said = not_written(error)
    assert said.code == code
    assert "/secret" not in said.sentence
    assert "Earlier jobs are kept" in said.sentence


def test_worker_names_no_folder_either():
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "/secret/x")
    said = as_syncam_error(error, "write", None)
    assert "FileNotFoundError: No such file or directory" in said.sentence
    assert "/secret" not in said.sentence


def test_reason_of_a_locked_database(tmp_path):
    first = sqlite3.connect(tmp_path / "a", isolation_level=None)
    first.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "a", timeout=0.0).execute("CREATE TABLE x (y)")
    assert not_written(caught.value).code == "disk.locked"
    first.close()


def test_device_is_held_for_minutes_and_by_programs_of_its_machine_alone(heart):
    heart.handle(ME, YieldDevice(hold_s=86_400.0), [])
    (note,) = [note for note in heart.status().notes if "left to other" in note]
    assert "600 s more" in note
    heart.handle(ME, YieldDevice(), [])
    afar = SimpleNamespace(owner="key:x", name="x", remote=True, user_id="x")
    with pytest.raises(SynCamError, match="own machine"):
        heart.handle(afar, YieldDevice(hold_s=5.0), [])
    job_id = submit(heart)
    heart.tick()
    assert heart.workers.runs == [job_id]


@pytest.mark.processes
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_worker_that_holds_too_much_memory_is_ended_and_the_job_is_told_why(make_engine):
    engine = make_engine("--worker-memory-mb", "450", "--max-deaths", "1")
    client = engine.client()
    failed, _ = run(client, sample_request(1, prompt="hoard"))
    assert failed.error.code == "job.poisoned"
    assert "MiB of memory, more than 450" in failed.error.sentence
    assert isinstance(run(client, sample_request(1))[0], Done)


@pytest.fixture
def slow_disk(monkeypatch):
    """Nothing is flushed before it is set."""
    disk, flush = threading.Event(), os.fsync
    monkeypatch.setattr(
        "syncam_engine.service.files.os.fsync", lambda handle: (disk.wait(60), flush(handle))
    )
    yield disk
    disk.set()


def test_slow_disk_keeps_nobody_waiting_and_a_job_is_told_once_it_is_kept(heart, slow_disk):
    request, other = sample_request(2), sample_request(2)
    for late in (request, other, request):
        assert heart.handle(ME, Submit(request=late), []) == [], "no answer yet"
    assert heart.handle(ME, AskStatus(), []).queued == 0
    slow_disk.set()
    for late in (request, other):
        answers = iter(lambda late=late: heart.handle(ME, Submit(request=late), []), None)
        queued = next(answer for answer in answers if answer != [])
        assert queued.job_id == late.job_id
    assert heart.handle(ME, AskStatus(), []).queued == 2


def test_cancel_on_a_slow_disk(heart, slow_disk):
    slow_disk.set()
    job_id = submit(heart)
    slow_disk.clear()
    assert heart.handle(ME, Cancel(job_id=job_id), []).note == "cancelling"
    heart.tick()
    assert heart.workers.runs == [], "it does not start any more"
    slow_disk.set()
    while not any(isinstance(event, Failed) for event in heart.told):
        heart._next_retry_s = 0.0
        heart.tick()
    assert heart.store.get(job_id).state == "cancelled"
