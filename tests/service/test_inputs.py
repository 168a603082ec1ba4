# SPDX-License-Identifier: Apache-2.0
"""Clips that clients send: whose they are, how far they came, and how long they are kept."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import CHUNK_BYTES
from syncam_engine.link.messages import Upload
from syncam_engine.service.inputs import InputStore


def upload(store, owner, data, digest=None, chunk=CHUNK_BYTES):
    digest = digest or hashlib.sha256(data).hexdigest()
    state = None
    for offset in range(0, len(data), chunk):
        call = Upload(digest=digest, size=len(data), offset=offset)
        state = asked_until_flushed(store, owner, call, data[offset : offset + chunk])
    return digest, state


def asked_until_flushed(store, owner, call, data):
    """As a client does: the last chunk again while all of it is there and not on the disk yet."""
    end_s = time.monotonic() + 60
    state = store.take(owner, call, data)
    while state.received == call.size and not state.complete and time.monotonic() < end_s:
        time.sleep(0.002)
        state = store.take(owner, call, data)
    return state


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

    def take(offset, count):
        call = Upload(digest=digest, size=100, offset=offset)
        return asked_until_flushed(store, "a", call, data[offset : offset + count])

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


@pytest.mark.parametrize("pieces", [1, 20_000])
def test_input_is_flushed_beside_the_loop_however_small(tmp_path, monkeypatch, pieces):
    disk = threading.Event()
    flush = os.fsync
    monkeypatch.setattr(
        "syncam_engine.service.inputs.os.fsync", lambda handle: (disk.wait(60), flush(handle))
    )
    store = InputStore(tmp_path, most_bytes_per_owner=10**7)
    data = bytes(range(250)) * pieces
    digest, last = hashlib.sha256(data).hexdigest(), (len(data) - 1) // CHUNK_BYTES * CHUNK_BYTES
    for offset in range(0, len(data), CHUNK_BYTES):
        call = Upload(digest=digest, size=len(data), offset=offset)
        state = store.take("anna", call, data[offset : offset + CHUNK_BYTES])
    assert (state.received, state.complete) == (len(data), False)
    # Whatever comes meanwhile changes nothing, also its first chunk.
    for offset in (0, last):
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


def test_inputs_are_limited_in_their_number_however_small(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=10**6, most_files_per_owner=3)
    for data in (b"a", b"b", b"c"):
        assert upload(store, "anna", data)[1].complete
    with pytest.raises(SynCamError, match="keeps 3 inputs") as refused:
        upload(store, "anna", b"d")
    assert refused.value.code == "quota.uploads"
    assert upload(store, "bert", b"d")[1].complete


def test_asking_for_an_input_makes_no_folder(tmp_path):
    store = InputStore(tmp_path, most_bytes_per_owner=10**6)
    assert store.path_or_none("anna", "a" * 64) is None
    with pytest.raises(SynCamError):
        upload(store, "anna", b"x" * (10**6 + 1))
    assert list((tmp_path / "inputs").iterdir()) == []
