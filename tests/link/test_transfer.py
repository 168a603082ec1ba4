# SPDX-License-Identifier: Apache-2.0
"""Files on their way: in order, on credit, checked, and nothing left behind by one that failed."""

from __future__ import annotations

import hashlib
import threading
import time

import msgspec
import pytest

from syncam_engine.link import limits
from syncam_engine.link.arrival import LocalCopy
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import Chunk, ClipResult, UploadState
from syncam_engine.link.transfer import Incoming, Outgoing


def test_outgoing_goes_in_order_on_credit(tmp_path):
    data = bytes(range(256)) * 4096 * 6 + b"tail"  # 6 chunks and a bit
    (tmp_path / "clip").write_bytes(data)
    for source in (tmp_path / "clip", data):
        out = Outgoing(source)
        while not out.hash_piece():
            pass
        got, state = b"", None
        sent = []
        while (chunk := out.next_chunk()) is not None:
            sent.append(chunk)
        assert len(sent) == 4  # the credit
        for _ in range(20):
            for call, piece in sent:
                if call.offset == len(got):
                    got += piece
                state = UploadState(
                    digest=out.digest, received=len(got), complete=len(got) == len(data)
                )
                out.acknowledge(state)
            sent = []
            while (chunk := out.next_chunk()) is not None:
                sent.append(chunk)
        assert got == data
        assert out.complete


@pytest.mark.parametrize("source", ["/nowhere/clip.mp4", b""])
def test_outgoing_that_cannot_be_sent(source):
    with pytest.raises(SynCamError) as caught:
        Outgoing(source)
    assert caught.value.code in ("input.unreadable", "input.size")


def incoming(tmp_path, data, digest):
    clip = ClipResult(camera="A", index=0, digest=digest, bytes=len(data), kind="raw")
    return Incoming("j" * 8, clip, tmp_path / "out.mp4")


def give(into, offset, data):
    clip = into.clip
    into.take(Chunk(digest=clip.digest, offset=offset, size=clip.bytes), data)


def finished(into):
    """The file once it is digested and written, in threads of its own."""
    end_s = time.monotonic() + 60
    while (path := into.finish()) is None:
        assert time.monotonic() < end_s
        time.sleep(0.001)
    return path


