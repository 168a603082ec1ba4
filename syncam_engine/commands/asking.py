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
from syncam_engine.link.printable import printable

ID_CHARS = 8
"""So much of a job's id is shown, and is enough to name it by."""
CLIENT_CHARS = 15
GAP = 2
"""Blanks between a table's columns."""


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


def table_of(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Any:
    """Return rich's table, one line a row in `width` columns. What does not fit is cut with an
    ellipsis, first in the last column but one, then in the last. Takes texts of others."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    room = width - sum(widths[:-2]) - GAP * (len(widths) - 1)
    last = min(widths[-1], max(room - widths[-2], room // 2))
    widths[-2:] = max(min(widths[-2], room - last), 1), max(last, 1)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for name, size in zip(names, widths, strict=True):
        table.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def job_table(jobs: Sequence[JobInfo], width: int, *, clients: bool = False) -> Any:
    """Return rich's table of jobs, with their `clients` or how many views they have. Jobs of other
    clients have neither id nor prompt."""
    names = ["job", "client" if clients else "views", "state", "prompt"]
    rows = [
        [
            job.job_id[:ID_CHARS] or "(other)",
            job.client[:CLIENT_CHARS] if clients else str(job.views),
            _stands(job),
            job.prompt,
        ]
        for job in jobs
    ]
    return table_of(names, rows, width)


def _stands(job: JobInfo) -> str:
    """A job's state with what there is to say of it."""
    if job.error and job.state != "cancelled":
        return f"{job.state}: {job.error.sentence}"
    progress = f"{job.phase} {job.step}/{job.steps}" if job.steps else job.phase
    place = f"place {job.position}" if job.state == "queued" else progress
    left = f"{span(job.eta_s)} left" if job.eta_s is not None else ""
    return ", ".join(part for part in (job.state, place, left) if part)


def span(seconds: float) -> str:
    """Seconds in words."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
