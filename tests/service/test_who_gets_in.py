# SPDX-License-Identifier: Apache-2.0
"""Nobody gets in who should not: private folders, keys and CURVE, and a revoked key is cut off."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest
import zmq

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link import codec, keys
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import Endpoint, socket_path
from syncam_engine.link.events import Fetched, Lost
from syncam_engine.link.messages import Done, SayHello, new_id

from .test_engine import answer, run

pytestmark = pytest.mark.processes


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
    # It is no accident: the parent does not try it again.
    assert engine.process.wait(60) == 2
    assert (engine.folder / "server.out").read_text().count("can be read by other users") == 1


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
    assert engine.clip_file(done, 0).exists()
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
