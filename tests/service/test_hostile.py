# SPDX-License-Identifier: Apache-2.0
"""Nobody who is in can hurt the others: broken, endless, replayed and unread messages."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import sys
import tempfile

import psutil
import pytest
import zmq

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.devtools.soak.floods import RawPeer
from syncam_engine.devtools.soak.hostile import mutate
from syncam_engine.link import codec
from syncam_engine.link.endpoint import socket_path
from syncam_engine.link.engine_facts import EngineStatus, Hello
from syncam_engine.link.events import Lost
from syncam_engine.link.messages import (
    TO_CLIENT,
    Acknowledged,
    AskStatus,
    Done,
    Fetch,
    SayHello,
    Sync,
    new_id,
)
from syncam_engine.service import watch
from syncam_engine.service.hub import PARTS_READ, Hub

from .test_engine import answer, run

MUTATIONS = int(os.environ.get("SYNCAM_FUZZ_MESSAGES", "3000"))


@pytest.mark.processes
def test_mutated_messages(engine):
    """Broken in every way; the engine answers afterwards and holds no more memory."""
    rng = random.Random(20)
    context = zmq.Context()
    attacker = context.socket(zmq.DEALER)
    attacker.linger = 0
    attacker.connect(f"ipc://{socket_path(engine.state_dir)}")
    attacker.send_multipart(codec.encode(SayHello(client_id=new_id())))
    honest = engine.client()
    assert isinstance(run(honest, sample_request(2))[0], Done)
    server = psutil.Process(engine.server_pid())
    before = server.memory_info().rss
    for k in range(MUTATIONS):
        attacker.send_multipart(mutate(rng))
        if k % 100 == 0:
            answer(honest, honest.ask_status())
        while attacker.poll(0):
            attacker.recv_multipart()
    assert isinstance(run(honest, sample_request(2))[0], Done)
    assert server.memory_info().rss - before < 64 * 2**20
    context.destroy(linger=0)


@pytest.mark.processes
def test_client_that_never_reads(engine):
    """It asks for a clip again and again and takes nothing: its own answers are dropped."""
    owner = engine.client()
    done, _ = run(owner, sample_request(2))
    context = zmq.Context()
    deaf = context.socket(zmq.DEALER)
    deaf.linger = 0
    deaf.rcvhwm = 1
    deaf.connect(f"ipc://{socket_path(engine.state_dir)}")
    deaf.send_multipart(codec.encode(SayHello(client_id=owner.client_id)))
    call = Fetch(job_id=done.job_id, digest=done.clips[0].digest)
    server = psutil.Process(engine.server_pid())
    before = server.memory_info().rss
    for _ in range(5000):
        deaf.send_multipart(codec.encode(call))
    assert answer(owner, owner.ask_status()).done >= 1
    assert isinstance(run(owner, sample_request(2))[0], Done)
    assert server.memory_info().rss - before < 96 * 2**20
    context.destroy(linger=0)


@pytest.mark.processes
def test_message_that_never_ends_holds_little(make_engine):
    engine = make_engine("--max-memory-mb", "200")
    client = engine.client()
    done, _ = run(client, sample_request(2))
    attacker = RawPeer(socket_path(engine.state_dir))
    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        attacker.send_parts(2**20, 3000)
    attacker.raw.close()
    assert attacker.sent > 100
    # The others were cut off with it, and are back: nothing is lost.
    assert isinstance(run(client, sample_request(2))[0], Done)
    client.watch(done.job_id)
    assert follow(client, [done.job_id])[0][done.job_id].clips == done.clips
    log = (engine.state_dir / "logs" / "engine.log").read_text()
    assert "every client is cut off: the server holds" in log
    server = psutil.Process(engine.server_pid())
    wait_until(lambda: server.memory_info().rss < 200 * 2**20, 30)


def dealer(context, engine):
    """A client of no manners."""
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.rcvtimeo = 60_000
    plain.connect(f"ipc://{socket_path(engine.state_dir)}")
    return plain


@pytest.mark.processes
def test_message_of_too_many_parts_costs_its_sender_alone(engine, client):
    assert isinstance(run(client, sample_request(2))[0], Done)
    context = zmq.Context()
    honest, attacker = dealer(context, engine), dealer(context, engine)
    for peer in (honest, attacker):
        peer.send_multipart(codec.encode(SayHello(client_id=new_id(), client_name="of many parts")))
        assert isinstance(codec.decode(peer.recv_multipart(), TO_CLIENT).body, Hello)
    attacker.send_multipart([b""] * 3000)
    assert codec.decode(attacker.recv_multipart(), TO_CLIENT).body.code == "message.too_large"
    ended = attacker.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    attacker.send_multipart([b""] * 100_000)
    assert ended.poll(60_000)
    log = (engine.state_dir / "logs" / "engine.log").read_text()
    assert "of many parts is cut off: a message of 100000 parts" in log
    # The other one is who it was, without another hello; nobody noticed anything.
    honest.send_multipart(codec.encode(AskStatus()))
    assert isinstance(codec.decode(honest.recv_multipart(), TO_CLIENT).body, EngineStatus)
    done, seen = run(client, sample_request(2))
    assert isinstance(done, Done)
    assert not [event for event in seen if isinstance(event, (Lost, Hello))]
    # It is let in again, as anybody.
    attacker.send_multipart(codec.encode(AskStatus()))
    assert codec.decode(attacker.recv_multipart(), TO_CLIENT).body.code == "hello.first"
    attacker.disable_monitor()
    context.destroy(linger=0)


@pytest.mark.processes
def test_message_of_parts_without_end_is_not_read_to_its_end(engine):
    client = engine.client()
    done, _ = run(client, sample_request(2))
    context = zmq.Context()
    attacker = dealer(context, engine)
    attacker.send_multipart([b""] * (PARTS_READ + 9))
    log = engine.state_dir / "logs" / "engine.log"
    wait_until(lambda: f"more than {PARTS_READ} parts" in log.read_text(), 60)
    # Everybody was cut off, and is back with nothing lost.
    client.watch(done.job_id)
    assert follow(client, [done.job_id])[0][done.job_id].clips == done.clips
    assert isinstance(run(client, sample_request(2))[0], Done)
    context.destroy(linger=0)


def send_buffers():
    """What the kernel may hold for each of this process's local sockets."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with (
            contextlib.suppress(OSError),
            socket.fromfd(int(name), socket.AF_UNIX, socket.SOCK_STREAM) as one,
        ):
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_UNIX:
                found.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_local_client_that_said_hello_is_sent_more_at_once():
    context, folder = zmq.Context(), tempfile.mkdtemp(prefix="syncam-")
    hub = Hub(context, f"ipc://{folder}/hub.sock", lambda *_: Acknowledged())
    peer = context.socket(zmq.DEALER)
    peer.linger = 0
    peer.connect(f"ipc://{folder}/hub.sock")

    def say(body):
        peer.send_multipart(codec.encode(body))
        assert hub.socket.poll(60_000)
        hub.hear()
        return codec.decode(peer.recv_multipart(), TO_CLIENT).body

    assert say(AskStatus()).code == "hello.first"
    usual = max(send_buffers())
    assert isinstance(say(SayHello(client_id=new_id())), Acknowledged)
    assert sum(size > usual for size in send_buffers()) == 1
    hub.close()
    context.destroy(linger=0)
    shutil.rmtree(folder)


