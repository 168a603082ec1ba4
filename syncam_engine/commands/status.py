# SPDX-License-Identifier: Apache-2.0
"""`syncam status`: what the engine is doing, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import msgspec

from syncam_engine.link.client import EngineClient, Reply
from syncam_engine.link.endpoint import stored_client_id
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import EngineStatus, JobList, WorkerInfo


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--json", action="store_true", help="for programs")
    add("--jobs", type=int, default=20, help="how many of the newest jobs to show")
    add("--engine", default="", metavar="tcp://HOST:PORT#KEY", help="a remote engine")
    add("--state-dir", type=Path, help="the local engine's folder")
    add("--timeout", type=float, default=5.0, help="seconds to wait for an answer")


def run(args: argparse.Namespace) -> int:
    client = EngineClient(
        args.engine or None,
        state_dir=args.state_dir,
        client_name="syncam status",
        client_id=stored_client_id("terminal"),
    )
    try:
        status, jobs = ask(client, args.jobs, args.timeout)
    finally:
        client.close()
    if args.json:
        print(json.dumps({"status": msgspec.to_builtins(status), **msgspec.to_builtins(jobs)}))
    else:
        show(status, jobs)
    return 0


def ask(client: EngineClient, limit: int, timeout_s: float) -> tuple[EngineStatus, JobList]:
    """Ask for both; raises "engine.unavailable" when no answer comes in time."""
    wanted = {client.ask_status(): None, client.ask_jobs(limit=max(1, limit)): None}
    end_s = time.monotonic() + timeout_s
    while None in wanted.values():
        if time.monotonic() > end_s:
            raise SynCamError(
                "engine.unavailable",
                f"No engine answers at {client.address or 'this machine'}.",
                fix="syncam serve",
            )
        for event in client.wait(0.2):
            if isinstance(event, Reply) and event.message_id in wanted:
                wanted[event.message_id] = event.body
    return tuple(wanted.values())


def show(status: EngineStatus, jobs: JobList) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(
        f"SynCam {status.engine}, up {_span(status.uptime_s)}, process {status.pid}, "
        f"{status.clients} clients, {status.disk_free_mb / 1024:.1f} GiB free\n"
        f"{status.endpoint}\nlog: {status.log_path}",
        markup=False,
        highlight=False,
    )
    workers = Table("worker", "state", "device", "preset", "job", "phase", "memory", "restarts")
    for worker in status.workers:
        phase = f"{worker.phase} {worker.step}/{worker.steps}" if worker.steps else worker.phase
        workers.add_row(
            str(worker.index),
            worker.state,
            worker.device,
            worker.preset,
            worker.job_id[:8],
            phase,
            _memory(worker),
            str(worker.restarts),
        )
    console.print(workers)
    table = Table("job", "state", "client", "views", "progress", "left", "prompt")
    for job in jobs.jobs:
        progress = f"{job.phase} {job.step}/{job.steps}" if job.steps else job.phase
        if job.state == "queued":
            progress = f"place {job.position}"
        table.add_row(
            job.job_id[:8] or "(other)",
            job.state,
            escape(job.client),
            str(job.views),
            progress,
            _span(job.eta_s) if job.eta_s is not None else "",
            escape(job.error.sentence if job.error else job.prompt[:60]),
        )
    console.print(table)
    for note in status.notes:
        console.print(f"note: {note}", markup=False)


def _memory(worker: WorkerInfo) -> str:
    held = f"{worker.memory_mb:.0f} MiB" if worker.memory_mb else ""
    free = f"{worker.memory_free_mb:.0f} free" if worker.memory_free_mb else ""
    return ", ".join(part for part in (held, free) if part)


def _span(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
