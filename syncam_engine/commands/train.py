# SPDX-License-Identifier: Apache-2.0
"""`syncam train CONFIG.yaml`: train, go on with a run, or export its weights."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from syncam_engine.commands.parsing import at_least_one


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML training config (see configs/)")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FOLDER",
        help="do not train: write the run's averaged weights as a preset's files into FOLDER",
    )
    parser.add_argument(
        "--out", type=Path, help="the run's folder (default: ~/.cache/syncam/training/NAME)"
    )
    parser.add_argument("--until", type=int, metavar="STEP", help="stop at this step")
    parser.add_argument("--minutes", type=float, help="stop after this time, state saved")
    parser.add_argument("--threads", type=int, help="CPU threads of the process")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the config, dotted: optim.learning_rate=2e-4 (repeatable)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether data and weights are there, and what memory and time it takes; stop",
    )


def run(args: argparse.Namespace) -> int:
    from syncam_engine.training.config_file import read_config

    at_least_one(args, "threads")
    config = read_config(args.config, overrides=args.set)
    import torch

    from syncam_engine.training.runs import check, export, make_trainer, run_config
    from syncam_engine.training.trainer import run_folder

    if args.threads:
        torch.set_num_threads(args.threads)
    folder = args.out or run_folder(config)
    if args.check:
        print(f"{args.config}: {config.kind} run named {config.name}, {config.steps} steps")
        return 0 if check(config, folder) else 2
    if args.export:
        export(run_config(config, args.set, folder), args.export, folder)
        return 0
    # Every process of torchrun reads the same data; one of them tells.
    is_main = int(os.environ.get("RANK", "0")) == 0
    say = print if is_main else lambda _: None
    trainer = make_trainer(config, folder, say)
    result = trainer.train(args.until, minutes=args.minutes)
    say(f"step {result.step}, state in {result.checkpoint}")
    return 0
