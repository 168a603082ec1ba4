# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, and databases and results that are damaged: mended, made again, or said."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3

import pytest

from syncam_engine.devtools.harness import follow, sample_request, wait_until
from syncam_engine.link.messages import Done

from .held_jobs import digests, held, let_go, stay
from .test_engine import answer, reach_step, run

pytestmark = pytest.mark.processes


def test_full_disk_refuses_the_new_and_keeps_the_old(make_engine):
    engine = make_engine()
    client = engine.client()
    old, _ = run(client, sample_request(2))
    engine.stop()
    engine.arguments += ["--reserve-mb", "1000000000"]
    engine.start()
    refused, _ = run(client, sample_request(2))
    assert refused.error.code == "disk.full"
    assert "MiB" in refused.error.sentence
    digests(engine, old)
    client.watch(old.job_id)
    ends, _ = follow(client, [old.job_id])
    assert ends[old.job_id].clips == old.clips
    assert any("disk is full" in note for note in engine.status().notes)


def test_disk_that_fills_during_a_job(make_engine):
    engine = make_engine()
    failed, _ = run(engine.client(), sample_request(2, prompt="full"))
    assert failed.error.code == "disk.full"
    assert isinstance(run(engine.client(), sample_request(2))[0], Done)


def damaged_databases():
    def cut(path):
        os.truncate(path, path.stat().st_size // 2)

    def scribble(path):
        with open(path, "r+b") as file:
            file.write(b"\xff" * 8192)

    def remove(path):
        path.unlink()

    def only_the_journal(path):
        journal = path.with_name(path.name + "-wal")
        if journal.exists():
            os.truncate(journal, journal.stat().st_size // 2)

    return [cut, scribble, remove, only_the_journal]


@pytest.mark.parametrize("damage", damaged_databases(), ids=lambda f: f.__name__)
def test_damaged_database_is_mended_from_the_folders(make_engine, damage):
    engine = make_engine()
    client = engine.client()
    old, _ = run(client, sample_request(2, seed=1))
    cancelled = held(seed=2)
    client.submit(cancelled)
    reach_step(client, cancelled.job_id, 1)
    client.cancel(cancelled.job_id)
    follow(client, [cancelled.job_id])
    let_go(engine)
    wait_until(lambda: engine.status(client).workers[0].state == "ready", 60, engine.said)
    stay(engine)
    waiting = [held(seed=3), sample_request(1, seed=4)]
    for request in waiting:
        client.submit(request)
    reach_step(client, waiting[0].job_id, 1)
    assert engine.process.poll() is None
    engine.kill()
    damage(engine.state_dir / "jobs.sqlite")
    let_go(engine)
    engine.start()
    ends, _ = follow(client, [r.job_id for r in waiting])
    assert all(isinstance(end, Done) for end in ends.values())
    for job_id in (old.job_id, cancelled.job_id):
        client.watch(job_id)
    ends, _ = follow(client, [old.job_id, cancelled.job_id])
    assert ends[old.job_id].clips == old.clips
    assert ends[cancelled.job_id].cancelled
    total = answer(client, client.ask_jobs(mine=True)).total
    assert total == 4


def test_half_written_and_damaged_results_are_not_believed(make_engine):
    engine = make_engine()
    client = engine.client()
    reference, _ = run(client, sample_request(2, seed=8))
    engine.stop()
    # As if the server had died before it heard of the result: open in the database, whole on disk,
    # then with a clip damaged, then half written under its temporary name.
    for kind in ("whole", "damaged", "part"):
        with sqlite3.connect(engine.state_dir / "jobs.sqlite") as db:
            db.execute("UPDATE jobs SET state = 'running', done = NULL")
        db.close()
        result = engine.clip_file(reference, 0).parent
        if kind == "damaged":
            with open(engine.clip_file(reference, 1), "r+b") as file:
                file.seek(100)
                file.write(b"\0\xff" * 20)
        if kind == "part":
            shutil.move(result, result.with_name("attempt-1.part"))
        engine.start()
        client.watch(reference.job_id)
        ends, _ = follow(client, [reference.job_id])
        assert digests(engine, ends[reference.job_id]) == [c.digest for c in reference.clips]
        engine.stop()
    assert not list((engine.state_dir / "jobs" / reference.job_id).glob("*.part"))


def test_result_that_is_not_what_was_written_is_made_again_and_in_the_end_given_up(make_engine):
    engine = make_engine()
    client = engine.client()
    request = sample_request(2, prompt="spoil-once", seed=8)
    folder = engine.state_dir / "jobs" / request.job_id
    done, _ = run(client, request)
    assert digests(engine, done) == [clip.digest for clip in done.clips]
    assert len(list(folder.glob("damaged-*"))) == 1
    request = sample_request(2, prompt="spoil", seed=8)
    failed, _ = run(client, request)
    assert failed.error.code == "result.damaged"
    name, size, wanted = re.search(
        r"damaged on the engine's disk 3 times \(the last time: (\S+) has (\d+) bytes, not (\d+)\)",
        failed.error.sentence,
    ).groups()
    assert (name[-4:], int(size)) == (".mp4", int(wanted) - 1)
    assert not (engine.state_dir / "jobs" / request.job_id / "result").exists()
    # Nothing waits to be written, and the next job is as any other.
    assert isinstance(run(client, sample_request(2))[0], Done)
    assert engine.status(client).running == 0
    log = (engine.state_dir / "logs" / "engine.log").read_text()
    assert "will retry" not in log
    engine.stop()
    engine.start()
    client.watch(request.job_id)
    ends, _ = follow(client, [request.job_id])
    assert ends[request.job_id].error == failed.error
