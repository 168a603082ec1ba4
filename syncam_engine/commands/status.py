# SPDX-License-Identifier: Apache-2.0
"""`syncam status`: what the engine is doing, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import msgspec

from syncam_engine.link.engine_facts import EngineStatus, WorkerInfo
from syncam_engine.link.messages import JobList
from syncam_engine.link.printable import printable

from .asking import ID_CHARS, add_options, answers, engine_of, job_table, span, table_of


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=20, help="how many of the newest jobs to show")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    with engine_of(args, "status") as client:
        calls = [client.ask_status(), client.ask_jobs(limit=max(1, args.jobs))]
        status, jobs = answers(client, calls, args.timeout)
        folder = client.local_state_dir
    if args.json:
        print(json.dumps({"status": msgspec.to_builtins(status), **msgspec.to_builtins(jobs)}))
    else:
        show(status, jobs, folder)
    return 0


def show(status: EngineStatus, jobs: JobList, folder: Path | None = None) -> None:
    """Print both; `folder` is the state folder of this machine's engine."""
    from rich.console import Console

    console = Console()
    log = f"\nlog: {folder / 'logs' / 'engine.log'}" if folder else ""
    clients = f"{status.clients} client{'s' * (status.clients != 1)}"
    console.print(
        f"SynCam {printable(status.engine)}, up {span(status.uptime_s)}, process {status.pid}, "
        f"{clients}, {status.disk_free_mb / 1024:.1f} GiB free\n"
        f"{printable(status.endpoint)}{log}",
        markup=False,
        highlight=False,
    )
    names = ("worker", "state", "device", "preset", "job", "restarts", "memory")
    rows = [
        (
            str(worker.index),
            _state(worker),
            worker.device,
            worker.preset,
            worker.job_id[:ID_CHARS],
            str(worker.restarts),
            _memory(worker),
        )
        for worker in status.workers
    ]
    console.print(table_of(names, rows, console.width))
    console.print()
    console.print(job_table(jobs.jobs, console.width, clients=True))
    for note in status.notes:
        console.print(f"note: {printable(note)}", markup=False)


def _state(worker: WorkerInfo) -> str:
    phase = f"{worker.phase} {worker.step}/{worker.steps}" if worker.steps else worker.phase
    return f"{worker.state}, {phase}" if phase else worker.state


def _memory(worker: WorkerInfo) -> str:
    held = f"{worker.memory_mb:.0f} MiB" if worker.memory_mb else ""
    free = f"{worker.memory_free_mb:.0f} free" if worker.memory_free_mb else ""
    return ", ".join(part for part in (held, free) if part)
