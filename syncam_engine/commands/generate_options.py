# SPDX-License-Identifier: Apache-2.0
"""The options of `syncam generate`, and those that do not go together."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from syncam_engine.commands.jobs import LEAST_CHARS
from syncam_engine.commands.parsing import whole
from syncam_engine.commands.request_options import (
    MOST_SEED,
    add_request_options,
    check_request_options,
)
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import ID_PATTERN


def configure(parser: argparse.ArgumentParser) -> None:
    add_request_options(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the clips and result.json")
    add(
        "--variations",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="N jobs by consecutive seeds, each into OUT/seed-SEED (1)",
    )
    add("--preset", default="", help="which model (the engine's own)")
    add("--png", action="store_true", help="also write PNG sequences")
    add("--priority", type=whole(-10, 10), default=0, help="-10 to 10; higher runs earlier (0)")
    add(
        "--job-id",
        type=_job_id,
        help="the same id again, or how it begins, finds the same job (a new one)",
    )
    add(
        "--engine",
        default="",
        metavar="tcp://HOST:PORT#KEY",
        help="a remote engine (this machine's)",
    )
    add("--state-dir", type=Path, help="the local engine's folder (see docs/operations.md)")
    add("--json", action="store_true", help="print result.json instead of a progress bar")


def _job_id(text: str) -> str:
    # The beginning of one is enough where its job is known.
    if not re.fullmatch(ID_PATTERN, text.ljust(8, "0") if len(text) >= LEAST_CHARS else text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a job's id, which has 8 to 64 letters, digits, _ or -"
        )
    return text


def check_options(args: argparse.Namespace) -> None:
    """Raise `SynCamError` "option.form" for options that contradict one another."""
    check_request_options(args)
    if args.job_id and args.variations > 1:
        raise SynCamError(
            "option.form",
            f"--job-id names one job, but --variations {args.variations} makes as many.",
            value=args.variations,
            nearest=1,
            fix="Leave one of the two out",
        )
    if args.seed + args.variations - 1 > MOST_SEED:
        raise SynCamError(
            "option.form",
            f"--seed is {args.seed}; with {args.variations} variations it must be at most "
            f"{MOST_SEED - args.variations + 1}.",
            value=args.seed,
            nearest=MOST_SEED - args.variations + 1,
        )


def folders_of(args: argparse.Namespace) -> dict[int, Path]:
    """The seeds to sample with, and the folder of each one's clips."""
    if args.variations == 1:
        return {args.seed: args.out}
    seeds = range(args.seed, args.seed + args.variations)
    return {seed: args.out / f"seed-{seed}" for seed in seeds}
