# SPDX-License-Identifier: Apache-2.0
"""The options of `syncam generate`, and those that do not go together."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from syncam_engine.commands.jobs import LEAST_CHARS
from syncam_engine.commands.parsing import whole
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import ID_PATTERN

MOST_SEED = 2**53


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rig", type=Path, required=True, help="a rig file, or a rendered scene.json")
    add("--cameras", nargs="+", metavar="NAME", help="only these cameras of the rig (all)")
    add("--prompt", required=True, help="what happens in the scene")
    add("--negative-prompt", default=None, help="what must not be seen")
    add("--out", type=Path, required=True, help="folder for the clips and result.json")
    add("--seed", type=whole(0, MOST_SEED), default=0, help="the same seed, the same clips (0)")
    add(
        "--variations",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="N jobs by consecutive seeds, each into OUT/seed-SEED (1)",
    )
    own = "(the preset's own)"
    add("--steps", type=int, help=f"sampling steps {own}")
    add("--guidance", type=float, help=f"how strongly the prompt is followed {own}")
    add("--size", metavar="WIDTHxHEIGHT", help=f"of each clip {own}")
    add("--frames", type=int, help=f"pictures in each clip {own}")
    add("--fps", type=whole(1, 1000), help=f"pictures a second {own}")
    add("--preset", default="", help="which model (the engine's own)")
    add(
        "--fit",
        choices=("crop", "letterbox"),
        default="crop",
        help="how cameras of another shape are brought to the clips' size (crop)",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--previz",
        type=Path,
        nargs="+",
        metavar="CLIP",
        help="a clip or picture a camera to start from, in the rig's order",
    )
    mode.add_argument(
        "--reference",
        type=Path,
        metavar="CLIP",
        help="a clip or picture of the anchor camera to follow",
    )
    add("--previz-strength", type=float, help="0 to 1: how far from them (the preset's own)")
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
    if args.previz_strength is not None and not args.previz:
        raise SynCamError(
            "option.form",
            f"--previz-strength is {args.previz_strength:g}, but no --previz names clips to "
            "start from.",
            value=args.previz_strength,
            fix="Add --previz with a clip a camera",
        )
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


def size_of(text: str | None) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SynCamError(
            "size.impossible",
            f'"{text}" is not a size; it must be WIDTHxHEIGHT, such as 160x96.',
            value=text,
            nearest="160x96",
        )
    return int(width), int(height)
