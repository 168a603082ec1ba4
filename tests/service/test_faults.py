# SPDX-License-Identifier: Apache-2.0
"""The engine broken on purpose: killed, hung, away for long. No job may be lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link.client import Lost
from syncam_engine.link.launch import EXIT_ENGINE_RUNS
from syncam_engine.link.messages import Done, Failed, Phase, Progress, Queued
from syncam_engine.media.read import read_clip
from syncam_engine.media.write import write_mp4

from .held_jobs import digests, held, let_go
from .test_engine import answer, reach_step, run

pytestmark = pytest.mark.processes


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_worker_killed_runs_again_to_the_same_clip(make_engine):
    engine = make_engine()
    client = engine.client()
    request = held()
    client.submit(request)
    reach_step(client, request.job_id, 3)
    worker = engine.worker_pid()
    assert worker  # 0 is everybody of this test's own process group
    os.kill(worker, signal.SIGKILL)
    let_go(engine)
    ends, events = follow(client, [request.job_id])
    undisturbed, _ = run(client, held())
    assert digests(engine, ends[request.job_id]) == digests(engine, undisturbed)
    assert {e.attempt for e in events if isinstance(e, Phase)} == {2}
    assert not any(isinstance(e, Lost) for e in events)


def test_server_killed_and_started_again(make_engine):
    engine = make_engine()
    client = engine.client()
    first, _ = run(client, sample_request(2, seed=1))
    kept = digests(engine, first)
    running, waiting = held(seed=2), [sample_request(1, seed=k) for k in range(3)]
    worker = engine.worker_pid()
    for request in (running, *waiting):
        client.submit(request)
    reach_step(client, running.job_id, 1)
    engine.kill()
    wait_until(lambda: any(isinstance(e, Lost) for e in client.wait(0.1)), 20, "no Lost")
    assert client.state == "lost"
    wait_until(lambda: not is_alive(worker), 20, "the worker outlived its server")
    let_go(engine)
    engine.start()
    ids = [running.job_id, *(r.job_id for r in waiting)]
    ends, events = follow(client, ids)
    assert all(isinstance(end, Done) for end in ends.values())
    # The interrupted one first, then the others in their order.
    assert [e.job_id for e in events if isinstance(e, Done)] == ids
    assert digests(engine, first) == kept
    again, _ = run(client, held(seed=2))
    assert digests(engine, ends[running.job_id]) == digests(engine, again)


def test_inputs_survive_with_their_job(make_engine, tmp_path):
    engine = make_engine()
    client = engine.client()
    write_mp4(tmp_path / "r.mp4", np.full((9, 96, 160, 3), 180, np.uint8), Fraction(8))
    blocker = sample_request(1, prompt="hold", steps=2)
    reference = sample_request(2, mode="reference")
    client.submit(blocker)
    client.submit(reference, [tmp_path / "r.mp4"])
    wait_until(
        lambda: any(
            isinstance(e, Queued) and e.job_id == reference.job_id for e in client.wait(0.1)
        ),
        60,
        engine.said,
    )
    engine.kill()
    let_go(engine)
    engine.start()
    ends, _ = follow(client, [blocker.job_id, reference.job_id])
    done = ends[reference.job_id]
    assert isinstance(done, Done), done
    assert abs(read_clip(engine.clip_file(done, 0)).frames_THW3.mean() - 180) < 3


def test_everything_killed_at_once(make_engine):
    engine = make_engine()
    owner = "a" * 32
    request, worker = held(seed=5), engine.worker_pid()
    let_go(engine)
    script = (
        "import sys, msgspec; from pathlib import Path\n"
        "from syncam_engine.link.client import EngineClient\n"
        "from syncam_engine.link.messages import GenerateRequest, Queued\n"
        "request = msgspec.json.decode(sys.stdin.buffer.read(), type=GenerateRequest)\n"
        "client = EngineClient(state_dir=Path(sys.argv[1]), client_id=sys.argv[2])\n"
        "client.submit(request)\n"
        "while True:\n"
        "    for event in client.wait(1.0):\n"
        "        if isinstance(event, Queued): print('queued', flush=True)\n"
    )
    import msgspec

    host = subprocess.Popen(
        [sys.executable, "-c", script, str(engine.state_dir), owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    host.stdin.write(msgspec.json.encode(request))
    host.stdin.close()
    assert host.stdout.readline() == b"queued\n"
    for pid in (host.pid, worker, engine.process.pid):
        if pid:
            os.kill(pid, signal.SIGKILL)
    host.wait()
    host.stdout.close()
    engine.process.wait()
    engine.start()
    back = engine.client(client_id=owner)
    back.watch(request.job_id)
    ends, _ = follow(back, [request.job_id])
    assert isinstance(ends[request.job_id], Done)


def test_job_that_kills_its_worker_is_given_up(make_engine):
    engine = make_engine()
    client = engine.client()
    poisoned, after = sample_request(2, prompt="crash"), sample_request(2)
    client.submit(poisoned)
    client.submit(after)
    ends, _ = follow(client, [poisoned.job_id, after.job_id])
    assert ends[poisoned.job_id].error.code == "job.poisoned"
    assert "SIGKILL" in ends[poisoned.job_id].error.sentence
    assert isinstance(ends[after.job_id], Done)
    once, _ = run(client, sample_request(2, prompt="crash-once"))
    assert isinstance(once, Done)


def test_hanging_worker_is_replaced(make_engine):
    engine = make_engine("--hang-s", "5")
    client = engine.client()
    once, _ = run(client, sample_request(2, prompt="hang-once"))
    assert isinstance(once, Done)
    failed, _ = run(client, sample_request(2, prompt="hang"))
    assert failed.error.code == "job.hung"
    assert isinstance(run(client, sample_request(2))[0], Done)


def test_stalled_worker_is_replaced(make_engine):
    engine = make_engine("--stall-s", "6", "--max-deaths", "1")
    client = engine.client()
    failed, _ = run(client, sample_request(2, prompt="stall"))
    assert failed.error.code == "job.hung"
    assert "no step for 6 s" in failed.error.sentence
    assert isinstance(run(client, sample_request(2))[0], Done)


def test_status_is_answered_while_the_worker_hangs(make_engine):
    engine = make_engine("--hang-s", "600")
    client = engine.client()
    request = sample_request(2, prompt="hang")
    client.submit(request)

    def stopped():  # its last words may still be in it, so its own state is asked for
        client.poll()
        pid = engine.worker_pid()
        return pid and psutil.Process(pid).status() == psutil.STATUS_STOPPED

    wait_until(stopped, 60, "the worker never stopped")
    status = engine.status()
    assert (status.running, status.workers[0].state) == (1, "busy")
    assert status.workers[0].memory_free_mb > 0
    client.cancel(request.job_id)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].cancelled


def test_second_engine_on_the_same_jobs_is_refused(make_engine):
    engine = make_engine()
    said = subprocess.run(
        [sys.executable, "-m", "syncam_engine.cli", "serve", "--state-dir", engine.state_dir],
        capture_output=True,
        text=True,
        env=engine.environment,
        timeout=60,
    )
    assert said.returncode == EXIT_ENGINE_RUNS
    assert f"process {engine.process.pid}" in said.stderr
    assert engine.status().pid == engine.process.pid


def test_device_is_yielded_and_taken_again(make_engine):
    engine = make_engine("--yield-gpu", "0.5")
    client = engine.client()
    assert isinstance(run(client, sample_request(2))[0], Done)
    wait_until(lambda: engine.status(client).workers[0].state == "yielded", 30)
    assert engine.status(client).workers[0].pid == 0
    assert isinstance(run(client, sample_request(2))[0], Done)
    answer(client, client.yield_device(hold_s=600))
    request = sample_request(2)
    client.submit(request)
    wait_until(lambda: engine.status(client).workers[0].state == "yielded", 30)
    status = engine.status(client)
    assert (status.queued, status.running) == (1, 0)
    assert any("left to other programs" in note for note in status.notes)
    answer(client, client.yield_device())
    ends, _ = follow(client, [request.job_id])
    assert isinstance(ends[request.job_id], Done)


def test_slow_client_catches_up(make_engine):
    """A client that did not read while its job ran is told the end by `sync`."""
    engine = make_engine()
    client = engine.client()
    request = sample_request(4, prompt="chatty sleep=0.02", steps=40)
    client.submit(request)
    reach_step(client, request.job_id, 1)
    other = engine.client(client_id=client.client_id)
    other.watch(request.job_id)
    follow(other, [request.job_id])
    ends, events = follow(client, [request.job_id])
    assert isinstance(ends[request.job_id], Done)
    steps = [e.step for e in events if isinstance(e, Progress)]
    assert steps == sorted(steps)


def test_failed_is_kept_over_a_restart(make_engine):
    engine = make_engine()
    client = engine.client()
    failed, _ = run(client, sample_request(2, prompt="broken"))
    engine.kill()
    engine.start()
    client.watch(failed.job_id)
    ends, _ = follow(client, [failed.job_id])
    assert isinstance(ends[failed.job_id], Failed)
    assert ends[failed.job_id].error == failed.error


def test_engine_that_nobody_uses_ends_when_it_was_told_to(make_engine):
    engine = make_engine("--exit-when-idle", "3")
    client = engine.client()
    assert isinstance(run(client, sample_request(2))[0], Done)
    client.wait(2.0)
    assert engine.process.poll() is None  # a client is there
    client.close()
    assert engine.process.wait(90) == 0
    assert engine.info() == {}
