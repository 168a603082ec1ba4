# SPDX-License-Identifier: Apache-2.0
"""Starting an engine: what is missing, what ends at once and what was forgotten is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syncam_engine.link import limits
from syncam_engine.link.client import EngineClient
from syncam_engine.link.engine_facts import Hello
from syncam_engine.link.launch import EngineLauncher, find_engine_python


@pytest.mark.processes
def test_import_is_light():
    script = (
        "import sys, syncam_engine.link.launch;"
        "print([m for m in ('torch','numpy','bpy','unreal','av','rich') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr


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


@pytest.mark.processes
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


@pytest.mark.processes
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


@pytest.mark.processes
def test_engine_that_it_started_is_known_while_it_runs(tmp_path):
    script, go = tmp_path / "python", tmp_path / "go"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\nexit 3\n")
    script.chmod(0o755)
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=script, state_dir=tmp_path / "state")
    assert launcher.started_pid is None
    launcher.ensure_started()
    end_s = time.monotonic() + 60
    try:
        while launcher.started_pid is None and time.monotonic() < end_s:
            client.wait(0.05)
            launcher.status()
        os.kill(launcher.started_pid, 0)
    finally:
        go.touch()
    end_s = time.monotonic() + 60
    while launcher.started_pid is not None and time.monotonic() < end_s:
        client.wait(0.05)
    assert launcher.started_pid is None
    client.close()


def test_engine_that_forgot_a_silent_client_is_not_said_to_be_stopped(tmp_path):
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=sys.executable, state_dir=tmp_path / "state")
    assert launcher.status().state == "stopped"
    client.hello = Hello(engine="0", protocol=limits.PROTOCOL, instance="one")
    assert launcher.status().state == "starting"
    client.close()


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
def test_engine_that_cannot_be_reached_safely_says_why(tmp_path):
    """It runs, and the folder of its socket was taken from it."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "state").mkdir()
    address = f"ipc://{tmp_path / 'open' / 's.sock'}"
    (tmp_path / "state" / "engine.json").write_text(json.dumps({"address": address}))
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexit 75\n")
    script.chmod(0o755)
    client = EngineClient(state_dir=tmp_path / "state")
    launcher = EngineLauncher(client, python=script, state_dir=tmp_path / "state")
    launcher.ensure_started()
    end_s = time.monotonic() + 40
    while launcher.status().state != "lost" and time.monotonic() < end_s:
        client.wait(0.05)
    assert str(tmp_path / "open") in launcher.status().sentence
    assert launcher.status().fix == f"chmod 700 {tmp_path / 'open'}"
    client.close()
