# SPDX-License-Identifier: Apache-2.0
"""The client against an engine that lies: a host hears what it can build on, or that it cannot."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest
import zmq

from syncam_engine.link import codec, limits
from syncam_engine.link.client import EngineClient, Lost, Reply
from syncam_engine.link.connection import Connection
from syncam_engine.link.endpoint import Endpoint
from syncam_engine.link.engine_facts import Hello
from syncam_engine.link.job_results import Asked
from syncam_engine.link.messages import (
    ClipResult,
    Done,
    EngineStatus,
    Failed,
    GenerateRequest,
    JobList,
    Preview,
    Queued,
    Submit,
    Sync,
)

from .test_client import FakeEngine, bodies, ready

NAMES = ["north", "east"]
RIG = {"cameras": [{"name": name} for name in NAMES]}


@pytest.fixture
def fake():
    fake = FakeEngine()
    yield fake
    fake.close()


@pytest.fixture
def client(fake):
    client = EngineClient(Endpoint(address=fake.address))
    yield client
    client.close()


def clips_of(names=NAMES):
    return [
        ClipResult(
            camera=name,
            index=k,
            digest="a" * 64,
            bytes=99,
            frames=5,
            fps=(8, 1),
            width=64,
            height=48,
        )
        for k, name in enumerate(names)
    ]


def sent(fake, client, **changes):
    request = GenerateRequest(rig=RIG, prompt="a fox", **changes)
    client.submit(request)
    fake.turn(client, lambda _: bodies(fake, Submit))
    return request.job_id


def ended(events):
    return any(isinstance(e, (Done, Failed)) for e in events)


def say_raw(fake, kind, body, buffers=(), parent="", job=""):
    head = {"v": limits.PROTOCOL, "id": "x", "type": kind, "parent": parent, "job": job}
    frames = [msgspec.msgpack.encode(head), msgspec.msgpack.encode(body), *buffers]
    fake.socket.send_multipart([fake.peer, *frames])


def test_a_result_comes_in_the_hosts_own_order(fake, client):
    job = sent(fake, client)
    fake.say(Done(job_id=job, clips=clips_of()[::-1]))
    (done,) = fake.turn(client, ended)
    assert [clip.camera for clip in done.clips] == NAMES


@pytest.mark.parametrize("names", [["north", "west"], ["north"], ["east", "north"]])
def test_a_result_that_was_not_asked_for_is_a_job_that_failed(fake, client, names):
    job = sent(fake, client)
    for _ in range(2):
        fake.say(Done(job_id=job, clips=clips_of(names)))
    (failed,) = fake.turn(client, ended)
    assert (failed.job_id, failed.error.code) == (job, "result.invalid")


def test_a_job_that_was_sent_before_is_held_against_what_the_host_remembers(fake, client):
    client.watch("j" * 8, Asked.of_rig(RIG))
    fake.turn(client, ready(client))
    fake.say(Done(job_id="j" * 8, clips=clips_of(["north", "west"])))
    (failed,) = fake.turn(client, ended)
    assert failed.error.code == "result.invalid"


@pytest.mark.parametrize(("kind", "body"), [("done", [1]), ("done", {"clips": 5}), ("failed", {})])
def test_an_end_that_cannot_be_read_is_an_end(fake, client, kind, body):
    job = sent(fake, client)
    say_raw(fake, kind, body, job=job)
    (failed,) = fake.turn(client, ended)
    assert (failed.job_id, failed.error.code) == (job, "engine.nonsense")


def test_an_answer_that_cannot_be_read_is_an_answer(fake, client):
    """It would be asked for again and again, and answered the same."""
    job = sent(fake, client)
    submit = next(m for m in fake.heard if isinstance(m.body, Submit))
    say_raw(fake, "queued", {"job_id": 5}, parent=submit.header.id, job=job)
    (failed,) = fake.turn(client, ended)
    assert (failed.job_id, failed.error.code) == (job, "engine.nonsense")


def test_an_answer_of_another_kind_is_said_to_be_one(fake, client):
    fake.turn(client, ready(client))
    status, jobs = client.ask_status(), client.ask_jobs()
    fake.turn(client)
    fake.say(JobList(jobs=[]), status)
    fake.say(EngineStatus(engine="e", instance="i", pid=1, uptime_s=1.0), jobs)
    replies = [e for e in fake.turn(client) if isinstance(e, Reply)]
    assert {reply.message_id for reply in replies} == {status, jobs}
    assert {reply.body.code for reply in replies} == {"engine.nonsense"}


def test_only_previews_of_the_jobs_cameras_are_passed_on(fake, client):
    job = sent(fake, client)
    client.watch("k" * 8)
    for job_id, camera, index in (
        (job, "west", 0),
        (job, "east", 0),
        (job, "east", 2**40),
        ("k" * 8, "north", 0),
        (job, "east", 1),
    ):
        values = {"job_id": job_id, "camera": camera, "index": index}
        fake.say(Preview(**values, step=1, width=2, height=1, rgb8=b"123456"))
    events = fake.turn(client, lambda events: events)
    assert [(e.camera, e.index) for e in events] == [("east", 1)]


def test_notices_of_one_job_are_bounded(fake, client):
    job = sent(fake, client)
    notice = {"code": "x", "sentence": "y"}
    say_raw(fake, "queued", {"job_id": job, "warnings": [notice] * 2000})
    (queued,) = fake.turn(client, lambda events: events)
    assert isinstance(queued, Queued)
    assert len(queued.warnings) == limits.MAX_NOTICES


def test_presets_are_few_and_sound(fake, client):
    def answer(message):
        if isinstance(message.body, Sync):
            return
        presets = [{"name": ""}, *({"name": f"p{k}"} for k in range(500))]
        hello = {"engine": "e", "protocol": 3, "instance": "i", "presets": presets}
        say_raw(fake, "hello", hello, parent=message.header.id)

    fake.answer = answer
    (hello,) = fake.turn(client, lambda events: events)
    assert isinstance(hello, Hello)
    assert [info.name for info in hello.presets] == [f"p{k}" for k in range(limits.MAX_PRESETS)]


def test_nonsense_is_no_sign_of_life(fake, client, monkeypatch):
    fake.turn(client, ready(client))
    monkeypatch.setattr(limits, "SILENCE_S", 0.4)
    monkeypatch.setattr(limits, "SYNC_INTERVAL_S", 0.1)
    fake.answer = lambda message: say_raw(fake, "sync", {"instance": 5}, parent=message.header.id)
    events = fake.turn(client, lambda events: events)
    assert events[0].error.code == "engine.silent"


def test_a_message_of_too_many_parts_ends_its_connection(fake, client):
    fake.turn(client, ready(client))
    first = client._connection._socket
    fake.socket.send_multipart([fake.peer, *[b"part"] * 40])
    events = fake.turn(client, lambda events: len(events) == 2)
    assert [type(event) for event in events] == [Lost, Hello]
    assert events[0].error.code == "engine.nonsense"
    assert first.closed
    assert client.state == "ready"


def test_a_message_that_never_ends_goes_with_its_connection(fake, client, monkeypatch):
    fake.turn(client, ready(client))
    monkeypatch.setattr(limits, "SILENCE_S", 0.4)
    monkeypatch.setattr(limits, "SYNC_INTERVAL_S", 0.1)
    first = client._connection._socket
    fake.socket.send(fake.peer, zmq.SNDMORE)
    fake.socket.send(b"part", zmq.SNDMORE)
    while not (events := client.poll()):
        pass
    assert events[0].error.code == "engine.silent"
    assert first.closed


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO") or os.name == "nt", reason="Linux tells it")
def test_what_came_and_was_not_read_is_known(tmp_path):
    connection = Connection(None, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = socket.create_connection(server.getsockname())
        here, _ = server.accept()
        connection._handle = here.fileno()
        assert connection._unread_bytes() == 0
        there.sendall(bytes(70_000))
        for _ in range(70):
            here.recv(1000, socket.MSG_WAITALL)
        connection._read_bytes = 20_000
        assert connection._unread_bytes() == 50_000
        connection._read_bytes = 90_000  # more than came: what is counted beside frames
        assert connection._unread_bytes() == 0
        there.sendall(bytes(500))
        here.recv(500, socket.MSG_WAITALL)
        assert connection._unread_bytes() == 500
        there.close()
        here.close()
        assert connection._unread_bytes() == 0
    connection.close()


def test_too_much_unread_ends_the_connection(fake, client, monkeypatch):
    fake.turn(client, ready(client))
    monkeypatch.setattr(Connection, "_unread_bytes", lambda _: limits.MAX_UNREAD_BYTES + 1)
    events = client.poll()
    assert [event.error.code for event in events] == ["engine.nonsense"]
    monkeypatch.undo()
    fake.turn(client, ready(client))


def test_codec_is_what_the_fake_speaks(fake, client):
    """The raw messages above are refused for what they say, not for how they are written."""
    fake.turn(client, ready(client))
    call = client.ask_status()
    fake.turn(client)
    body = EngineStatus(engine="e", instance="i", pid=1, uptime_s=1.0)
    say_raw(fake, "status", msgspec.to_builtins(body), parent=call)
    (reply,) = fake.turn(client, lambda events: events)
    assert reply.body == body
    assert codec.encode(body)
