# SPDX-License-Identifier: Apache-2.0
"""A day of jobs while worker, server and clients are killed at random moments."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request, wait_until
from syncam_engine.link.messages import Done, GenerateRequest
from syncam_engine.service.files import digest_of

from .actor import read_lines
from .blows import Blows, give_jumping_clock
from .findings import Finding

CLIENTS = 3
SEEDS = 5
AT_ONCE = 6
HANG_S = 4.0


def soak_faults(kills: int, seed: int, pipeline: str) -> Finding:
    """Kill each of worker, server and client `kills` times, with a twentieth as many of each other
    kind of blow (`soak.blows`) between them."""
    others = max(1, kills // 20)
    finding = Finding(
        "faults",
        "200 kills each of worker, server and client; stopped processes, all killed at once, "
        "truncated database and journal, clock jumps",
        f"{kills} kills of each, {others} of each other kind",
    )
    # The day is full of kills, so a job may meet several that are not its own fault.
    arguments = ("--max-deaths", "1000", "--hang-s", str(HANG_S), "--max-jobs", "1000")
    engine = LocalEngine(*arguments, pipeline=pipeline)
    give_jumping_clock(engine)
    actors: list[_Actor] = []
    blows: Blows | None = None
    start_s = time.monotonic()
    try:
        engine.start()
        expected = _references(engine)
        # More work than the day has time for, so that there is always some left to be hit.
        plans = [_plan(k, 100 + kills * 40) for k in range(CLIENTS)]
        actors = [_Actor(engine, k, plan) for k, plan in enumerate(plans)]
        blows = Blows(engine, actors, random.Random(seed))
        blows.deal(kills, others)
        busy = [actor for actor in actors if not actor.ended()]
        if len(busy) < CLIENTS:
            finding.fault("a client had nothing left to do before the last blow")
        for actor in actors:
            (actor.folder / "enough").touch()
        limit_s = 120 + 10 * kills
        wait_until(lambda: all(actor.ended() for actor in actors), limit_s, engine.said)
        sent = {line["job"] for actor in actors for line in read_lines(actor.folder / "sent.jsonl")}
        jobs = [request for plan in plans for request in plan if request.job_id in sent]
        # Stopped cleanly: the database is settled.
        engine.stop()
        _judge(finding, engine, actors, jobs, expected)
        finding.figures.update(
            {"jobs": len(jobs), **blows.counts, "seconds": time.monotonic() - start_s}
        )
    except TimeoutError as error:
        finding.fault(str(error)[:2000])
    finally:
        for actor in actors:
            actor.kill()
        if blows is not None:
            blows.end()
        engine.close()
    return finding


class _Actor:
    def __init__(self, engine: LocalEngine, index: int, plan: list[GenerateRequest]) -> None:
        self.folder = engine.folder / f"client-{index}"
        self.folder.mkdir()
        self.index = index
        self._engine = engine
        data = {
            "client_id": f"{index:032x}",
            "state_dir": str(engine.state_dir),
            "at_once": AT_ONCE,
            "requests": msgspec.to_builtins(plan),
        }
        (self.folder / "plan.json").write_text(json.dumps(data))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "syncam_engine.devtools.soak.actor", str(self.folder)],
            env=self._engine.environment,
        )

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> bool:
        return self.process.poll() == 0


def _request(seed: int) -> GenerateRequest:
    return sample_request(1, prompt="a day sleep=0.03", seed=seed % SEEDS, steps=6, frames=1)


def _plan(index: int, count: int) -> list[GenerateRequest]:
    return [
        msgspec.structs.replace(_request(index + k), job_id=f"c{index}-{k:05d}")
        for k in range(count)
    ]


def _references(engine: LocalEngine) -> dict[int, list[str]]:
    """What each seed gives undisturbed."""
    client = engine.client()
    requests = [_request(seed) for seed in range(SEEDS)]
    for request in requests:
        client.submit(request)
    ends, _ = follow(client, [r.job_id for r in requests], 120)
    references = {}
    for request in requests:
        end = ends[request.job_id]
        if not isinstance(end, Done):
            raise TimeoutError(f"the undisturbed job failed: {end}")
        references[request.seed] = [clip.digest for clip in end.clips]
    return references


def _judge(
    finding: Finding,
    engine: LocalEngine,
    actors: list[_Actor],
    jobs: list[GenerateRequest],
    expected: dict[int, list[str]],
) -> None:
    """Zero lost, zero doubled, zero corrupt, order kept."""
    with sqlite3.connect(engine.state_dir / "jobs.sqlite") as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            finding.fault("the database is damaged")
        states = dict(db.execute("SELECT id, state FROM jobs"))
    db.close()
    told: dict[str, list[str]] = {}
    for actor in actors:
        for end in read_lines(actor.folder / "ends.jsonl"):
            if end["job"] in told:
                finding.fault(f"{end['job']} was told to have ended twice")
            told[end["job"]] = end.get("digests", [end.get("error")])
    for request in jobs:
        state = states.get(request.job_id, "lost")
        if state != "done":
            finding.fault(f"{request.job_id} is {state}")
            continue
        folder = engine.state_dir / "jobs" / request.job_id / "result"
        files = [digest_of(path) for path in sorted(folder.glob("*.mp4"))]
        if files != expected[request.seed]:
            finding.fault(f"{request.job_id} has other clips than undisturbed")
        if told.get(request.job_id) != files:
            finding.fault(f"{request.job_id}: the client was told {told.get(request.job_id)}")
    extra = set(states) - {r.job_id for r in jobs}
    if len(extra) != SEEDS:
        finding.fault(f"{len(extra) - SEEDS} jobs that nobody sent")
    leftovers = list((engine.state_dir / "jobs").glob("*/*.part"))
    finding.figures["half-written results left"] = len(leftovers)
    _judge_order(finding, engine.state_dir / "logs", {request.job_id for request in jobs})


def _judge_order(finding: Finding, logs: Path, sent: set[str]) -> None:
    """First attempts of one client's jobs (of `sent`) began in the order of their acceptance."""
    attempts = 0
    accepted: dict[str, list[str]] = {}
    started: dict[str, list[str]] = {}
    for path in sorted(logs.glob("engine.log*"), reverse=True):
        for line in path.read_text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            job = said.get("job", "")
            if job not in sent:  # the undisturbed ones, whose random ids may look like these
                continue
            if said["text"] == "job accepted":
                accepted.setdefault(job[:2], []).append(job)
            elif said["text"] == "job started":
                attempts += 1
                if said["attempt"] == 1:
                    started.setdefault(job[:2], []).append(job)
    for owner, order in accepted.items():
        # An index that was lost counts attempts anew.
        firsts = [job for job in dict.fromkeys(started.get(owner, [])) if job in set(order)]
        if firsts != [job for job in order if job in set(firsts)]:
            finding.fault(f"the jobs of client {owner} began out of order")
    finding.figures["accepted"] = sum(map(len, accepted.values()))
    finding.figures["attempts"] = attempts
