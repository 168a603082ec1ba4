# SPDX-License-Identifier: Apache-2.0
"""Nobody gets in who should not, and nobody who is in can hurt the others."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import zmq

from syncam_engine.link import codec, keys
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import Endpoint, socket_path
from syncam_engine.link.events import Fetched, Lost
from syncam_engine.link.messages import (
    TO_CLIENT,
    Acknowledged,
    AskStatus,
    Done,
    EngineStatus,
    Fetch,
    Hello,
    SayHello,
    Sync,
    new_id,
)
from syncam_engine.service import watch
from syncam_engine.service.harness import follow, sample_request, wait_until
from syncam_engine.service.hub import PARTS_READ, Hub
from syncam_engine.service.soak.hostile import mutate

from .test_engine import answer, run

MUTATIONS = int(os.environ.get("SYNCAM_FUZZ_MESSAGES", "3000"))


@pytest.fixture
def remote(make_engine):
    """An engine that also listens on a loopback port, as it would for another machine."""
    engine = make_engine("--bind", "tcp://127.0.0.1:*")
    info = engine.info()
    engine.remote = Endpoint(address=info["remote"][0], server_key=info["remote_key"])
    return engine


def test_local_socket_is_in_a_private_folder(engine):
    path = socket_path(engine.state_dir)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for folder in (engine.state_dir, engine.state_dir / "jobs", engine.state_dir / "logs"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (engine.state_dir / "jobs.sqlite").stat().st_mode & 0o077 == 0
    assert (engine.state_dir / "logs" / "engine.log").stat().st_mode & 0o077 == 0


def test_trusted_key_comes_in_and_fetches(remote, tmp_path):
    client = EngineClient(remote.remote)
    done, _ = run(client, sample_request(2))
    clip = done.clips[0]
    client.fetch(done.job_id, clip, tmp_path / "a.mp4")
    got = []
    wait_until(lambda: got.extend(e for e in client.wait(0.1) if isinstance(e, Fetched)) or got, 30)
    assert (tmp_path / "a.mp4").stat().st_size == clip.bytes
    client.close()


def test_unknown_and_revoked_keys_stay_out(remote, monkeypatch, tmp_path):
    engine_config = os.environ["SYNCAM_CONFIG_DIR"]
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "stranger"))
    public = keys.own_pair("client").public

    def knock():
        stranger = EngineClient(remote.remote)
        seen, end_s = [], time.monotonic() + 20
        while not seen and time.monotonic() < end_s:
            seen = [e for e in stranger.wait(0.1) if isinstance(e, Lost) or stranger.hello]
        state = stranger.state
        stranger.close()
        return state, seen

    state, seen = knock()
    assert state == "refused"
    assert seen[0].error.code == "keys.refused"
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine_config)
    keys.trust("client", "stranger", public)
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "stranger"))
    assert knock()[0] in ("ready", "loading")
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine_config)
    keys.revoke("client", "stranger")
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "stranger"))
    assert knock()[0] == "refused"
    assert "refused a handshake" in (remote.state_dir / "logs" / "engine.log").read_text()


def test_key_that_is_revoked_is_cut_off_where_it_is(remote, monkeypatch, tmp_path):
    engine_config = os.environ["SYNCAM_CONFIG_DIR"]
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "anna"))
    public = keys.own_pair("client").public
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine_config)
    keys.trust("client", "anna", public)
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "anna"))
    anna = EngineClient(remote.remote)
    assert isinstance(run(anna, sample_request(2))[0], Done)
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine_config)
    keys.revoke("client", "anna")
    lost = []
    wait_until(
        lambda: lost.extend(e for e in anna.wait(0.1) if isinstance(e, Lost)) or lost, 60, "no Lost"
    )
    assert lost[0].error.code == "keys.refused"
    assert anna.state == "refused"
    keys.trust("client", "anna", public)
    wait_until(lambda: anna.wait(0.1) is not None and anna.state == "ready", 60, "not back")
    assert isinstance(run(anna, sample_request(2))[0], Done)
    anna.close()


def test_another_engine_key_is_said(remote):
    wrong = Endpoint(
        address=remote.remote.address, server_key=keys.new_pair("engine", replace=True).public
    )
    client = EngineClient(wrong)
    seen = []
    wait_until(lambda: seen.extend(client.wait(0.1)) or client.state == "refused", 60)
    assert seen[0].error.code == "keys.refused"
    client.close()


def test_owner_over_curve_is_the_key_whatever_the_client_says(remote):
    local, afar = remote.client(), EngineClient(remote.remote)
    done, _ = run(local, sample_request(2))
    liar = EngineClient(remote.remote, client_id=local.client_id)
    assert answer(liar, liar.cancel(done.job_id)).code == "job.unknown"
    mine, _ = run(afar, sample_request(2))
    # The same key is the same owner, also under another client id.
    liar.watch(mine.job_id)
    ends, _ = follow(liar, [mine.job_id])
    assert isinstance(ends[mine.job_id], Done)
    for client in (afar, liar):
        client.close()


def test_without_curve_nothing_is_answered(remote):
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(remote.remote.address)
    plain.send_multipart(codec.encode(SayHello(client_id=new_id())))
    assert plain.poll(1500) == 0
    context.destroy(linger=0)
    host, port = remote.remote.address.removeprefix("tcp://").split(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" + b"\0" * 9 + b"\x7f"):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(garbage)
    assert remote.status().clients >= 0


def test_engine_key_that_others_can_read_is_refused(make_engine):
    engine = make_engine("--bind", "tcp://127.0.0.1:*", start=False)
    keys.new_pair("engine")
    path = Path(os.environ["SYNCAM_CONFIG_DIR"]) / "keys" / "engine.key"
    path.chmod(0o644)
    with pytest.raises(TimeoutError, match="can be read by other users"):
        engine.start(limit_s=5)


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
    server = psutil.Process(engine.process.pid)
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
    server = psutil.Process(engine.process.pid)
    before = server.memory_info().rss
    for _ in range(5000):
        deaf.send_multipart(codec.encode(call))
    assert answer(owner, owner.ask_status()).done >= 1
    assert isinstance(run(owner, sample_request(2))[0], Done)
    assert server.memory_info().rss - before < 96 * 2**20
    context.destroy(linger=0)


class Zmtp:
    """ZeroMQ's own protocol by hand: libzmq never sends a message that is not finished."""

    def __init__(self, path):
        self.raw = socket.socket(socket.AF_UNIX)
        self.raw.settimeout(30)
        self.raw.connect(str(path))
        greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32
        self.raw.sendall(greeting)
        ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
        self.raw.sendall(b"\x04" + bytes([len(ready)]) + ready)

        self.sent = 0

    def send_parts(self, size, count):
        """Parts of a message, each of which says that more follow."""
        for _ in range(count):
            self.raw.sendall(b"\x03" + size.to_bytes(8, "big") + bytes(size))
            self.sent += 1


