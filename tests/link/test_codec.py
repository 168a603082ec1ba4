# SPDX-License-Identifier: Apache-2.0
"""Messages survive the way to frames and back; whatever else comes is refused, never a crash."""

from __future__ import annotations

import gc
import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncam_engine.link import codec, limits, messages
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import TO_CLIENT, TO_ENGINE

EXAMPLES = int(os.environ.get("SYNCAM_FUZZ_EXAMPLES", "300"))

IDS = st.from_regex(r"[A-Za-z0-9_-]{8,64}", fullmatch=True)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
REQUESTS = st.builds(
    messages.GenerateRequest,
    job_id=IDS,
    rig=st.dictionaries(st.text(max_size=9), PLAIN, max_size=4),
    prompt=st.text(max_size=300),
    seed=st.integers(0, 2**53),
    steps=st.none() | st.integers(-10, 10**6),
    width=st.none() | st.integers(-10, 10**6),
    fps=st.none() | st.tuples(st.integers(1, 2**31), st.integers(1, 2**31)),
    mode=st.sampled_from(["text", "previz", "reference"]),
    inputs=st.lists(DIGESTS, max_size=3),
)
BODIES = st.one_of(
    st.builds(messages.SayHello, client_id=IDS, client_name=st.text(max_size=50)),
    st.builds(messages.Submit, request=REQUESTS),
    st.builds(messages.Cancel, job_id=IDS),
    st.builds(messages.Reorder, job_id=IDS),
    st.builds(messages.Sync, jobs=st.lists(IDS, max_size=5)),
    st.builds(messages.Fetch, job_id=IDS, digest=DIGESTS, offset=st.integers(0, 2**53)),
    st.builds(messages.Upload, digest=DIGESTS, size=st.integers(1, limits.MAX_UPLOAD_BYTES)),
    st.builds(messages.AskStatus),
)


@settings(max_examples=EXAMPLES // 10, deadline=None)
@given(body=BODIES)
def test_round_trip(body):
    frames = codec.encode(body, message_id="m" * 8, parent="p" * 8, job="j" * 8)
    message = codec.decode(frames, TO_ENGINE)
    assert message.body == body
    assert message.header.parent == "p" * 8
    assert TO_ENGINE[message.header.type] is type(body)


def refuse_or_read(frames, table):
    """What a decoder may do with anything: read it or raise the one error."""
    refused = None
    try:
        codec.decode(frames, table)
    except SynCamError as error:
        refused = error
    if refused is not None:
        assert refused.code.startswith(("message.", "protocol."))
        assert len(refused.sentence) < 2000
        codec.encode(codec.error_info(refused))


@settings(max_examples=EXAMPLES, deadline=None)
@given(frames=st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes(frames):
    refuse_or_read(frames, TO_ENGINE)
    refuse_or_read(frames, TO_CLIENT)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=BODIES, edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=5))))
def test_mutated_bytes(body, edits):
    frames = codec.encode(body)
    for where, new in edits:
        k = where % len(frames)
        at = where // 7 % (len(frames[k]) + 1)
        frames[k] = frames[k][:at] + new + frames[k][at + len(new) // 2 :]
    refuse_or_read(frames, TO_ENGINE)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    kind=st.sampled_from(sorted(TO_ENGINE)) | st.text(max_size=10),
    body=st.dictionaries(
        st.sampled_from(["request", "job_id", "jobs", "digest", "size", "offset"])
        | st.text(max_size=6),
        PLAIN,
        max_size=6,
    ),
    buffers=st.lists(st.binary(max_size=30), max_size=6),
)
def test_mutated_structure(kind, body, buffers):
    header = msgspec.msgpack.encode({"v": limits.PROTOCOL, "id": "x", "type": kind})
    refuse_or_read([header, msgspec.msgpack.encode(body), *buffers], TO_ENGINE)


def rig_of_depth(depth):
    rig = {"x": 1}
    for _ in range(depth - 1):
        rig = {"x": [rig]}
    return rig


@pytest.mark.parametrize("data", [b"\x91" * 300_000, b"\x81\xa7request" * 100_000])
def test_deep_nesting_is_refused(data):
    header = codec.encode(messages.AskStatus())[0].replace(b"status", b"submit")
    with pytest.raises(SynCamError):
        codec.decode([header, data], TO_ENGINE)
    inside = b"\x81\xa7request\x81\xa3rig\x81\xa1a" + data
    with pytest.raises(SynCamError):
        codec.decode([header, inside], TO_ENGINE)


