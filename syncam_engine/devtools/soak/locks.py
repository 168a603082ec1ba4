# SPDX-License-Identifier: Apache-2.0
"""Another program that locks the engine's database: while it runs, and before it starts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request, wait_until
from syncam_engine.link.messages import Done

from .answers import Asker
from .findings import Finding

LONGEST_MS = 5000.0
_LOCKER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=0.0, isolation_level=None)
held = refused = 0
for _ in range(int(sys.argv[2])):
    for how in ("BEGIN EXCLUSIVE", "BEGIN IMMEDIATE", "SELECT * FROM jobs"):
        try:
            db.execute(how).fetchall()
        except sqlite3.OperationalError:
            refused += 1
        else:
            held += 1
            time.sleep(1.0)
            if db.in_transaction:
                db.execute("ROLLBACK")
    time.sleep(0.05)
print(held, refused)
"""


def soak_locks(tries: int, pipeline: str) -> Finding:
    """Jobs and questions while a program tries to lock the database; then a start while it does."""
    finding = Finding(
        "locks",
        "300 tries to lock the database: none makes anybody wait, none loses a job, a start over a "
        "locked one says so",
        f"{tries} tries",
    )
    engine = LocalEngine(pipeline=pipeline)
    database = engine.state_dir / "jobs.sqlite"
    try:
        engine.start()
        client = engine.client()
        locker = subprocess.Popen(
            [sys.executable, "-c", _LOCKER, str(database), str(tries)],
            stdout=subprocess.PIPE,
            text=True,
        )
        asker = Asker(engine)
        asking = threading.Thread(target=lambda: _ask_while(locker, asker))
        asking.start()
        job_ids = []
        while locker.poll() is None:
            request = sample_request(2, seed=len(job_ids))
            client.submit(request)
            ends, _ = follow(client, [request.job_id], 60)
            if not isinstance(ends[request.job_id], Done):
                finding.fault(f"a job failed: {ends[request.job_id].error.sentence}")
            job_ids.append(request.job_id)
        asking.join()
        held, refused = map(int, locker.stdout.read().split())
        finding.figures = {
            "jobs": len(job_ids),
            "locks that were got": held,
            "locks that were refused": refused,
            **asker.figures(),
        }
        if held:
            finding.fault(f"another program got {held} locks")
        if asker.lost or asker.longest_ms() > LONGEST_MS:
            finding.fault(f"a question was answered after {asker.longest_ms():.0f} ms")
        asker.close()
        engine.stop()
        _start_over_a_lock(finding, engine, database)
        engine.start()
        counts = engine.status().done
        if counts != len(job_ids):
            finding.fault(f"{counts} of {len(job_ids)} jobs are there after it")
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        engine.close()
    return finding


def _ask_while(locker: subprocess.Popen, asker: Asker) -> None:
    while locker.poll() is None:
        asker.ask_for(0.2, "any", lambda: None)


def _start_over_a_lock(finding: Finding, engine: LocalEngine, database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    start_s = time.monotonic()
    try:
        engine.start(limit_s=2.0)
        finding.fault("an engine started over a database that another program had locked")
    except TimeoutError:
        wait_until(lambda: engine.process.poll() is not None, 60, engine.said)
        finding.figures["a start over a locked one ends after (s)"] = time.monotonic() - start_s
        if "another program has locked" not in engine.said():
            finding.fault("a start over a locked database does not say so")
    finally:
        other.close()
    if list(database.parent.glob("*damaged*")):
        finding.fault("a locked database was taken for a damaged one")
