# SPDX-License-Identifier: Apache-2.0
"""Another user of the machine cannot play the engine, nor have his code run as one.

`os.getuid` is replaced: to this user's own files and processes everything here is another's then.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from syncam_engine.commands.asking import answers
from syncam_engine.link import endpoint, environments, json_text, launch, owners
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import Endpoint, local_endpoint, socket_folder, stored_client_id
from syncam_engine.link.environments import find_bpy_python
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.launch import find_engine_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets, owners and modes")


@contextmanager
def listener(path: Path):
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(f"ipc://{path}")
    try:
        yield router
    finally:
        router.close()
        context.term()


def wait_for(client: EngineClient, condition) -> None:
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s, (client.state, client.problem)
        client.wait(0.05)


def test_process_of_another_user_hears_nothing(tmp_path, monkeypatch):
    path, uid = tmp_path / "s.sock", os.getuid()
    with listener(path) as router:
        client = EngineClient(f"ipc://{path}")
        wait_for(client, lambda: router.poll(0))
        client.close()
        router.recv_multipart()  # its own user's hello
        monkeypatch.setattr("syncam_engine.link.connection.is_own_socket", lambda _path: True)
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
        client = EngineClient(f"ipc://{path}")
        wait_for(client, lambda: client.problem)
        assert client.problem.code == "engine.not_own"
        assert str(uid) in client.problem.sentence
        client.wait(0.5)
        assert not router.poll(0)
        client.close()


def test_socket_that_another_put_there_is_not_spoken_to(tmp_path):
    """engine.json is left from a killed engine; the folder that it names is open to all now."""
    folder, state = tmp_path / "open", tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    state.mkdir(0o700)
    path = folder / "s.sock"
    (state / "engine.json").write_text(json.dumps({"address": f"ipc://{path}"}))
    with listener(path) as router:
        client = EngineClient(state_dir=state)
        with pytest.raises(SynCamError, match="Other users may write") as caught:
            answers(client, [client.ask_status()], 1.0)
        assert caught.value.fix == f"chmod 700 {folder}"
        assert not router.poll(0)
        folder.chmod(0o700)
        wait_for(client, lambda: router.poll(0))
        client.close()
    path.unlink(missing_ok=True)
    path.write_text("no socket")
    with pytest.raises(SynCamError, match="not a socket of this user"):
        local_endpoint(state)


def test_state_folder_of_another_user_tells_nothing(tmp_path, monkeypatch):
    address = {"address": "tcp://127.0.0.1:9", "server_key": "k" * 40, "pid": 1}
    (tmp_path / "engine.json").write_text(json.dumps(address))
    assert local_endpoint(tmp_path) == Endpoint(address="tcp://127.0.0.1:9", server_key="k" * 40)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert endpoint.read_engine_info(tmp_path) is None
    with pytest.raises(SynCamError, match="another user") as caught:
        local_endpoint(tmp_path)
    assert "Remove" not in caught.value.fix


@pytest.mark.parametrize(
    "said",
    [{"address": "tcp://10.0.0.1:9", "server_key": "k" * 40}, {"address": "tcp://127.0.0.1:9"}],
)
def test_local_engine_is_here_and_proves_itself(tmp_path, said):
    (tmp_path / "engine.json").write_text(json.dumps(said))
    assert local_endpoint(tmp_path) is None


def test_loopback_port_may_be_a_tunnel():
    assert not Endpoint(address="tcp://127.0.0.1:7788").is_local


def test_taken_folder_is_passed_over_for_one_of_ones_own(short_tmp, monkeypatch):
    tmp_path = short_tmp
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(endpoint, "SHARED_FOLDER", tmp_path)
    monkeypatch.setenv("SYNCAM_STATE_DIR", "/s")
    taken = tmp_path / f"syncam-{os.getuid()}"
    assert socket_folder(Path("/s")) == (taken, [])
    taken.mkdir()
    taken.chmod(0o777)
    folder, doubts = socket_folder(Path("/s"))
    assert folder == Path("/s/run")
    assert [str(taken) in doubt.sentence for doubt in doubts] == [True]
    monkeypatch.setenv("SYNCAM_STATE_DIR", "/" + "s" * 99)
    with pytest.raises(SynCamError, match=str(taken)) as caught:
        socket_folder(Path("/" + "s" * 99))
    assert "XDG_RUNTIME_DIR" in caught.value.fix


def python_in(folder: Path, name: str = "python") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_working_folder_is_not_looked_in(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNCAM_ENGINE_PYTHON", raising=False)
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(launch, "PROJECT_ROOT", tmp_path / "none")
    (tmp_path / "work" / "syncam_engine" / "service").mkdir(parents=True)
    python_in(tmp_path / "work" / ".venv" / "bin")
    python_in(tmp_path / "work", "syncam")
    beside = python_in(tmp_path / "work")
    (tmp_path / "work" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for path in ("", ".", ":/nowhere"):
        monkeypatch.setenv("PATH", path)
        assert find_engine_python() is None, path
    monkeypatch.chdir(tmp_path / "work" / "deep")
    assert find_engine_python() is None
    monkeypatch.setenv("PATH", str(tmp_path / "work"))
    assert find_engine_python() == beside


def test_engine_that_others_can_change_is_not_used_unless_chosen(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNCAM_ENGINE_PYTHON", raising=False)
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(launch, "PROJECT_ROOT", tmp_path / "clone")
    (tmp_path / "clone" / "syncam_engine" / "service").mkdir(parents=True)
    own = python_in(tmp_path / "clone" / ".venv" / "bin")
    assert find_engine_python() == own
    (tmp_path / "clone" / ".venv").chmod(0o777)
    assert find_engine_python() is None
    error = launch._not_found()
    assert error.code == "engine.not_own"
    assert str(own) in error.sentence
    monkeypatch.setenv("SYNCAM_ENGINE_PYTHON", str(own))
    assert find_engine_python() == own


def test_program_of_another_user_is_doubted(tmp_path, monkeypatch):
    own = python_in(tmp_path)
    monkeypatch.setattr(owners, "__file__", str(own))
    assert owners.code_doubt(own) == ""
    (tmp_path / "link").symlink_to("/nowhere/python")
    assert owners.code_doubt(tmp_path / "link") == "", "one's own link is one's own choice"
    theirs = Path("/usr/bin/env")
    monkeypatch.setattr(owners, "__file__", str(theirs))
    uid = os.getuid()
    own_uid = uid or 4711
    if uid == 0:
        os.chown(own, own_uid, -1)
    monkeypatch.setattr(os, "getuid", lambda: own_uid + 1)
    assert "another user" in owners.code_doubt(own)
    assert owners.code_doubt(theirs) == ""


def test_settings_that_others_could_write_choose_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNCAM_ENGINE_PYTHON", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(launch, "PROJECT_ROOT", tmp_path / "none")
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path / "config"))
    own = python_in(tmp_path / "bin")
    launch.remember_engine_python(own)
    assert find_engine_python() == own
    (tmp_path / "config").chmod(0o777)
    assert find_engine_python() is None


def test_bpy_python_that_others_can_change_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "PROJECT_ROOT", tmp_path)
    own = python_in(tmp_path / ".venv-bpy-4.2" / "bin")
    assert find_bpy_python("4.2") == own
    own.parent.chmod(0o777)
    assert find_bpy_python("4.2") is None


def test_client_id_is_a_secret_of_one_user(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", str(tmp_path))
    name = stored_client_id("terminal")
    path = tmp_path / "client-ids" / "terminal"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)  # as earlier versions wrote it
    assert stored_client_id("terminal") == name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"\xff\xfe")
    assert stored_client_id("terminal") != name


def test_json_nested_without_end_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="nested"):
        json_text.loads("[" * 100_000)
    (tmp_path / "engine.json").write_text("[" * 100_000)
    assert endpoint.read_engine_info(tmp_path) is None


def test_programs_connect_in_one_place():
    """Every verb and both hosts: a socket of their own would not ask whose engine it is."""
    places = ("syncam_engine/commands", "syncam_engine/link", "blender_addon", "ue_bridge")
    made = {
        path.name
        for place in places
        for path in (environments.PROJECT_ROOT / place).rglob("*.py")
        if "zmq.DEALER" in path.read_text("utf-8")
    }
    assert made == {"connection.py"}
