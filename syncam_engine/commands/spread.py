# SPDX-License-Identifier: Apache-2.0
"""`syncam spread`: one request on several GPUs, without an engine.

    torchrun --nproc-per-node 4 -m syncam_engine.cli spread --rig RIG.json --prompt PROMPT \\
        --preset wan2.1-1.3b --seed 7 --out OUT.npz

Every rank holds the network and a share of the views. Exact: the clips are those of one process up
to float rounding. Rank 0 writes them as uint8 [V, T, H, W, 3] under "clips", cameras in the rig's
order, names under "cameras".
"""

from __future__ import annotations

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncam_engine.commands.request_options import (
    add_request_options,
    check_request_options,
    mode_of,
    request_of,
)
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig_json import read_rig

if TYPE_CHECKING:
    from syncam_engine.model.presets import Preset
    from syncam_engine.sampling.pipeline import Report


def configure(parser: argparse.ArgumentParser) -> None:
    add_request_options(parser)
    add = parser.add_argument
    add("--preset", default="wan2.1-1.3b", help="which model (wan2.1-1.3b)")
    add("--out", type=Path, required=True, metavar="OUT.npz", help="file for all clips")
    add("--device", choices=("cuda", "cpu"), help="where each process runs (cuda where there is)")


def run(args: argparse.Namespace) -> int:
    check_request_options(args)
    if "RANK" not in os.environ:
        raise SynCamError(
            "spread.alone",
            "syncam spread was started as a single process; torchrun starts one a GPU.",
            fix="torchrun --nproc-per-node N -m syncam_engine.cli spread ...",
        )
    import torch
    import torch.distributed as dist

    from syncam_engine.model.presets import get_preset

    defaults = get_preset(args.preset).request_defaults(mode_of(args))
    request = request_of(args, read_rig(args.rig), defaults, preset=args.preset)
    on_gpu = args.device == "cuda" or (args.device is None and torch.cuda.is_available())
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        _generate(args, request, device, first=dist.get_rank() == 0)
    except ValueError as error:  # more ranks than views, another number of clips than of cameras
        raise SynCamError("spread.impossible", f"{error}.") from None
    finally:
        dist.destroy_process_group()
    return 0


def _generate(
    args: argparse.Namespace, request: GenerateRequest, device: str, *, first: bool
) -> None:
    import numpy as np

    from syncam_engine.sampling.pipeline import load_pipeline

    pipeline = load_pipeline(request.preset, device)

    def show(report: Report) -> None:
        print(f"\r{report.phase} {report.step}/{report.steps}   ", end="", file=sys.stderr)

    given = _given_clips(args, request, pipeline.preset)
    clips = pipeline.generate(request, on_report=show if first else None, **given)
    if first:
        names = np.array([camera["name"] for camera in request.rig["cameras"]])
        np.savez_compressed(args.out, clips=clips, cameras=names)
        print(f"\nwrote {args.out}", file=sys.stderr)


def _given_clips(
    args: argparse.Namespace, request: GenerateRequest, preset: Preset
) -> dict[str, Any]:
    """What `generate` is given beside the request, at the clips' size, rate and length."""
    from syncam_engine.sampling.clips import read_fitted

    size = (request.width or preset.size[0], request.height or preset.size[1])
    fps = Fraction(*request.fps) if request.fps else Fraction(preset.fps)
    shape = (*size, request.frames or preset.frames, fps, request.fit_rule)
    if args.previz:
        return {"start_clips_VTHW3": [read_fitted(path, *shape) for path in args.previz]}
    if args.reference:
        return {"reference_clip_THW3": read_fitted(args.reference, *shape)}
    return {}
