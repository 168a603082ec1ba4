# SPDX-License-Identifier: Apache-2.0
"""`syncam bench NAME`: the project's speeds, each a module of the developers' tools."""

from __future__ import annotations

import argparse

from syncam_engine.commands.developers import devtool
from syncam_engine.commands.parsing import Parser

BENCHES = {
    "preview": "the preview model's request: time, memory, engine answers",
    "sampler": "a guided step, plain against ours; GPU rates at full size",
    "render": "rig rendering against the plain loop",
    "wire": "results through the socket against bare ZeroMQ",
    "blender": "ticks of the panel and the adding of results",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", choices=BENCHES, help="; ".join(f"{k}: {v}" for k, v in BENCHES.items())
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the benchmark")


def run(args: argparse.Namespace) -> int:
    module = devtool(f"bench.{args.name}")
    parser = Parser(prog=f"syncam bench {args.name}", description=BENCHES[args.name])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    module.configure(parser)
    return module.run(parser.parse_args(args.options))