def test_depth_limit_is_exact():
    def frames(depth):
        request = messages.GenerateRequest(rig=rig_of_depth(depth), prompt="x")
        return codec.encode(messages.Submit(request=request))

    # Each step of `rig_of_depth` but the first is two levels: a map and a list.
    codec.decode(frames(6), TO_ENGINE)
    with pytest.raises(SynCamError, match="deeper than 12"):
        codec.decode(frames(7), TO_ENGINE)


@pytest.mark.parametrize("kind", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_a_claimed_length_reserves_nothing(kind):
    claim = kind + b"\xff\xff\xff\xff"
    header = codec.encode(messages.AskStatus())[0].replace(b"status", b"submit")
    with pytest.raises(SynCamError):
        codec.decode([header, b"\x81\xa7request\x81\xa3rig\x81\xa1a" + claim], TO_ENGINE)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (lambda h: [b"x" * (limits.MAX_HEADER_BYTES + 1), b"\x80"], "header has 1025"),
        (lambda h: [h, b"\x80" * (limits.MAX_BODY_BYTES + 1)], "2097153 bytes in the body"),
        (lambda h: [h, b"\x80", *[b""] * 5], "5 buffers"),
        (lambda h: [h, b"\x80", b"x" * (limits.CHUNK_BYTES + 1)], "1048577 bytes in a buffer"),
        (lambda h: [], "no frames"),
        (lambda h: [h], "no body"),
    ],
)
def test_limits(frames, words):
    header = codec.encode(messages.AskStatus())[0]
    with pytest.raises(SynCamError, match=words):
        codec.decode(frames(header), TO_ENGINE)


def test_unknown_fields_are_ignored():
    header, _ = codec.encode(messages.AskStatus())
    body = msgspec.msgpack.encode({"job_id": "a" * 8, "colour": "red", "new": [1, {"a": 2}]})
    message = codec.decode([header.replace(b"status", b"cancel"), body], TO_ENGINE)
    assert message.body == messages.Cancel(job_id="a" * 8)


def test_other_version_is_read_as_far_as_its_header():
    header, body = codec.encode(messages.AskStatus(), message_id="abc")
    other = header.replace(b"\xa1v" + bytes([limits.PROTOCOL]), b"\xa1v\x07")
    assert codec.decode_header([other, body]).id == "abc"
    with pytest.raises(SynCamError, match="protocol 7") as caught:
        codec.decode([other, body], TO_ENGINE)
    assert (caught.value.value, caught.value.nearest) == (7, limits.PROTOCOL)


def test_preview_pixels_travel_as_buffer():
    event = messages.Preview(
        job_id="j" * 8, camera="A", index=1, step=2, width=3, height=2, rgb8=bytes(range(18))
    )
    frames = codec.encode(event)
    assert frames[2] == bytes(range(18))
    assert codec.decode(frames, TO_CLIENT).body == event
    with pytest.raises(SynCamError, match="3x2 has 5 bytes"):
        codec.decode([*frames[:2], b"short"], TO_CLIENT)


def test_errors_travel_whatever_their_values():
    error = SynCamError("a.b", "A sentence.", value=object(), nearest={1, 2}, fix="Do it")
    info = codec.decode(codec.encode(codec.error_info(error)), TO_CLIENT).body
    assert info.value.startswith("<object")
    back = info.to_error()
    assert (back.code, str(back), back.fix) == ("a.b", "A sentence.", "Do it")


@pytest.mark.parametrize(
    "bad", ["../x", "a" * 65, "short", "with space", "a/b/c/d/e", "x" * 8 + "\n"]
)
def test_ids_are_only_ids(bad):
    frames = codec.encode(messages.Cancel(job_id=bad))
    with pytest.raises(SynCamError, match=r"job_id"):
        codec.decode(frames, TO_ENGINE)


def test_a_million_lists_are_refused_without_looking_for_cycles_among_them():
    rig = {"cameras": [[]] * 1_000_000}
    request = messages.GenerateRequest(rig=rig, prompt="a small stage")
    frames = codec.encode(messages.Submit(request=request))
    looks = []
    gc.callbacks.append(lambda phase, facts: looks.append((phase, facts["generation"])))
    try:
        with pytest.raises(SynCamError, match="more than 200000 lists and maps"):
            codec.decode(frames, TO_ENGINE)
    finally:
        gc.callbacks.pop()
    assert len(looks) < 20
    assert gc.isenabled()
