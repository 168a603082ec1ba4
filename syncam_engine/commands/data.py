# SPDX-License-Identifier: Apache-2.0
"""`syncam data`: list, encode and filter training data."""

from __future__ import annotations

import argparse
from pathlib import Path

from syncam_engine.commands.parsing import at_least_one, two_numbers
from syncam_engine.data.sources import KINDS
from syncam_engine.link.errors import SynCamError


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="data_command", metavar="WHAT", required=True)

    show = verbs.add_parser(
        "list",
        help="read a source's files, count its scenes and name what is broken or cut off",
    )
    show.add_argument("kind", choices=KINDS, help="how it is laid out (docs/training.md)")
    show.add_argument("folder", help="the source's folder")
    show.add_argument("--pictures", default="", help="folder of the pictures (realestate10k)")

    latents = verbs.add_parser("latents", help="encode a source's clips once, to safetensors")
    latents.add_argument(
        "kind",
        choices=[kind for kind in KINDS if kind != "latents"],
        help="how the source is laid out (docs/training.md)",
    )
    latents.add_argument("folder", help="the source's folder")
    latents.add_argument("--out", type=Path, required=True, help="folder of the latents")
    latents.add_argument(
        "--autoencoder",
        type=Path,
        required=True,
        help="the autoencoder's folder: the preview's own, or a diffusers AutoencoderKLWan",
    )
    latents.add_argument("--device", default="cpu", help="cpu or cuda[:N]")
    latents.add_argument("--size", default="160x96", help="WIDTHxHEIGHT of the pictures")
    latents.add_argument(
        "--part", default="0/1", help="I/N: this process of N takes every N-th group"
    )
    latents.add_argument("--pictures", default="", help="folder of the pictures (realestate10k)")
    latents.add_argument(
        "--mirror",
        action="store_true",
        help="encode each scene's mirror image too: twice the scenes, where no caption says left",
    )
    latents.add_argument("--threads", type=int, help="CPU threads of the process")

    static = verbs.add_parser("filter-static", help="find the clips whose camera stands still")
    static.add_argument("folder", type=Path, help="folder of clips")
    static.add_argument(
        "--rule",
        choices=("all", "quantile"),
        default="all",
        help="which of a clip's points must stand still; all is the paper's",
    )
    static.add_argument(
        "--threshold", type=float, default=2.0, help="displacement in pixels at 480p"
    )
    static.add_argument(
        "--quantile", type=float, default=0.5, help="share of points for `quantile`"
    )
    static.add_argument(
        "--sam", metavar="PLACE", help="points: centres of SAM's masks; hub id or folder of SAM"
    )
    static.add_argument(
        "--cotracker", type=Path, metavar="FILE", help="tracker: CoTracker's checkpoint"
    )
    static.add_argument(
        "--accept-licence", default="", metavar="NAME", help="CoTracker's licence, accepted"
    )


def run(args: argparse.Namespace) -> int:
    if args.data_command == "filter-static":
        return _filter_static(args)
    from syncam_engine.data.scene import whole_scenes
    from syncam_engine.data.sources import open_source

    source = open_source(args.kind, args.folder, args.pictures)
    scenes = source.scenes
    if args.data_command == "list":
        scenes = whole_scenes(source)
    cameras = sum(scene.cameras for scene in scenes)
    print(f"{source.name}: {len(scenes)} scenes, {cameras} cameras, {source.broken.report()}")
    return 0 if args.data_command == "list" else _latents(args, source)


def _filter_static(args: argparse.Namespace) -> int:
    from syncam_engine.data.point_tracks import CoTracker, SamPoints, corner_points, track_klt
    from syncam_engine.data.static_filter import BUILT_IN, filter_folder

    if not args.folder.is_dir():
        raise SynCamError(
            "data.missing", f"The folder of clips {args.folder} is not there.", value=args.folder
        )
    if not (args.threshold > 0 and 0 <= args.quantile <= 1):
        raise SynCamError(
            "option.form",
            f"--threshold is {args.threshold} and --quantile is {args.quantile}; they must be "
            "above 0, and from 0 to 1.",
            value=[args.threshold, args.quantile],
        )
    track = CoTracker.load(args.cotracker, args.accept_licence) if args.cotracker else track_klt
    points = SamPoints.load(args.sam) if args.sam else corner_points
    way = BUILT_IN
    if args.sam or args.cotracker:
        way = f"{'SAM ' + args.sam if args.sam else '8x8 grid of corners'}, "
        way += f"CoTracker {args.cotracker.name}" if args.cotracker else "Lucas-Kanade"
    report = filter_folder(
        args.folder,
        rule=args.rule,
        threshold_px=args.threshold,
        quantile=args.quantile,
        points=points,
        track=track,
        way=way,
    )
    print(f"{report.passed} of {report.clips} clips pass; the report is {report.page}")
    return 0


def _latents(args: argparse.Namespace, source) -> int:
    import torch

    from syncam_engine.data.latents import encode_source, file_digest, open_store
    from syncam_engine.model.loading import load_autoencoder
    from syncam_engine.model.token_grid import TOKEN_PX

    at_least_one(args, "threads")
    if args.threads:
        torch.set_num_threads(args.threads)
    width, height = two_numbers(args.size, "x", "--size", "WIDTHxHEIGHT")
    if width % TOKEN_PX or height % TOKEN_PX or not width * height:
        nearest = [max(TOKEN_PX, n // TOKEN_PX * TOKEN_PX) for n in (width, height)]
        raise SynCamError(
            "option.form",
            f"--size is {args.size}; both must be multiples of {TOKEN_PX}.",
            value=args.size,
            nearest="x".join(map(str, nearest)),
        )
    part = two_numbers(args.part, "/", "--part", "I/N")
    if not 0 <= part[0] < part[1]:
        raise SynCamError(
            "option.form",
            f"--part is {args.part}; its I/N counts from 0/N to N-1/N.",
            value=args.part,
            nearest=f"{max(0, part[1] - 1)}/{max(1, part[1])}",
        )
    if args.device != "cpu" and not torch.cuda.is_available():
        raise SynCamError(
            "strategy.device",
            f"--device is {args.device}; this machine has no usable GPU.",
            value=args.device,
        )
    autoencoder, weights = load_autoencoder(args.autoencoder, torch.device(args.device))
    open_store(args.out, file_digest(weights), width, height, args.mirror)
    done = encode_source(
        source,
        lambda video: autoencoder.encode(video.to(args.device)),
        args.out,
        width_px=width,
        height_px=height,
        part=part,
        mirror=args.mirror,
        on_group=lambda name, count: print(f"{name}: {count} scenes", flush=True),
    )
    print(f"{done} scenes encoded to {args.out}; {source.broken.report()}")
    return 0
