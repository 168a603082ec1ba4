# SPDX-License-Identifier: Apache-2.0
"""The client against engines that are absent, strange or slow: it never waits and always says."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
import zmq

from syncam_engine.link import codec, limits
from syncam_engine.link.client import EngineClient, Lost, Reply
from syncam_engine.link.endpoint import Endpoint, local_endpoint, parse_endpoint, private_dir
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import FollowedJob, as_events
from syncam_engine.link.launch import EngineLauncher, find_engine_python
from syncam_engine.link.messages import (
    TO_ENGINE,
    Acknowledged,
    Cancel,
    ClipResult,
    Done,
    ErrorInfo,
    Failed,
    GenerateRequest,
    Hello,
    JobInfo,
    Phase,
    Progress,
    Queued,
    SayHello,
    Submit,
    Sync,
    Synced,
)
from syncam_engine.link.transfer import Incoming, Outgoing

REQUEST = GenerateRequest(rig={"cameras": []}, prompt="x")


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
                Hello(engine="t", protocol=1, instance=self.instance, worker="ready"),
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


def test_import_is_light():
    script = (
        "import sys, syncam_engine.link.launch;"
        "print([m for m in ('torch','numpy','bpy','unreal','av','rich') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr


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
        frames[0] = frames[0].replace(b"\xa1v\x01", b"\xa1v\x09")
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
        from syncam_engine.link.messages import UploadState

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
    clip = ClipResult(camera="A", index=0, digest=digest, bytes=len(data))
    return Incoming("j" * 8, clip, tmp_path / "out.mp4")


def finished(into):
    """The file once it is digested and written, in threads of its own."""
    end_s = time.monotonic() + 60
    while (path := into.finish()) is None:
        assert time.monotonic() < end_s
        time.sleep(0.001)
    return path


def test_incoming_asks_for_no_more_than_was_dealt_with(tmp_path):
    import hashlib
    import threading

    data = bytes(range(256)) * (limits.CREDIT_BYTES // 128)  # twice the credit
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    slow = threading.Event()
    write, into._write = into._write, lambda piece: (slow.wait(60), write(piece))
    calls = []
    while (call := into.next_call()) is not None:
        calls.append(call)
        into.take(call.offset, data[call.offset : call.offset + call.length])
    assert sum(call.length for call in calls) == limits.CREDIT_BYTES
    assert into.is_busy
    assert into.finish() is None
    slow.set()
    end_s = time.monotonic() + 60
    while not into.complete and time.monotonic() < end_s:
        while (call := into.next_call()) is not None:
            into.take(call.offset, data[call.offset : call.offset + call.length])
        time.sleep(0.001)
    assert finished(into).read_bytes() == data


def test_incoming_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    into = incoming(tmp_path, b"12345678", "0" * 64)

    def full(_):
        raise OSError(28, "No space left on device")

    into._write = full
    into.next_call()
    into.take(0, b"12345678")
    with pytest.raises(OSError, match="No space"):
        finished(into)
    into.abandon()
    assert list(tmp_path.iterdir()) == []


def test_incoming_waits_for_its_turn_and_checks(tmp_path):
    import hashlib

    data = bytes(range(251)) * 12345
    into = incoming(tmp_path, data, hashlib.sha256(data).hexdigest())
    calls = []
    while (call := into.next_call()) is not None:
        calls.append(call)
    assert [call.offset for call in calls] == [0]  # one call asks for several chunks
    for offset in reversed(range(0, len(data), limits.CHUNK_BYTES)):
        into.take(offset, data[offset : offset + limits.CHUNK_BYTES])
        assert not (tmp_path / "out.mp4").exists()
    assert finished(into).read_bytes() == data
    damaged = incoming(tmp_path, data, "0" * 64)
    while (call := damaged.next_call()) is not None:
        damaged.take(call.offset, data[call.offset : call.offset + call.length])
    with pytest.raises(SynCamError, match="damaged"):
        finished(damaged)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    "text",
    [
        "http://x",
        "tcp:/x",
        "tcp://h:1#short",
        "",
        "tcp://h",
        "tcp://h:",
        "tcp://:1",
        "tcp://h:70000",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(SynCamError, match="address"):
        parse_endpoint(text)


def test_socket_paths_are_short_and_differ(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 120)
    one, two = local_endpoint(deep), local_endpoint(tmp_path)
    assert one != two
    assert len(one.address) < 100
    assert one.is_local


def test_folders_that_others_could_write_are_refused(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SynCamError, match="0777") as caught:
        private_dir(folder)
    assert caught.value.fix.startswith("chmod 700")
    folder.chmod(0o755)
    assert private_dir(folder).stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SynCamError, match="plain folder"):
        private_dir(tmp_path / "link")


def test_engine_python_is_found_or_said_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("SYNCAM_ENGINE_PYTHON", sys.executable)
    assert find_engine_python() == Path(sys.executable)
    assert find_engine_python(tmp_path / "none") is None
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=tmp_path / "none", state_dir=tmp_path / "state")
    assert launcher.status().state == "not found"
    launcher.ensure_started()
    end_s = time.monotonic() + 20
    while launcher.status().state != "not found" and time.monotonic() < end_s:
        client.wait(0.05)
    status = launcher.status()
    assert status.state == "not found"
    assert "bootstrap.py" in status.fix
    client.close()


def test_state_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "state").write_text("a file")
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=sys.executable, state_dir=tmp_path / "state")
    launcher.ensure_started()
    end_s = time.monotonic() + 20
    while launcher.status().state != "not found" and time.monotonic() < end_s:
        client.wait(0.05)
    assert str(tmp_path / "state") in launcher.status().sentence
    client.close()


def test_engine_that_ends_at_once_is_said_with_its_last_words(tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'no module named syncam' >&2\nexit 3\n")
    script.chmod(0o755)
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=script, state_dir=tmp_path / "state")
    assert launcher.status().state == "stopped"
    launcher.ensure_started()
    end_s = time.monotonic() + 20
    while launcher.status().state != "lost" and time.monotonic() < end_s:
        client.wait(0.05)
    status = launcher.status()
    assert "no module named syncam" in status.sentence
    assert Path(status.log_path).read_text()
    client.close()


def test_engine_that_finds_another_in_its_place_is_not_lost(tmp_path):
    """The other one answers late, or it is ending and makes room: both take a moment."""
    script, runs = tmp_path / "python", tmp_path / "runs"
    script.write_text(
        f"#!/bin/sh\necho . >> {runs}\n[ $(wc -l < {runs}) -gt 1 ] && exit 4\nexit 75\n"
    )
    script.chmod(0o755)
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=script, state_dir=tmp_path / "state")
    launcher.ensure_started()
    end_s = time.monotonic() + 60
    while launcher.status().state != "lost" and time.monotonic() < end_s:
        client.wait(0.05)
    assert runs.read_text().count(".") == 2, "tried once more, and lost only by its own fault"
    client.close()


def test_engine_that_forgot_a_silent_client_is_not_said_to_be_stopped(tmp_path):
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=sys.executable, state_dir=tmp_path / "state")
    assert launcher.status().state == "stopped"
    client.hello = Hello(engine="0", protocol=1, instance="one")
    assert launcher.status().state == "starting"
    client.close()