def test_incoming_asks_for_no_more_than_was_dealt_with(tmp_path):
    data = bytes(range(256)) * (limits.CREDIT_BYTES // 128)  # twice the credit
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    slow = threading.Event()
    write, into._write = into._write, lambda piece: (slow.wait(60), write(piece))
    calls = []
    while (call := into.next_call()) is not None:
        calls.append(call)
        give(into, call.offset, data[call.offset : call.offset + call.length])
    assert sum(call.length for call in calls) == limits.CREDIT_BYTES
    assert into.is_busy
    assert into.finish() is None
    slow.set()
    end_s = time.monotonic() + 60
    while not into.complete and time.monotonic() < end_s:
        while (call := into.next_call()) is not None:
            give(into, call.offset, data[call.offset : call.offset + call.length])
        time.sleep(0.001)
    assert finished(into).read_bytes() == data


def test_incoming_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    into = incoming(tmp_path, b"12345678", "0" * 64)

    def full(_):
        raise OSError(28, "No space left on device")

    into._write = full
    into.next_call()
    give(into, 0, b"12345678")
    with pytest.raises(OSError, match="No space"):
        finished(into)
    into.abandon()
    assert list(tmp_path.iterdir()) == []


def test_incoming_waits_for_its_turn_and_checks(tmp_path):
    data = bytes(range(251)) * 12345
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    calls = []
    while (call := into.next_call()) is not None:
        calls.append(call)
    assert [call.offset for call in calls] == [0]  # one call asks for several chunks
    for offset in reversed(range(0, len(data), limits.CHUNK_BYTES)):
        give(into, offset, data[offset : offset + limits.CHUNK_BYTES])
        assert not (tmp_path / "out.mp4").exists()
    assert finished(into).read_bytes() == data
    damaged = incoming(tmp_path, data, "0" * 64)
    while (call := damaged.next_call()) is not None:
        give(damaged, call.offset, data[call.offset : call.offset + call.length])
    with pytest.raises(SynCamError, match="damaged"):
        finished(damaged)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def refused(into, chunk, data):
    with pytest.raises(SynCamError) as caught:
        into.take(chunk, data)
    return caught.value.code


def test_incoming_takes_what_was_asked_for_and_nothing_else(tmp_path):
    data = bytes(range(256)) * 4096 * 20
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    asked = sum(call.length for call in iter(into.next_call, None))
    assert asked == limits.CREDIT_BYTES < len(data)
    of_clip = {"digest": into.clip.digest, "size": into.clip.bytes}
    for chunk, piece in (
        (Chunk(**of_clip, offset=0), b""),
        (Chunk(**of_clip, offset=-1), b"abc"),
        (Chunk(**of_clip, offset=asked - 2), b"abc"),
        (Chunk(**of_clip, offset=2**62), b"abc"),
        (Chunk(digest="0" * 64, size=len(data), offset=0), b"abc"),
        (Chunk(digest=into.clip.digest, size=len(data) + 1, offset=0), b"abc"),
    ):
        assert refused(into, chunk, piece) == "fetch.unasked"
    into.abandon()


def test_chunks_ahead_of_their_turn_are_held_only_as_far_as_they_were_asked_for(tmp_path):
    data = bytes(range(251)) * 40_000
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    asked = sum(call.length for call in iter(into.next_call, None))
    of_clip = {"digest": into.clip.digest, "size": into.clip.bytes}
    piece = data[: limits.CHUNK_BYTES]
    fits = (asked - 1) // len(piece)
    for offset in range(1, 1 + fits):
        into.take(Chunk(**of_clip, offset=offset), piece)
    for offset in range(1 + fits, 200):
        assert refused(into, Chunk(**of_clip, offset=offset), piece) == "fetch.unasked"
    assert sum(map(len, into._ahead.values())) == fits * len(piece) <= asked
    into.restart()
    assert not into._ahead
    into.abandon()


def test_a_clip_of_which_nothing_comes_is_given_up(tmp_path):
    into = incoming(tmp_path, b"x" * 99, "0" * 64)
    into.next_call()
    for _ in range(11):
        into.note_stall()
    with pytest.raises(SynCamError, match=r"sent nothing .* for 60 s"):
        into.note_stall()
    into.abandon()


def test_an_engine_that_counts_oddly_does_not_break_an_upload():
    for source in (b"abc" * 1000, b"x"):
        out = Outgoing(source)
        while not out.hash_piece():
            pass
        assert out.next_chunk() is not None
        for received in (-5, 2**62, -(2**62), 0):
            out.acknowledge(UploadState(digest=out.digest, received=received))
            assert 0 <= out.received <= out.size
            out.next_chunk()


def test_local_clips_are_copied_and_checked(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "from").write_bytes(data)
    sound = ClipResult(
        camera="A",
        index=0,
        digest=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        kind="raw",
    )
    copy = LocalCopy("j" * 8, sound, tmp_path / "from", tmp_path / "new" / "to.mp4")
    assert finished(copy).read_bytes() == data
    for changes in ({"digest": "0" * 64}, {"bytes": 7}, {"kind": "video/mp4"}):
        clip = msgspec.structs.replace(sound, **changes)
        copy = LocalCopy("j" * 8, clip, tmp_path / "from", tmp_path / "new" / "other.mp4")
        with pytest.raises(SynCamError):
            finished(copy)
    gone = LocalCopy("j" * 8, sound, tmp_path / "gone", tmp_path / "new" / "other.mp4")
    with pytest.raises(OSError, match="No such file"):
        finished(gone)
    gone.abandon()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["to.mp4"]