@pytest.mark.processes
def test_silent_connections(engine):
    path = str(socket_path(engine.state_dir))
    silent = []
    for _ in range(60):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(path)
        silent.append(raw)
    context = zmq.Context()
    for _ in range(60):
        quiet = context.socket(zmq.DEALER)
        quiet.linger = 0
        quiet.connect(f"ipc://{path}")
    assert isinstance(run(engine.client(), sample_request(2))[0], Done)
    for raw in silent:
        raw.close()
    context.destroy(linger=0)


@pytest.mark.processes
def test_replayed_messages_change_nothing(engine):
    """The very same frames again and again: one job, one cancel."""
    client = engine.client()
    done, _ = run(client, sample_request(2))
    context = zmq.Context()
    echo = context.socket(zmq.DEALER)
    echo.linger = 0
    echo.connect(f"ipc://{socket_path(engine.state_dir)}")
    hello = codec.encode(SayHello(client_id=client.client_id))
    replayed = codec.encode(Sync(jobs=[done.job_id]))
    for _ in range(50):
        for frames in (hello, replayed, codec.encode(AskStatus())):
            echo.send_multipart(frames)
    listed = answer(client, client.ask_jobs(mine=True))
    assert [job.job_id for job in listed.jobs].count(done.job_id) == 1
    context.destroy(linger=0)


@pytest.mark.processes
def test_uploads_are_limited(make_engine):
    engine = make_engine("--max-disk-gb", "0.001")
    client = engine.client()
    failed, _ = run(client, sample_request(1, mode="reference"), [os.urandom(3 * 2**20)])
    assert failed.error.code == "quota.disk"
    assert not list((engine.state_dir / "inputs").glob("*/*.part"))


def test_a_proc_of_another_namespace_does_not_end_the_server(monkeypatch):
    def nobody(*_):
        raise psutil.NoSuchProcess(1)

    monkeypatch.setattr(watch.psutil, "Process", nobody)
    memory = watch.MemoryWatch(1)
    assert memory.held_bytes() == 0
    assert memory.too_much() == 0