def test_message_that_never_ends_holds_little(make_engine):
    engine = make_engine("--max-memory-mb", "200")
    client = engine.client()
    done, _ = run(client, sample_request(2))
    attacker = Zmtp(socket_path(engine.state_dir))
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
    server = psutil.Process(engine.process.pid)
    wait_until(lambda: server.memory_info().rss < 200 * 2**20, 30)


def dealer(context, engine):
    """A client of no manners."""
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.rcvtimeo = 60_000
    plain.connect(f"ipc://{socket_path(engine.state_dir)}")
    return plain


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


def test_uploads_are_limited(make_engine):
    engine = make_engine("--max-disk-gb", "0.001")
    client = engine.client()
    failed, _ = run(client, sample_request(1, mode="reference"), [os.urandom(3 * 2**20)])
    assert failed.error.code == "quota.disk"
    assert not list((engine.state_dir / "inputs").glob("*/*.part"))


def test_without_ipc_the_local_engine_is_found_all_the_same(make_engine):
    """As on Windows: a loopback port and CURVE, for clients and for the worker."""
    engine = make_engine(start=False)
    engine.environment["SYNCAM_NO_IPC"] = "1"
    engine.start()
    address = engine.info()["address"]
    assert address.startswith("tcp://127.0.0.1:")
    client = engine.client()
    done, _ = run(client, sample_request(2, prompt="by port crash-once"))
    assert isinstance(done, Done)
    assert Path(done.clips[0].path).exists()
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(address)
    plain.send_multipart(codec.encode(SayHello(client_id=new_id())))
    assert plain.poll(1000) == 0
    context.destroy(linger=0)
    # Started again it has another port, and the client finds it.
    engine.kill()
    engine.start()
    assert isinstance(run(client, sample_request(2))[0], Done)


def test_a_proc_of_another_namespace_does_not_end_the_server(monkeypatch):
    def nobody(*_):
        raise psutil.NoSuchProcess(1)

    monkeypatch.setattr(watch.psutil, "Process", nobody)
    memory = watch.MemoryWatch(1)
    assert memory.held_bytes() == 0
    assert memory.too_much() == 0
