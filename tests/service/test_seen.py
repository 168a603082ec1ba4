# SPDX-License-Identifier: Apache-2.0
"""What the engine shows: status on a terminal and as JSON, metrics, logs with job ids; and the
terminal's `generate`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from syncam_engine.devtools.harness import sample_request, wait_until
from syncam_engine.devtools.soak.floods import still_open
from syncam_engine.link import rig_json
from syncam_engine.service.metrics import MOST_ASKING

from .conftest import STUB
from .test_engine import run

pytestmark = pytest.mark.processes


def syncam(engine, *arguments, status=0):
    said = subprocess.run(
        [sys.executable, "-m", "syncam_engine.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**engine.environment, "SYNCAM_STATE_DIR": str(engine.state_dir), "COLUMNS": "200"},
    )
    assert said.returncode == status, said.stderr
    return said


def write_rig(path, views=2):
    return rig_json.write_rig(rig_json.rig_from_dict(sample_request(views).rig), path)


def test_status_and_log(engine, client):
    done, _ = run(client, sample_request(2, prompt="a seen job"))
    text = syncam(engine, "status").stdout
    assert done.job_id[:8] not in text  # somebody else's job: its id is not shown
    assert "ready" in text
    data = json.loads(syncam(engine, "status", "--json").stdout)
    assert data["status"]["done"] == 1
    assert data["jobs"][0]["state"] == "done"
    lines = (engine.state_dir / "logs" / "engine.log").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    mine = [line["text"] for line in said if line.get("job") == done.job_id]
    assert mine == ["job accepted", "job started", "job done"]


def test_generate_from_a_terminal(engine, tmp_path):
    rig = write_rig(tmp_path / "rig.json")
    out = tmp_path / "out"
    arguments = ["generate", "--rig", rig, "--prompt", "a test", "--frames", 5, "--steps", 3]
    said = syncam(engine, *arguments, "--out", out, "--seed", 9)
    assert "2 clips" in said.stdout
    result = json.loads((out / "result.json").read_text())
    assert result["seed"] == 9
    assert [c["camera"] for c in result["clips"]] == ["cam01", "cam02"]
    assert all(Path(c["path"]).stat().st_size > 100 for c in result["clips"])
    assert {"engine_start", "sample", "decode", "total"} <= set(result["seconds"])
    # A second run with the same job id finds the same job.
    for _ in range(2):
        again = syncam(engine, *arguments, "--out", out, "--job-id", "j" * 8, "--json")
        assert json.loads(again.stdout)["job_id"] == "j" * 8
    error = syncam(engine, *arguments, "--out", out, "--size", "99x98", status=2).stderr
    assert "99x98" in error
    assert "Use 160x96" in error
    missing = ["generate", "--rig", tmp_path / "no", "--prompt", "x", "--out", out]
    error = syncam(engine, *missing, status=2)
    assert "cannot be read" in error.stderr


def test_status_without_an_engine(make_engine):
    engine = make_engine(start=False)
    error = syncam(engine, "status", "--timeout", "0.5", status=2).stderr
    assert "No engine answers" in error
    assert "fix: syncam serve" in error


def test_generate_starts_an_engine(make_engine, tmp_path):
    """With none running it starts one, which stays for the next."""
    engine = make_engine(start=False)
    rig = write_rig(tmp_path / "rig.json")
    # The engine runs in its state folder; the stub is importable from the project's.
    root = Path(__file__).parents[2]
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec {sys.executable} "$@" --pipeline {STUB}\n'
    )
    python.chmod(0o755)
    engine.environment["SYNCAM_ENGINE_PYTHON"] = str(python)
    arguments = ["generate", "--rig", rig, "--prompt", "a test", "--frames", 5, "--out", tmp_path]
    try:
        assert "2 clips" in syncam(engine, *arguments).stdout
    finally:
        pid = engine.info().get("pid")
        if pid:
            os.kill(pid, 15)
            wait_until(lambda: not engine.info(), 20)


def test_metrics(make_engine):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    engine = make_engine("--metrics-port", str(port))
    run(engine.client(), sample_request(2))
    run(engine.client(), sample_request(2, prompt="broken"))

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            return page.read().decode()

    # They are brought up to date every few seconds: what came last is there when all is.
    wait_until(lambda: 'syncam_failures_total{code="job.failed"} 1.0' in scrape(), 60, scrape)
    text = scrape()
    assert 'syncam_jobs{state="done"} 1.0' in text
    assert 'syncam_messages_total{type="submit"} 2.0' in text
    assert 'syncam_phase_seconds_total{phase="sample"}' in text
    assert "syncam_worker_memory_bytes" in text
    # Any user of the machine may connect there: it must not cost the engine its files and threads.
    server = psutil.Process(engine.server_pid())
    files = server.num_fds() if hasattr(server, "num_fds") else 0
    strangers = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(3 * MOST_ASKING)]
    wait_until(lambda: still_open(strangers) <= MOST_ASKING, 30)
    if files:
        assert server.num_fds() <= files + MOST_ASKING + 2
    wait_until(lambda: still_open(strangers) == 0, 60)
    assert "syncam_jobs" in scrape()
    for one in strangers:
        one.close()
