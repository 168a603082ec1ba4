# SPDX-License-Identifier: Apache-2.0
"""The parts of the server, one by one, without processes."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import sys

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from syncam_engine.devtools.harness import sample_request
from syncam_engine.service.estimate import Estimator
from syncam_engine.service.fairness import fair_order
from syncam_engine.service.jobs import fingerprint_of
from syncam_engine.service.logs import JsonLines, start_logging
from syncam_engine.service.memory import is_out_of_memory, out_of_memory
from syncam_engine.service.supervisor import Supervisor, WorkerPlan


@dataclasses.dataclass
class Waiter:
    id: str
    owner: str
    place: float
    priority: int = 0


WAITERS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 1)), max_size=25).map(
    lambda rows: [Waiter(f"{k:03d}", o, float(k), p) for k, (o, p) in enumerate(rows)]
)


@settings(max_examples=200, deadline=None)
@given(jobs=WAITERS, served=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)))
def test_fair_order_is_a_fair_permutation(jobs, served):
    order = fair_order(jobs, served)
    assert sorted(order) == sorted(job.id for job in jobs)
    by_id = {job.id: job for job in jobs}
    ranked = [by_id[k] for k in order]
    assert [j.priority for j in ranked] == sorted((j.priority for j in ranked), reverse=True)
    for priority in {j.priority for j in jobs}:
        lane = [j for j in ranked if j.priority == priority]
        counts = {owner: 0 for owner in "abcd"}
        left = {o: sum(j.owner == o for j in lane) for o in "abcd"}
        for job in lane:
            counts[job.owner] += 1
            left[job.owner] -= 1
            # Nobody with work left is more than one turn behind the one just served.
            behind = [counts[o] for o in "abcd" if left[o] > 0]
            assert all(counts[job.owner] - c <= 1 for c in behind)
        for owner in "abcd":
            places = [j.place for j in lane if j.owner == owner]
            assert places == sorted(places)


def test_whoever_was_served_longest_ago_goes_first():
    jobs = [Waiter("1", "a", 1), Waiter("2", "b", 2), Waiter("3", "c", 3)]
    assert fair_order(jobs, {"a": 5, "b": 2, "c": 9}) == ["2", "1", "3"]


def test_workers_log_is_cut_while_it_is_held_open(tmp_path):
    context = zmq.Context()
    plan = WorkerPlan(preset="preview", presets={}, pipeline="a:b", preload=False)
    log = tmp_path / "worker.log"
    nothing = lambda *_: None  # noqa: E731
    supervisor = Supervisor(context, f"inproc://{id(plan)}", log, plan, nothing, nothing)
    with open(log, "ab") as held:
        held.write(b"x" * 5_000_001)
        held.flush()
        supervisor.rotate_log()
        held.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "worker.log.1").stat().st_size == 5_000_001
    supervisor.rotate_log()
    assert log.read_bytes() == b"after"
    supervisor.close()
    context.destroy(linger=0)


def test_estimates_follow_the_work():
    estimator = Estimator()
    request = sample_request(2, width=160, height=96, steps=10)
    assert estimator.whole_s(request) is None
    estimator.learn(request, {"sample": 20.0, "decode": 3.0, "write": 1.0, "total": 24.0})
    assert estimator.whole_s(request) == pytest.approx(24.0)
    double = sample_request(4, width=160, height=96, steps=10)
    assert estimator.whole_s(double) == pytest.approx(48.0)
    more_steps = sample_request(2, width=160, height=96, steps=20)
    assert estimator.whole_s(more_steps) == pytest.approx(44.0)
    assert estimator.left_s("j", request, 4, 10) == pytest.approx(6 * 2.0 + 4.0)


def test_engine_on_a_terminal_says_what_happens_in_words(tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        start_logging(tmp_path / "engine.log")
    logging.getLogger("syncam.test").info("job %s", "started", extra={"job": "1a2b3c4d5e6f"})
    assert terminal.getvalue().endswith(" job started (1a2b3c4d)\n")
    start_logging(tmp_path / "engine.log")
    logging.getLogger("syncam.test").info("not on a terminal")
    assert "not on" not in terminal.getvalue()


def test_log_lines_are_json_with_the_job(tmp_path):
    start_logging(tmp_path / "logs" / "engine.log", megabytes=1, files=2)
    logger = logging.getLogger("syncam.test")
    logger.info("job %s", "starts", extra={"job": "j1", "worker": None})
    try:
        raise ValueError("deep")
    except ValueError:
        logger.exception("fault")
    lines = (tmp_path / "logs" / "engine.log").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["text"], first["job"], first["level"]) == ("job starts", "j1", "info")
    assert "worker" not in first
    assert "ValueError: deep" in second["details"]
    for _ in range(4000):
        logger.info("x" * 1000)
    files = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert files == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(p.stat().st_size <= 1_001_000 for p in (tmp_path / "logs").iterdir())
    logging.getLogger("syncam").handlers[:] = []


def test_json_lines_keep_any_text():
    record = logging.LogRecord("syncam.x", logging.INFO, "", 0, 'quo"te\nünï', (), None)
    assert json.loads(JsonLines().format(record))["text"] == 'quo"te\nünï'


class OutOfMemoryError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_out_of_memory_is_known_by_its_kinds(error, expected):
    assert is_out_of_memory(error) is expected


def test_out_of_memory_says_what_would_fit():
    one = sample_request(1, width=160, height=96, frames=81)
    assert out_of_memory("decode", one).nearest == {"frames": 37}
    assert out_of_memory("load", None).code == "device.out_of_memory"


def test_fingerprint_is_of_the_content():
    request = sample_request(2)
    turned = sample_request(2, job_id=request.job_id)
    turned.rig = dict(reversed(list(turned.rig.items())))
    assert fingerprint_of(turned) == fingerprint_of(request)
    turned.seed += 1
    assert fingerprint_of(turned) != fingerprint_of(request)
