# SPDX-License-Identifier: Apache-2.0
"""Several `--device`: a worker on each, jobs side by side, and one's death is not the other's."""

from __future__ import annotations

import json
import os
import signal

import pytest

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link.messages import Done, Phase

from .test_engine import run

pytestmark = pytest.mark.processes


@pytest.fixture
def two(make_engine):
    """An engine whose two workers are both ready."""
    engine = make_engine("--device", "cpu", "--device", "cpu", "--hang-s", "600")
    client = engine.client()
    wait_until(
        lambda: [w.state for w in engine.status(client).workers] == ["ready", "ready"],
        120,
        engine.said,
    )
    return engine, client


def held(name, steps=6):
    """A job that stays in its sampling until it is let go."""
    return sample_request(2, prompt=f"{name} hold", steps=steps, seed=len(name))


def let_go(engine):
    (engine.folder / "go").touch()


def busy_jobs(engine, client):
    return {w.job_id: w.pid for w in engine.status(client).workers if w.state == "busy"}


def test_one_workers_death_leaves_the_other_at_work(two):
    engine, client = two
    workers = engine.status(client).workers
    assert len({worker.pid for worker in workers}) == 2
    assert [worker.index for worker in workers] == [0, 1]
    jobs = [held("left"), held("right side")]
    for job in jobs:
        client.submit(job)
    ids = {job.job_id for job in jobs}
    # Neither can end yet, so both run at once or never.
    wait_until(lambda: set(busy_jobs(engine, client)) == ids, 60, engine.said)
    assert engine.status(client).running == 2
    victim, other = jobs
    running = busy_jobs(engine, client)
    os.kill(running[victim.job_id], signal.SIGKILL)
    wait_until(lambda: sum(w.restarts for w in engine.status(client).workers) == 1, 60)
    # It is given to the worker that takes the dead one's place, beside the one that goes on.
    wait_until(lambda: set(busy_jobs(engine, client)) == ids, 60, engine.said)
    assert busy_jobs(engine, client)[other.job_id] == running[other.job_id]
    let_go(engine)
    ends, events = follow(client, ids)
    assert all(isinstance(end, Done) for end in ends.values())
    log = (engine.state_dir / "logs" / "engine.log").read_text().splitlines()
    started = [x["job"] for x in map(json.loads, log) if x["text"] == "job started"]
    assert started.count(victim.job_id) == 2
    assert started.count(other.job_id) == 1
    attempts = {e.job_id: e.attempt for e in events if isinstance(e, Phase)}
    assert attempts == {victim.job_id: 2, other.job_id: 1}
    # The same clips as alone.
    for job in jobs:
        alone, _ = run(client, sample_request(2, prompt=job.prompt, steps=job.steps, seed=job.seed))
        assert [c.digest for c in alone.clips] == [c.digest for c in ends[job.job_id].clips]
