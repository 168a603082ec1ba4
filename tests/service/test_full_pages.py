# SPDX-License-Identifier: Apache-2.0
"""More jobs than one answer holds: pages of them, and news of them, by their bytes."""

from __future__ import annotations

import json
import time

import pytest

from syncam_engine.devtools.harness import follow, sample_request
from syncam_engine.link import limits
from syncam_engine.link.endpoint import stored_client_id
from syncam_engine.link.messages import ErrorInfo, Failed
from syncam_engine.service.patient_disk import StillWriting
from syncam_engine.service.store import Store

from .test_engine import answer
from .test_jobs_command import ask
from .test_store import make_job

pytestmark = pytest.mark.processes

JOBS = 120
PROMPT = "🦊" * 4000
VALUE = ["x" * limits.MAX_TEXT_CHARS] * 5
"""2.4 MB of them all, and 4.3 MB with the prompts."""


@pytest.fixture
def full(make_engine):
    """An engine with ended jobs of the terminal's that do not fit into one message."""
    engine = make_engine(start=False)
    owner = f"local:{stored_client_id('terminal')}"
    store = Store(engine.state_dir)
    jobs = [
        make_job(owner=owner, place=float(k), request=sample_request(1, prompt=PROMPT))
        for k in range(JOBS)
    ]
    for job in jobs:
        while True:
            try:
                store.add(job)
                break
            except StillWriting:  # a busy disk; the next call finds what was written
                time.sleep(0.2)
        store.end(job, "failed", ErrorInfo(code="job.failed", sentence="It broke.", value=VALUE))
    store.close()
    engine.start()
    return engine, [job.id for job in jobs]


def test_jobs_that_do_not_fit_one_answer_are_listed_named_and_removed(full, capsys):
    engine, ids = full
    assert JOBS * sum(map(len, VALUE)) > limits.MAX_FRAME_BYTES
    status, said, _ = ask(capsys, engine, "list", "--all", "--json")
    assert status == 0
    assert [job["job_id"] for job in json.loads(said)["jobs"]] == ids
    status, said, _ = ask(capsys, engine, "list", "--limit", "90", "--json")
    assert [job["job_id"] for job in json.loads(said)["jobs"]] == ids[-90:]
    status, _, error = ask(capsys, engine, "cancel", "zzzz0000")
    assert status == 2
    assert "There is no job zzzz0000; the nearest is" in error
    status, said, _ = ask(capsys, engine, "remove", "--ended", "--json")
    assert status == 0
    assert {job["job_id"] for job in json.loads(said)["jobs"]} == set(ids)
    assert list((engine.state_dir / "jobs").iterdir()) == []


def test_client_that_comes_back_hears_of_more_ends_than_one_answer_holds(full):
    engine, ids = full
    client = engine.client(client_id=stored_client_id("terminal"))
    for job_id in ids:
        client.watch(job_id)
    ends, _ = follow(client, ids)
    assert all(isinstance(end, Failed) and end.error.value == VALUE for end in ends.values())


def test_strangers_learn_no_ids(engine, client, let_go):
    job_id = client.submit(sample_request(prompt="hold"))
    while not any(w.job_id for w in engine.status(client).workers):
        client.poll()
    stranger = engine.client()
    status = engine.status(stranger)
    assert [(w.state, w.job_id) for w in status.workers] == [("busy", "")]
    listed = answer(stranger, stranger.ask_jobs())
    assert [(job.job_id, job.views) for job in listed.jobs] == [("", 2)]
    assert answer(stranger, stranger.ask_jobs(begins=job_id[:3])).jobs == []
    let_go()
    follow(client, [job_id])
