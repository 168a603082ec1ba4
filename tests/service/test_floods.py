# SPDX-License-Identifier: Apache-2.0
"""Strangers in any number, and a server that ends by accident: clients go on, jobs are kept."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading

import psutil
import pytest
import zmq

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.devtools.soak.floods import RawPeer, Unfinished, connect_all, still_open
from syncam_engine.link import codec, keys
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import Endpoint, socket_path
from syncam_engine.link.events import Lost
from syncam_engine.link.messages import TO_CLIENT, Acknowledged, Done, Phase, SayHello, new_id
from syncam_engine.service.doorkeeper import Doorkeeper
from syncam_engine.service.hub import MAX_STRANGERS, Hub

from .held_jobs import digests, held, let_go
from .test_engine import reach_step, run
from .test_faults import is_alive

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.processes
def test_strangers_from_afar_hold_few_connections_and_push_nobody_out(make_engine):
    engine = make_engine("--bind", "tcp://127.0.0.1:*")
    info = engine.info()
    address, port = info["remote"][0], int(info["remote"][0].rsplit(":", 1)[1])
    remote = Endpoint(address=address, server_key=info["remote_key"])
    local, afar = engine.client(), EngineClient(remote)
    run(afar, sample_request(1))
    strangers = connect_all("127.0.0.1", port, MAX_STRANGERS + 200)
    assert len(strangers) == MAX_STRANGERS + 200
    wait_until(lambda: still_open(strangers) <= MAX_STRANGERS, 60, engine.said)
    for client in (local, afar):
        done, seen = run(client, sample_request(1))
        assert isinstance(done, Done)
        assert not [event for event in seen if isinstance(event, Lost)]
    another = EngineClient(remote)
    assert isinstance(run(another, sample_request(1))[0], Done)
    for one in (*strangers, afar, another):
        one.close()
    assert "wait to be let in" in (engine.state_dir / "logs" / "engine.log").read_text()


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="syncam-")
    yield path
    shutil.rmtree(path)


def test_local_strangers_are_cut_off_the_oldest_first_and_clients_are_not(folder):
    context, path = zmq.Context(), f"{folder}/hub.sock"
    hub = Hub(context, f"ipc://{path}", lambda *_: Acknowledged(), most_strangers=5)
    client = context.socket(zmq.DEALER)
    client.linger = 0
    ended = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    client.connect(f"ipc://{path}")

    def say(body):
        client.send_multipart(codec.encode(body))
        assert hub.socket.poll(60_000)
        hub.hear()
        return codec.decode(client.recv_multipart(), TO_CLIENT).body

    # The gate hears of a connection late, when its client has said hello already.
    late, heard, accepted = threading.Event(), threading.Event(), hub._gate._accepted
    hub._gate._accepted = lambda handle: (heard.set(), late.wait(60), accepted(handle))
    assert isinstance(say(SayHello(client_id=new_id())), Acknowledged)
    assert heard.wait(60)
    hub._gate._accepted = accepted
    late.set()
    strangers = [RawPeer(path).raw for _ in range(17)]
    wait_until(lambda: still_open(strangers) <= 5, 60)
    assert [still_open([one]) for one in strangers] == [0] * 12 + [1] * 5
    assert isinstance(say(SayHello(client_id=new_id())), Acknowledged)
    assert not ended.poll(0)
    # A client that is forgotten is a stranger again, and the newest of them.
    hub.sessions[next(iter(hub.sessions))].heard_s -= 3600
    hub.forget_silent()
    wait_until(lambda: still_open(strangers) == 5, 60)
    more = RawPeer(path).raw
    wait_until(lambda: still_open(strangers) == 3, 60)
    assert still_open([more]) == 1
    client.disable_monitor()
    hub.close()
    context.destroy(linger=0)
    for one in (*strangers, more):
        one.close()


def test_forged_user_id_is_nobodys(folder):
    """Over ipc nobody vouches for the name that a peer gives itself in its greeting."""
    context, path = zmq.Context(), f"{folder}/hub.sock"
    hub = Hub(context, f"ipc://{path}", lambda *_: Acknowledged())
    liar, me = RawPeer(path, {"User-Id": b"x" * 40}), new_id()
    liar.send_message(codec.encode(SayHello(client_id=me)))
    assert hub.socket.poll(60_000)
    hub.hear()
    assert [session.owner for session in hub.sessions.values()] == [f"local:{me}"]
    liar.raw.close()
    hub.close()
    context.destroy(linger=0)


def test_door_answers_always_and_goes_on():
    """An odd moment of the key file refuses one handshake, softly, and not all that follow."""
    context, moments = zmq.Context(), [OSError("an odd moment"), ValueError("another"), set()]

    def allowed():
        moment = moments.pop(0)
        if isinstance(moment, Exception):
            raise moment
        return moment

    door = Doorkeeper(context, {b"clients": allowed})
    asking = context.socket(zmq.REQ)
    asking.linger = 0
    asking.connect("inproc://zeromq.zap.01")

    def ask(*frames):
        asking.send_multipart(frames)
        assert door.socket.poll(60_000)
        door.hear()
        assert asking.poll(60_000)
        return asking.recv_multipart()

    whole = (b"1.0", b"7", b"clients", b"1.2.3.4", b"", b"CURVE", bytes(32))
    codes = [ask(*frames)[2] for frames in (whole, whole, whole, (b"1.0", b"8"))]
    assert codes == [b"300", b"300", b"400", b"300"]
    door.close()
    context.destroy(linger=0)


@pytest.mark.processes
def test_keys_that_cannot_be_read_for_a_moment_lock_nobody_out(make_engine):
    engine = make_engine("--bind", "tcp://127.0.0.1:*")
    info, folder = engine.info(), keys.keys_dir() / "clients"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("no folder")
    client = EngineClient(Endpoint(address=info["remote"][0], server_key=info["remote_key"]))
    log = engine.state_dir / "logs" / "engine.log"
    wait_until(lambda: client.wait(0.1) is not None and "cannot be judged" in log.read_text(), 60)
    folder.unlink()
    assert isinstance(run(client, sample_request(1))[0], Done)
    client.close()


@pytest.mark.processes
def test_server_that_ends_by_accident_is_started_again(make_engine):
    engine = make_engine()
    client = engine.client()
    run(client, sample_request(2))
    request = held()
    client.submit(request)
    reach_step(client, request.job_id, 3)
    server, worker = engine.server_pid(), engine.worker_pid()
    assert server != engine.process.pid
    os.kill(server, signal.SIGABRT)
    let_go(engine)
    ends, events = follow(client, [request.job_id])
    assert len(digests(engine, ends[request.job_id])) == 2
    assert 2 in {event.attempt for event in events if isinstance(event, Phase)}
    assert engine.server_pid() != server
    status = engine.status(client)
    assert status.pid == engine.process.pid == engine.info()["pid"]
    assert any("killed by SIGABRT" in note for note in status.notes)
    assert status.done == 2
    wait_until(lambda: not is_alive(worker), 60)
    # Asked to end, it ends whole.
    server = engine.server_pid()
    assert engine.stop() == 0
    assert not is_alive(server)
    assert engine.info() == {}


@pytest.mark.processes
@linux
def test_killed_parent_leaves_nobody(make_engine):
    engine = make_engine()
    server, worker = engine.server_pid(), engine.worker_pid()
    os.kill(server, signal.SIGSTOP)
    engine.kill()
    wait_until(lambda: not is_alive(server), 60)
    wait_until(lambda: not is_alive(worker), 60)
    engine.start()


@pytest.mark.processes
@linux
def test_unfinished_messages_of_many_who_come_again_hold_little(make_engine):
    most = 250
    engine = make_engine("--max-memory-mb", str(most))
    client = engine.client()
    run(client, sample_request(1))
    server, log = psutil.Process(engine.server_pid()), engine.state_dir / "logs" / "engine.log"
    peaks, ended = [], threading.Event()

    def watch():
        while not ended.wait(0.005):
            info = server.memory_info()
            peaks.append(info.rss - info.shared)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with Unfinished(socket_path(engine.state_dir), 4):
        wait_until(lambda: log.read_text().count("every client is cut off") >= 4, 120, engine.said)
    ended.set()
    watcher.join()
    assert max(peaks) < 2.5 * most * 2**20
    assert isinstance(run(client, sample_request(1))[0], Done)
    wait_until(lambda: server.memory_info().rss < most * 2**20, 60)
