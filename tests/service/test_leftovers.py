# SPDX-License-Identifier: Apache-2.0
"""Unfinished work holds nothing: refused uploads, half-written files, jobs that had no room."""

from __future__ import annotations

import hashlib
import time
import weakref
from types import SimpleNamespace

import msgspec
import pytest

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ErrorInfo, Upload
from syncam_engine.service import worker, worker_messages
from syncam_engine.service.engine import Rules
from syncam_engine.service.files import LATENTS_FILE, bytes_in
from syncam_engine.service.inputs import InputStore
from syncam_engine.service.store import Store
from syncam_engine.service.verbs import Verbs

from .test_store import make_job, write_result_by_hand

DATA = bytes(range(7)) * 100
CHUNK = 100


class Desk(Verbs):
    """The engine's verbs over a disk of `room` bytes that holds nothing but inputs."""

    def __init__(self, folder, room):
        self.room, self.folder = room, folder
        self.store = Store(folder / "state")
        self.inputs = InputStore(folder / "state", most_bytes_per_owner=10**6)
        self.rules = Rules(reserve_bytes=150)

    def _disk_free(self):
        return self.room - bytes_in(self.folder / "state" / "inputs")

    def send(self, data, k):
        """Chunk `k` of `data`."""
        digest = hashlib.sha256(data).hexdigest()
        call = Upload(digest=digest, size=len(data), offset=k * CHUNK)
        for partial in self.inputs._partials.values():
            if partial.settling is None:
                partial.file.flush()  # so that what has come is seen on the disk
        piece = data[k * CHUNK : (k + 1) * CHUNK]
        state = self.on_upload(SimpleNamespace(owner="anna"), call, [piece])
        while state.received == len(data) and not state.complete:
            time.sleep(0.002)
            state = self.on_upload(SimpleNamespace(owner="anna"), call, [piece])
        return state

    def parts(self):
        return list((self.folder / "state" / "inputs").glob("*/*.part"))


def test_upload_is_not_refused_for_the_space_it_holds_itself(tmp_path):
    # Just enough for all of it and the reserve.
    desk = Desk(tmp_path, len(DATA) + 150)
    states = [desk.send(DATA, k) for k in range(7)]
    assert [state.received for state in states] == [100, 200, 300, 400, 500, 600, 700]
    assert states[-1].complete


def test_refused_upload_gives_its_space_back(tmp_path):
    desk = Desk(tmp_path, len(DATA) + 150)
    for k in range(5):
        desk.send(DATA, k)
    assert len(desk.parts()) == 1
    desk.room -= 1  # something else took it
    with pytest.raises(SynCamError) as refused:
        desk.send(DATA, 5)
    assert refused.value.code == "disk.full"
    assert desk.parts() == []
    assert desk._disk_free() == len(DATA) + 149
    # A smaller one fits again, and the refused one once there is room.
    assert desk.send(DATA[:CHUNK], 0).complete
    desk.room += CHUNK + 1
    assert [desk.send(DATA, k).complete for k in range(7)] == [False] * 6 + [True]


def test_unfinished_upload_counts_once_against_the_quota(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=1000)
    one, two = (Upload(digest=mark * 64, size=500, offset=0) for mark in "12")
    store.take("anna", one, b"x" * 400)
    store._partials["anna", one.digest].file.flush()
    assert store.take("anna", two, b"x").received == 1
    with pytest.raises(SynCamError, match="room for 0"):
        store.take("anna", Upload(digest="3" * 64, size=1, offset=0), b"x")


def test_half_written_files_are_swept_at_the_start(tmp_path):
    store = Store(tmp_path)
    waits, runs, done, failed = (make_job(place=place) for place in (1.0, 2.0, 3.0, 4.0))
    for job in (waits, runs, done, failed):
        store.add(job)
    store.start(runs, 1)
    write_result_by_hand(store, done)
    store.complete(done)
    store.end(failed, "failed", ErrorInfo(code="job.failed", sentence="It broke."))
    store.close()
    for job in (waits, runs, done, failed):
        folder = tmp_path / "jobs" / job.id
        (folder / "result.part").mkdir()
        (folder / "result.part" / "00-a.mp4").write_bytes(b"half a cl")
        (folder / f".{LATENTS_FILE}.1f3a.part").write_bytes(b"half a ten")
    kept = {path for path in tmp_path.glob("jobs/*/*") if path.suffix != ".part"}
    again = Store(tmp_path)
    assert set(tmp_path.glob("jobs/*/*")) == kept
    assert [again.get(job.id).state for job in (waits, runs, done, failed)] == [
        *("queued", "queued", "done", "failed")
    ]
    assert msgspec.json.decode((again.job_dir(done.id) / "result" / "result.json").read_bytes())
    again.close()


class Greedy:
    """A pipeline that has no room for a request, and none for its second, smaller try either."""

    device, digest = "stub", "0" * 64

    def __init__(self):
        self.held = []

    def generate(self, request, **_):
        try:
            self.take(2**20, None)
        except MemoryError as first:
            self.take(2**19, first)

    def take(self, size, cause):
        tensor = Tensor(size)
        self.held.append(weakref.ref(tensor))
        raise MemoryError(f"no room for {len(tensor)}") from cause


class Tensor(bytearray):
    """Something large that tells when it is gone."""


def test_out_of_memory_frees_the_device_before_the_job_is_told(tmp_path, monkeypatch):
    pipeline, said, alive = Greedy(), [], []
    monkeypatch.setattr(
        worker, "free_device", lambda: alive.extend(ref() is not None for ref in pipeline.held)
    )
    talk = SimpleNamespace(say=lambda message, *_: said.append(message), check=lambda _: None)
    settings = SimpleNamespace(pipeline="", presets={}, device="")
    one = worker.Worker(settings, talk)
    one._pipeline, one._loaded = pipeline, "preview"
    request = sample_request(3, preset="preview")
    order = worker_messages.Run(
        job_id=request.job_id, attempt=1, request=request, folder=str(tmp_path), inputs=[]
    )
    one._do(order)
    assert alive == [False, False]
    told = said[-1]
    assert isinstance(told, worker_messages.Broke)
    assert told.error.code == "device.out_of_memory"
    assert told.error.nearest == {"views": 1}
