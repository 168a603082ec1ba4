# SPDX-License-Identifier: Apache-2.0
"""The client against engines that are absent, strange or slow: it never waits and always says."""

from __future__ import annotations

import tempfile
import time

import msgspec
import pytest
import zmq

from syncam_engine.link import codec, limits
from syncam_engine.link.client import EngineClient, Lost, Reply
from syncam_engine.link.endpoint import Endpoint
from syncam_engine.link.engine_facts import Hello
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import FollowedJob, as_events
from syncam_engine.link.messages import (
    TO_ENGINE,
    Acknowledged,
    Cancel,
    Done,
    ErrorInfo,
    Failed,
    GenerateRequest,
    JobInfo,
    Phase,
    Progress,
    Queued,
    SayHello,
    Submit,
    Sync,
    Synced,
)

REQUEST = GenerateRequest(rig={"cameras": []}, prompt="x")
VERSION = b"\xa1v" + bytes([limits.PROTOCOL])
"""As it stands in a header."""


class FakeEngine:
    """A ROUTER that answers as it is told, in the test's own thread."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="syncam-")
        self.address = f"ipc://{self.folder.name}/e.sock"
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(self.address)
        self.heard = []
        self.peer = b""
        self.instance = "i" * 8

    def turn(self, client, until=None):
        """Let both sides talk until something is so, and a little longer; return the client's
        events. `until` is asked with the events so far; without it they talk for a moment."""
        events, limit_s = [], time.monotonic() + 60
        end_s = None if until else time.monotonic() + 0.3
        while time.monotonic() < (limit_s if end_s is None else end_s):
            events += client.poll()
            if end_s is None and until(events):
                end_s = time.monotonic() + 0.2
            while self.socket.poll(1):
                self.peer, *frames = self.socket.recv_multipart()
                message = codec.decode(frames, TO_ENGINE)
                self.heard.append(message)
                self.answer(message)
        return events

    def answer(self, message):
        if isinstance(message.body, SayHello):
            self.say(
                Hello(engine="t", protocol=limits.PROTOCOL, instance=self.instance, worker="ready"),
                message.header.id,
            )
        elif isinstance(message.body, Sync):
            self.say(Synced(instance=self.instance, worker="ready"), message.header.id)

    def say(self, body, parent=""):
        self.socket.send_multipart([self.peer, *codec.encode(body, parent=parent)])

    def close(self):
        self.context.destroy(linger=0)
        self.folder.cleanup()


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


def ready(client):
    return lambda _: client.state == "ready"


def bodies(fake, kind):
    return [m.body for m in fake.heard if isinstance(m.body, kind)]


def test_no_engine(tmp_path):
    client = EngineClient(state_dir=tmp_path)
    client.submit(REQUEST)
    client.ask_status()
    longest = 0.0
    for _ in range(50):
        start_s = time.monotonic()
        assert client.poll() == []
        longest = max(longest, time.monotonic() - start_s)
    assert client.state == "connecting"
    assert longest < 1.0  # it did not wait for an engine; the bench reports how short it is
    client.close()
    assert client.state == "closed"
    assert client.poll() == []


def test_hello_then_submit(fake, client):
    client.submit(REQUEST)
    events = fake.turn(client, lambda _: bodies(fake, Submit))
    assert [type(e) for e in events] == [Hello]
    assert client.state == "ready"
    assert bodies(fake, Submit)[0].request == REQUEST
    assert isinstance(fake.heard[0].body, SayHello)


def test_unanswered_call_is_sent_again_and_acknowledged_once(fake, client, monkeypatch):
    monkeypatch.setattr(limits, "RESEND_AFTER_S", 0.1)
    message_id = client.cancel("j" * 8)
    fake.turn(client, lambda _: sum(m.header.type == "cancel" for m in fake.heard) >= 2)
    calls = [m for m in fake.heard if m.header.type == "cancel"]
    assert len(calls) >= 2
    assert {m.header.id for m in calls} == {message_id}
    fake.say(Acknowledged(note="a"), message_id)
    fake.say(Acknowledged(note="a"), message_id)
    events = fake.turn(client, lambda events: any(isinstance(e, Reply) for e in events))
    assert [e.message_id for e in events if isinstance(e, Reply)] == [message_id]


def test_lost_engine_is_noticed_and_found_again(fake, client):
    fake.turn(client, ready(client))
    client.submit(REQUEST)
    fake.socket.close(linger=0)
    events, end_s = [], time.monotonic() + 20
    while not events and time.monotonic() < end_s:
        events = [e for e in client.wait(0.1) if isinstance(e, Lost)]
    assert events[0].error.code == "engine.lost"
    assert client.state == "lost"
    fake.heard.clear()
    fake.instance = "n" * 8
    fake.socket = fake.context.socket(zmq.ROUTER)
    fake.socket.bind(fake.address)
    events = fake.turn(client, lambda _: bodies(fake, Submit))
    assert any(isinstance(e, Hello) for e in events)
    assert bodies(fake, Submit)  # what was not acknowledged is sent again
    assert client.state == "ready"


def test_silent_engine_is_lost(fake, client, monkeypatch):
    fake.turn(client, ready(client))
    monkeypatch.setattr(limits, "SILENCE_S", 0.3)
    monkeypatch.setattr(limits, "SYNC_INTERVAL_S", 0.1)
    events, end_s = [], time.monotonic() + 20
    while not events and time.monotonic() < end_s:
        events = [e for e in client.wait(0.1) if isinstance(e, Lost)]
    assert events[0].error.code == "engine.silent"
    monkeypatch.setattr(limits, "SILENCE_S", 8.0)
    events = fake.turn(client, ready(client))
    assert any(isinstance(e, Hello) for e in events)


def test_version_mismatch_from_either_side(fake, client):
    def other_version(message):
        frames = codec.encode(Acknowledged(), parent=message.header.id)
        frames[0] = frames[0].replace(VERSION, b"\xa1v\x09")
        fake.socket.send_multipart([fake.peer, *frames])

    fake.answer = other_version
    events = fake.turn(client, lambda events: events)
    assert [e.error.code for e in events] == ["protocol.version"]
    assert client.state == "version mismatch"


def test_garbage_from_an_engine_is_survived(fake, client):
    fake.turn(client, ready(client))
    for frames in (
        [b""],
        [b"\xc1", b""],
        [b"\x80" * 2000],
        codec.encode(SayHello(client_id="c" * 8)),
    ):
        fake.socket.send_multipart([fake.peer, *frames])
    assert fake.turn(client) == []
    assert client.state == "ready"


def test_each_thing_is_told_once_and_nothing_after_the_end(fake, client):
    client.submit(REQUEST)
    fake.turn(client, lambda _: bodies(fake, Submit))
    job = REQUEST.job_id
    story = [
        Queued(job_id=job, position=2),
        Queued(job_id=job, position=2),
        Phase(job_id=job, phase="sample", attempt=1),
        Progress(job_id=job, step=2, steps=9),
        Progress(job_id=job, step=1, steps=9),
        Phase(job_id=job, phase="sample", attempt=1),
        Phase(job_id=job, phase="load", attempt=2),
        Progress(job_id=job, step=1, steps=9),
        Phase(job_id=job, phase="decode", attempt=1),
        Done(job_id=job, clips=[]),
        Progress(job_id=job, step=7, steps=9),
        Failed(job_id=job, error=ErrorInfo(code="a", sentence="b")),
    ]
    for event in story:
        fake.say(event)
    told = fake.turn(client, lambda events: any(isinstance(e, Done) for e in events))
    assert told == [story[k] for k in (0, 2, 3, 6, 7, 9)]


def test_cancel_before_it_was_sent(tmp_path):
    client = EngineClient(state_dir=tmp_path)
    client.submit(REQUEST)
    client.cancel(REQUEST.job_id)
    assert [e.cancelled for e in client.poll()] == [True]
    client.close()


def test_cancel_before_it_was_sent_asks_nothing_of_the_engine(fake, client):
    """It would answer that there is no such job, and the host would show that as a fault."""
    client.submit(REQUEST)
    client.cancel(REQUEST.job_id)
    events = fake.turn(client, ready(client))
    assert [type(e) for e in events] == [Failed, Hello]
    assert bodies(fake, Cancel) == bodies(fake, Submit) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"seed": 10**30}, "message.invalid"),
        ({"seed": -1}, "message.invalid"),
        ({"prompt": "a d\udce9g"}, "message.invalid"),
        (
            {"rig": {"cameras": [], "source": "x" * (limits.MAX_BODY_BYTES + 1)}},
            "message.too_large",
        ),
    ],
)
def test_job_that_the_wire_does_not_carry_is_refused_at_once(fake, client, wrong, code):
    """Kept to be sent, it would end each poll to come, and every other job with it."""
    with pytest.raises(SynCamError) as caught:
        client.submit(msgspec.structs.replace(REQUEST, job_id="w" * 8, **wrong))
    assert caught.value.code == code
    client.submit(REQUEST)
    fake.turn(client, lambda _: bodies(fake, Submit))
    assert [body.request.job_id for body in bodies(fake, Submit)] == [REQUEST.job_id]


def test_input_that_becomes_shorter_ends_its_job_alone(fake, client, tmp_path):
    """A reference that is being written over: the read came up short, for ever, in each poll."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"a" * 5000)
    client.submit(msgspec.structs.replace(REQUEST, job_id="s" * 8), [clip])
    clip.write_bytes(b"a" * 10)
    client.submit(REQUEST)
    events = fake.turn(client, lambda _: bodies(fake, Submit))
    failed = [e for e in events if isinstance(e, Failed)]
    assert [(e.job_id, e.error.code) for e in failed] == [("s" * 8, "input.changed")]
    assert bodies(fake, Submit)[0].request.job_id == REQUEST.job_id


def test_engine_that_takes_no_more_clients_says_so_once(fake, client, monkeypatch):
    monkeypatch.setattr(limits, "SYNC_INTERVAL_S", 0.01)
    full = ErrorInfo(code="quota.clients", sentence="The engine has 1024 clients.")
    monkeypatch.setattr(fake, "answer", lambda message: fake.say(full, message.header.id))
    events = fake.turn(client, lambda _: len(bodies(fake, SayHello)) > 3)
    assert [e.error.code for e in events if isinstance(e, Lost)] == ["quota.clients"]


@pytest.mark.parametrize(
    ("state", "kinds"),
    [("queued", [Queued]), ("paused", [Queued]), ("running", [Phase, Progress])],
)
def test_catching_up(state, kinds):
    info = JobInfo(job_id="j", state=state, phase="sample", step=3, steps=9, attempt=1)
    assert [type(e) for e in as_events(info)] == kinds
    followed = FollowedJob()
    assert all(followed.is_news(e) for e in as_events(info))
    assert not any(followed.is_news(e) for e in as_events(info))


def test_job_of_which_the_worker_has_said_nothing_has_no_phase():
    assert as_events(JobInfo(job_id="j", state="running", attempt=1)) == []
