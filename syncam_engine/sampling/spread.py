# SPDX-License-Identifier: Apache-2.0
"""One request on several GPUs: every rank holds the network and a share of the views.

    torchrun --nproc-per-node 4 -m syncam_engine.sampling.spread RIG.json PROMPT OUT.npz \\
        --preset wan2.1-1.3b --seed 7

`--previz CLIP...` (one a camera) and `--reference CLIP` choose the other modes.

Exact: the clips are those of one process up to float rounding. Rank 0 writes them as uint8
[V, T, H, W, 3] under "clips", cameras in the rig's order, names under "cameras".
"""

from __future__ import annotations

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig_json import read_rig
from syncam_engine.model.presets import Preset
from syncam_engine.sampling.clips import read_fitted
from syncam_engine.sampling.pipeline import Report, load_pipeline


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="torchrun -m syncam_engine.sampling.spread")
    parser.add_argument("rig", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", default="wan2.1-1.3b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default=None)
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("steps", "width", "height", "frames"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--guidance-scale", type=float)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--previz", type=Path, nargs="+", help="a clip or picture a camera")
    start.add_argument("--reference", type=Path, help="a clip or picture of the anchor camera")
    parser.add_argument("--previz-strength", type=float)
    parser.add_argument("--fit-rule", choices=("crop", "letterbox"), default="crop")
    args = parser.parse_args(argv)

    on_gpu = args.device == "cuda" or (args.device is None and torch.cuda.is_available())
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        rig = read_rig(args.rig)
        mode = "previz" if args.previz else "reference" if args.reference else "text"
        request = SimpleNamespace(**{**vars(args), "rig": rig}, variation=0, fps=None, mode=mode)
        pipeline = load_pipeline(args.preset, device)

        def show(report: Report) -> None:
            print(f"\r{report.phase} {report.step}/{report.steps}   ", end="", file=sys.stderr)

        first = dist.get_rank() == 0
        given = _given_clips(args, pipeline.preset)
        clips = pipeline.generate(request, on_report=show if first else None, **given)
        if first:
            names = np.array([camera.name for camera in rig.cameras])
            np.savez_compressed(args.out, clips=clips, cameras=names)
            print(f"\nwrote {args.out}", file=sys.stderr)
    except (SynCamError, ValueError) as error:  # ValueError: more ranks than views
        print(f"syncam: {error}", file=sys.stderr)
        return 2
    finally:
        dist.destroy_process_group()
    return 0


def _given_clips(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """What `generate` is given beside the request, at the clips' size, rate and length."""
    size = (args.width or preset.size[0], args.height or preset.size[1])
    shape = (*size, args.frames or preset.frames, Fraction(preset.fps), args.fit_rule)
    if args.previz:
        return {"start_clips_VTHW3": [read_fitted(path, *shape) for path in args.previz]}
    if args.reference:
        return {"reference_clip_THW3": read_fitted(args.reference, *shape)}
    return {}


if __name__ == "__main__":
    sys.exit(main())
