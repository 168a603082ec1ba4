# SPDX-License-Identifier: Apache-2.0
"""What verbs share that ask a running engine: their options, their client, the wait, the table."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syncam_engine.link.client import EngineClient, Lost, Reply
from syncam_engine.link.endpoint import stored_client_id, user_state_dir
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ErrorInfo, JobInfo

ID_CHARS = 8
"""So much of a job's id is shown, and is enough to name it by."""


def add_options(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the options; `again` on a sub-verb, where what was given before it holds."""

    def default(value: Any) -> Any:
        return argparse.SUPPRESS if again else value

    add = parser.add_argument
    add("--json", action="store_true", default=default(False), help="for programs")
    add("--engine", default=default(""), metavar="tcp://HOST:PORT#KEY", help="a remote engine")
    add("--state-dir", type=Path, default=default(None), help="the local engine's folder")
    add("--timeout", type=float, default=default(5.0), help="seconds to wait for an answer")


@contextmanager
def engine_of(
    args: argparse.Namespace, verb: str, program: str = "terminal"
) -> Iterator[EngineClient]:
    """A client of the engine that the options name; `program` is whose jobs are one's own."""
    client = EngineClient(
        args.engine or None,
        state_dir=args.state_dir,
        client_name=f"syncam {verb}",
        client_id=stored_client_id(program),
    )
    try:
        yield client
    finally:
        client.close()


def answers(client: EngineClient, calls: Sequence[str], timeout_s: float) -> list[Any]:
    """Wait for the answers to calls, in their order.

    Raises `SynCamError`: the first that is an error, "engine.unavailable" when one does not come in
    time, and why an engine that is there lets nobody in.
    """
    wanted: dict[str, Any] = dict.fromkeys(calls)
    end_s = time.monotonic() + timeout_s
    while None in wanted.values():
        if time.monotonic() > end_s:
            raise client.problem or SynCamError(
                "engine.unavailable",
                f"No engine answers at {client.address or 'this machine'}.",
                fix=start_fix(client),
            )
        for event in client.wait(0.2):
            if isinstance(event, Lost) and client.state in ("refused", "version mismatch"):
                raise event.error.to_error()
            if isinstance(event, Reply) and event.message_id in wanted:
                if isinstance(event.body, ErrorInfo):
                    raise event.body.to_error()
                wanted[event.message_id] = event.body
    return list(wanted.values())


def start_fix(client: EngineClient) -> str:
    """Return what starts the engine that does not answer; another machine's is started there."""
    folder = client.local_state_dir
    if folder is None:
        return "On the engine's machine: syncam serve --bind"
    is_usual = folder == user_state_dir()
    return "syncam serve" if is_usual else f"syncam serve --state-dir {shlex.quote(str(folder))}"


def job_table(jobs: Sequence[JobInfo]) -> Any:
    """Return rich's table of jobs. Jobs of other clients have neither id nor prompt."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("job", "state", "client", "views", "progress", "left", "prompt")
    for job in jobs:
        progress = f"{job.phase} {job.step}/{job.steps}" if job.steps else job.phase
        if job.state == "queued":
            progress = f"place {job.position}"
        table.add_row(
            escape(job.job_id[:ID_CHARS]) or "(other)",
            job.state,
            escape(job.client),
            str(job.views),
            progress,
            span(job.eta_s) if job.eta_s is not None else "",
            escape(job.error.sentence if job.error else job.prompt[:60]),
        )
    return table


def span(seconds: float) -> str:
    """Seconds in words."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
