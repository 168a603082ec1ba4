# SPDX-License-Identifier: Apache-2.0
"""The options that say what is generated, the same for every verb that generates clips."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from syncam_engine.commands.parsing import whole
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict

MOST_SEED = 2**53


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add what a request holds, but for its preset and what becomes of its clips."""
    add = parser.add_argument
    add("--rig", type=Path, required=True, help="a rig file, or a rendered scene.json")
    add("--cameras", nargs="+", metavar="NAME", help="only these cameras of the rig (all)")
    add("--prompt", required=True, help="what happens in the scene")
    add("--negative-prompt", default=None, help="what must not be seen")
    add("--seed", type=whole(0, MOST_SEED), default=0, help="the same seed, the same clips (0)")
    own = "(the preset's own)"
    add("--steps", type=int, help=f"sampling steps {own}")
    add("--guidance", type=float, help=f"how strongly the prompt is followed {own}")
    add("--size", metavar="WIDTHxHEIGHT", help=f"of each clip {own}")
    add("--frames", type=int, help=f"pictures in each clip {own}")
    add("--fps", type=whole(1, 1000), help=f"pictures a second {own}")
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


def check_request_options(args: argparse.Namespace) -> None:
    """Raise `SynCamError` "option.form" for options of a request that contradict one another."""
    if args.previz_strength is not None and not args.previz:
        raise SynCamError(
            "option.form",
            f"--previz-strength is {args.previz_strength:g}, but no --previz names clips to "
            "start from.",
            value=args.previz_strength,
            fix="Add --previz with a clip a camera",
        )


def request_of(
    args: argparse.Namespace, rig: Rig, defaults: Mapping[str, Any], **others: Any
) -> GenerateRequest:
    """Return the request that the options describe.

    `defaults`: what the preset fills open fields with; `others`: the request's remaining fields.
    """
    width, height = size_of(args.size)
    if args.cameras:
        rig = rig.subset(args.cameras)
    if defaults and rig.frame_count > 1:
        rig = _posed(args, rig, defaults)
    fields = {
        "rig": rig_to_dict(rig),
        "prompt": args.prompt,
        "negative_prompt": args.negative_prompt or "",
        "seed": args.seed,
        "steps": args.steps,
        "guidance_scale": args.guidance,
        "width": width,
        "height": height,
        "frames": args.frames,
        "fps": (args.fps, 1) if args.fps else None,
        "mode": mode_of(args),
        "previz_strength": args.previz_strength,
        "fit_rule": args.fit,
    }
    return GenerateRequest(**{**fields, **others})


def mode_of(args: argparse.Namespace) -> str:
    return "previz" if args.previz else "reference" if args.reference else "text"


def _posed(args: argparse.Namespace, rig: Rig, defaults: Mapping[str, Any]) -> Rig:
    """The rig with a pose for each picture of the clips; as it is where that cannot be told."""
    try:
        frames = defaults["frames"] if args.frames is None else args.frames
        fps = Fraction(args.fps) if args.fps else Fraction(*defaults["fps"])
        return rig.for_clip(frames, fps)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return rig  # the engine, whose defaults these are, judges


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
