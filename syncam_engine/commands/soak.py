# SPDX-License-Identifier: Apache-2.0
"""`syncam soak`: break the engine on purpose, and write down what held."""

from __future__ import annotations

import argparse
from pathlib import Path

from syncam_engine.commands.developers import devtool

TESTS = (
    *("faults", "answers", "disk", "decoder", "atheris"),
    *("hostile", "evil-engine", "load", "media", "locks"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--share", type=float, default=1.0, help="0.1 runs a tenth of the full numbers")
    add("--only", nargs="+", choices=TESTS, default=TESTS, help="only these tests")
    add("--report", type=Path, help="write the report here, as Markdown")
    add("--seed", type=int, default=1, help="the same seed, the same blows")
    add(
        "--pipeline",
        required=True,
        metavar="MODULE:FUNCTION",
        help="what makes the clips: tests.service.stub_pipeline:load_pipeline for the full numbers",
    )


def run(args: argparse.Namespace) -> int:
    return devtool("soak.run").run(args)
