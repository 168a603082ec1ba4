# SPDX-License-Identifier: Apache-2.0
"""`syncam checkpoint`: convert the released SynCamMaster checkpoint, inspect and check files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    convert = verbs.add_parser("convert", help="released .ckpt to safetensors, MVS apart from base")
    convert.add_argument("source", type=Path, help="step20000.ckpt")
    convert.add_argument("out", type=Path, help="the MVS file to write, OUT.safetensors")
    convert.add_argument("--base", type=Path, help="also write the base transformer to this file")
    convert.add_argument(
        "--preset", default="wan2.1-1.3b", help="preset (or preset.json) whose sizes it must have"
    )
    convert.add_argument(
        "--dtype",
        choices=("keep", "float32", "bfloat16"),
        default="keep",
        help="of what is written",
    )
    inspect = verbs.add_parser("inspect", help="what a .ckpt or .safetensors file holds")
    inspect.add_argument("path", type=Path, help="a .ckpt or .safetensors file")
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    check = verbs.add_parser("check", help="whether a preset's files are all there and whole")
    check.add_argument("preset", help="preset name or preset.json")


def run(args: argparse.Namespace) -> int:
    return {"convert": _convert, "inspect": _inspect, "check": _check}[args.verb](args)


def _convert(args: argparse.Namespace) -> int:
    from syncam_engine.model.checkpoints import convert_released
    from syncam_engine.model.presets import get_preset

    done = convert_released(
        args.source, args.out, get_preset(args.preset), base_out=args.base, dtype=args.dtype
    )
    print(
        f"{done.tensors:,} tensors checked; MVS: {done.mvs_tensors:,} tensors, "
        f"{done.mvs_parameters:,} parameters; base: {done.base_parameters:,} parameters"
    )
    for path in done.written:
        print(f"wrote {path}")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from syncam_engine.model.checkpoints import describe

    facts = describe(args.path)
    if args.json:
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        print(f"{name:16} {shown}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from syncam_engine.model.loading import check_files
    from syncam_engine.model.presets import get_preset

    for line in check_files(get_preset(args.preset)):
        print(line)
    return 0
