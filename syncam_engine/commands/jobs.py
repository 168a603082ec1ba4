# SPDX-License-Identifier: Apache-2.0
"""`syncam jobs list|cancel|pause|resume|remove`: one's own jobs of a running engine."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Sequence

import msgspec

from syncam_engine.link.client import EngineClient
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import ID_PATTERN, MAX_ID_CHARS
from syncam_engine.link.messages import JobInfo, JobList
from syncam_engine.link.printable import printable

from .asking import ID_CHARS, add_options, answers, engine_of, job_table

LEAST_CHARS = 4
"""Of an id's beginning that names its job."""
PAGE = 1000
"""Jobs that one answer of the engine lists."""
OPEN = ("queued", "paused", "running")
ACTIONS = {
    "cancel": "stop jobs that wait or run",
    "pause": "let jobs wait until they are resumed",
    "resume": "let paused jobs wait in their places again",
    "remove": "delete jobs that have ended, with their clips on the engine's machine",
}


def configure(parser: argparse.ArgumentParser) -> None:
    _options(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    show = verbs.add_parser("list", help="the newest jobs (without a verb: this)")
    parser.set_defaults(limit=20, all=False)
    show.add_argument("--limit", type=int, default=20, help="how many of them (20)")
    show.add_argument("--all", action="store_true", help="every one")
    _options(show, again=True)
    for name, text in ACTIONS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("ids", nargs="*", metavar="ID", help="a job's id, or how it begins")
        if name == "remove":
            verb.add_argument("--ended", action="store_true", help="every job that has ended")
        _options(verb, again=True)


def _options(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    parser.add_argument(
        "--client",
        choices=("terminal", "blender"),
        default=argparse.SUPPRESS if again else "terminal",
        help="whose jobs: those sent from terminals (default) or from this user's Blender",
    )
    add_options(parser, again=again)


def run(args: argparse.Namespace) -> int:
    with engine_of(args, "jobs", args.client) as client:
        if args.verb in (None, "list"):
            return _list(args, client)
        return _act(args, client)


def _list(args: argparse.Namespace, client: EngineClient) -> int:
    most = None if args.all else max(1, args.limit)
    found = newest(client, args.timeout, most)
    if args.json:
        print(json.dumps(msgspec.to_builtins(found)))
    elif found.jobs:
        from rich.console import Console

        console = Console()
        console.print(job_table(found.jobs, console.width))
        if len(found.jobs) < found.total:
            print(
                f"the newest {len(found.jobs):,} of {found.total:,}; "
                "all of them: syncam jobs list --all"
            )
    else:
        print("no jobs")
    return 0


def _act(args: argparse.Namespace, client: EngineClient) -> int:
    # All are found before anything is done to the first.
    jobs = [_named(client, text, args.timeout) for text in args.ids]
    if getattr(args, "ended", False):
        known = newest(client, args.timeout)
        jobs += [job for job in known.jobs if job.state not in OPEN and job not in jobs]
    elif not jobs:
        raise SynCamError("option.missing", f"Which job is to {args.verb}?", fix="syncam jobs list")
    if args.verb == "remove" and (waits := next((j for j in jobs if j.state in OPEN), None)):
        raise SynCamError(
            "job.open",
            f"The job {waits.job_id} has not ended yet: {waits.state}.",
            value=waits.state,
            fix=f"syncam jobs cancel {waits.job_id[:ID_CHARS]}",
        )
    done = []
    for job in jobs:
        (said,) = answers(client, [getattr(client, args.verb)(job.job_id)], args.timeout)
        state = said.note if args.verb != "remove" else "removed"
        done.append({"job_id": job.job_id, "state": state})
        if not args.json:
            before = " (as it was)" if state == job.state else ""
            line = f"{job.job_id[:ID_CHARS]} {state}{before}: {job.prompt[:60]}"
            print(printable(line), flush=True)
    if args.json:
        print(json.dumps({"jobs": done}))
    elif not done:
        print("no jobs")
    return 0


def newest(client: EngineClient, timeout_s: float, most: int | None = None) -> JobList:
    """Return one's own newest jobs, oldest of them first; all without `most`. Page by page: one has
    as many as its answer has room for."""
    jobs: dict[str, JobInfo] = {}
    total, is_more = 0, True
    while is_more:
        limit = PAGE if most is None else min(PAGE, most - len(jobs))
        call = client.ask_jobs(mine=True, limit=limit, before=next(iter(jobs), ""))
        (page,) = answers(client, [call], timeout_s)
        older = {job.job_id: job for job in page.jobs if job.job_id not in jobs}
        total = max(total, page.total)
        jobs = {**older, **jobs}
        is_more = bool(older) and len(jobs) < (total if most is None else min(most, total))
    return JobList(jobs=list(jobs.values()), total=max(total, len(jobs)))


def _named(client: EngineClient, text: str, timeout_s: float) -> JobInfo:
    """Return the job that an id, or the beginning of one, names. Raises as `find_job`."""
    # None has it: those that it may have been meant for.
    known = _begun(client, text, timeout_s) or newest(client, timeout_s, PAGE).jobs
    return find_job(text, known)


def job_or_none(client: EngineClient, text: str, timeout_s: float = 30.0) -> JobInfo | None:
    """Return the job that an id, or the beginning of one, names; None for a whole id that is new.

    Raises as `find_job`.
    """
    if known := _begun(client, text, timeout_s):
        return find_job(text, known)
    return None if re.fullmatch(ID_PATTERN, text) else _named(client, text, timeout_s)


def _begun(client: EngineClient, text: str, timeout_s: float) -> list[JobInfo]:
    call = client.ask_jobs(mine=True, limit=PAGE, begins=text[:MAX_ID_CHARS])
    (known,) = answers(client, [call], timeout_s)
    return [job for job in known.jobs if job.job_id.startswith(text)]


def find_job(text: str, jobs: Sequence[JobInfo]) -> JobInfo:
    """Return the job that an id, or the beginning of one, names.

    Raises `SynCamError` "job.unknown" with the nearest, or "job.ambiguous" with those it may be.
    """
    exact = [job for job in jobs if job.job_id == text]
    alike = exact or [
        job for job in jobs if len(text) >= LEAST_CHARS and job.job_id.startswith(text)
    ]
    if len(alike) == 1:
        return alike[0]
    if alike:
        ids = ", ".join(job.job_id for job in alike[:4])
        raise SynCamError(
            "job.ambiguous",
            f"{text} begins the ids of {len(alike)} jobs: {ids}.",
            value=text,
            nearest=alike[0].job_id,
        )
    if not jobs:
        sentence = f"There is no job {text}: this client has none in this engine."
        raise SynCamError("job.unknown", sentence, value=text)
    # What is typed may be a whole id or the beginning of one.
    by_id = {job.job_id[: max(len(text), LEAST_CHARS)]: job for job in jobs}
    near = by_id[difflib.get_close_matches(text, by_id, n=1, cutoff=0.0)[0]]
    raise SynCamError(
        "job.unknown",
        f"There is no job {text}; the nearest is {near.job_id} ({near.state}: {near.prompt[:40]}).",
        value=text,
        nearest=near.job_id,
        fix="syncam jobs list",
    )
