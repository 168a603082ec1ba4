# SPDX-License-Identifier: Apache-2.0
"""`syncam render`: multi-camera training scenes with Blender, each scene in its own process.

Blender never runs in this process: workers are `BPY_PYTHON -m render_rigs.worker`, and what they
say comes back as JSON lines.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError
from syncam_engine.rendering import farm, manifest
from syncam_engine.rendering.run import RenderRun
from syncam_engine.rendering.unreal import run as unreal
from syncam_engine.rendering.version import renderer_version

PASSES = ("rgb", "depth", "normal", "mask", "flow", "albedo")
FAST = {
    "cameras": 4,
    "frames": 17,
    "size": (160, 96),
    "samples": 3,
    "bounces": 1,
    "radius": (3.5, 5.5),
    "elevation": (0.0, 40.0),
    "subjects": (1, 1),
}
FULL = {
    "cameras": 36,
    "frames": 100,
    "size": (672, 384),
    "samples": 64,
    "bounces": 4,
    "radius": (3.5, 9.0),
    "elevation": (0.0, 45.0),
    "subjects": (1, 2),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scenes", type=int, default=500, help="how many scenes (500)")
    add("--cameras", type=int, help="cameras a scene (36; --fast 4)")
    add("--frames", type=int, help="frames a camera (100; --fast 17)")
    add("--size", type=_size, metavar="WxH", help="picture size (672x384; --fast 160x96)")
    add("--fps", type=int, default=15, help="frames a second (15)")
    add("--out", type=Path, help="folder of the set")
    add("--seed", type=int, default=7, help="the same seed gives the same set (7)")
    add(
        "--engine",
        choices=("cycles", "eevee", "workbench", "unreal"),
        default="cycles",
        help="what draws the pictures; unreal needs the options at the end",
    )
    add("--samples", type=int, help="samples a pixel (64; --fast 3)")
    add("--no-denoise", action="store_true", help="leave the noise in")
    add(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="gpu: an error where there is none",
    )
    add(
        "--passes",
        type=_passes,
        default=("rgb",),
        metavar="LIST",
        help=f"of {','.join(PASSES)}; all but rgb as arrays beside the films, or in the shards",
    )
    add("--preview", action="store_true", help="a contact sheet and a top view for each scene")
    add("--fast", action="store_true", help="low-poly, few samples: for the preview model")
    add("--packed", action="store_true", help="lossless shards of raw frames, many scenes a file")
    add("--stills", action="store_true", help="one frame a camera; implies --packed")
    add("--per-shard", type=int, default=20, help="scenes in a packed shard (20)")
    add("--places", type=_words, default=(), metavar="LIST", help="only these kinds of places")
    add("--subjects", type=_pair(int), metavar="MIN-MAX", help="subjects a scene (1-2)")
    add("--radius", type=_pair(float), metavar="MIN-MAX", help="camera distance in metres (3.5-9)")
    add("--elevation", type=_pair(float), metavar="MIN-MAX", help="degrees above the centre (0-45)")
    add(
        "--focal",
        type=_pair(float),
        default=(24.0, 24.0),
        metavar="MIN-MAX",
        help="lens in mm on a 23.76 mm sensor, one for each scene (24)",
    )
    add(
        "--camera-motion",
        default="static",
        help="static (default), orbit, dolly, crane, pan, handheld or mixed",
    )
    add("--assets", type=Path, help="your own subjects: folder with assets.json")
    add("--locations", type=Path, help="your own places: folder with locations.json")
    add("--workers", type=int, default=1, help="scenes at once (1: Blender itself uses all cores)")
    add("--threads", type=int, default=0, help="threads of each worker (0: all)")
    add("--cluster", metavar="auto|ADDRESS", help="spread the scenes over a Ray cluster")
    add(
        "--openjd",
        type=Path,
        metavar="JOB.yaml",
        help="write an Open Job Description template for a render farm instead of rendering",
    )
    add("--job", type=Path, metavar="job.json", help="the options of a set as it wrote them")
    add("--unit", type=int, metavar="N", help="with --job: only this scene (or shard)")
    add("--collect", action="store_true", help="with --job: only write the manifest")
    add("--only", type=_range, metavar="FIRST-LAST", help="only these scenes (from 1), or shards")
    unreal.add_options(parser)


def run(args: argparse.Namespace) -> int:
    spec = read_job(args) if args.job else job_spec(args)
    if args.collect:
        if not Path(spec["out"]).is_dir():
            raise SynCamError("render.out", f"There is no set at {spec['out']}.", value=spec["out"])
        return 0 if manifest.write(Path(spec["out"]), spec) else 1
    if spec["engine"] == "unreal":
        return unreal.render(spec, args)
    if args.unit is not None:
        units = spec["scenes"] if not spec["packed"] else -(-spec["scenes"] // spec["per_shard"])
        if not 1 <= args.unit <= units:
            raise SynCamError(
                "render.unit",
                f"--unit is {args.unit}; this set has {units}, counted from 1.",
                value=args.unit,
                nearest=min(max(args.unit, 1), units),
            )
        return 0 if RenderRun(spec).alone(args.unit - 1) else 1
    if args.openjd:
        farm.write_openjd(args.openjd, spec)
        print(f"wrote {args.openjd}: openjd check {args.openjd}")
        return 0
    run = RenderRun(spec, workers=args.workers, cluster=args.cluster, only=args.only)
    with run:
        print(run.describe())
        failed = run.all()
    if failed:
        print(
            f"{len(failed)} of the units failed: {', '.join(map(str, failed))}; logs in "
            f"{run.log_folder}",
            file=sys.stderr,
        )
    return 1 if failed else 0


def read_job(args: argparse.Namespace) -> dict:
    """The job that a set's folder or a farm's template holds, for this machine's folder."""
    try:
        spec = json_text.loads(args.job.read_text())
    except OSError as error:
        raise SynCamError(
            "render.job",
            f"The job file {args.job} cannot be read: {error.strerror}.",
            value=str(args.job),
        ) from None
    except ValueError as error:
        raise SynCamError(
            "render.job", f"{args.job} is not a job file: {error}.", value=str(args.job)
        ) from None
    if args.out:
        spec["out"] = str(args.out.resolve())
    return spec


def job_spec(args: argparse.Namespace) -> dict:
    """Return the job as plain data: what `render_rigs.spec.RenderSpec` reads."""
    if not args.out:
        raise SynCamError("render.out", "No folder was given for the set.", fix="Give --out DIR")
    defaults = FAST if args.fast else FULL
    width, height = args.size or defaults["size"]
    if width % 2 or height % 2:
        raise SynCamError(
            "size.odd",
            f"The size {width}x{height} is odd; H.264 films need even numbers, such as "
            f"{width + width % 2}x{height + height % 2}.",
            value=[width, height],
            nearest=[width + width % 2, height + height % 2],
        )
    for name, value in (("assets", args.assets), ("locations", args.locations)):
        if value and not (value / f"{name}.json").is_file():
            raise SynCamError(
                "render.manifest",
                f"{value} has no {name}.json; it lists the files "
                "with their scale, up axis and actions.",
                value=str(value),
            )
    spec = {
        "renderer": renderer_version(),
        "seed": args.seed,
        "scenes": args.scenes,
        "cameras": _given(args.cameras, 5 if args.stills else defaults["cameras"]),
        "frames": 1 if args.stills else _given(args.frames, defaults["frames"]),
        "width_px": width,
        "height_px": height,
        "fps": args.fps,
        "engine": args.engine,
        "samples": _given(args.samples, defaults["samples"]),
        "denoise": not args.no_denoise,
        "bounces": defaults["bounces"],
        "device": args.device,
        "passes": args.passes,
        "fast": args.fast,
        "packed": args.packed or args.stills,
        "per_shard": args.per_shard,
        "radius_m": args.radius or defaults["radius"],
        "elevation_deg": args.elevation or defaults["elevation"],
        "focal_mm": args.focal,
        "subjects": args.subjects or defaults["subjects"],
        "camera_motion": args.camera_motion,
        "places": args.places,
        "preview": args.preview,
        "threads": args.threads,
        "assets": str(args.assets.resolve()) if args.assets else "",
        "locations": str(args.locations.resolve()) if args.locations else "",
        "out": str(args.out.resolve()),
    }
    counted = ("scenes", "cameras", "frames", "fps", "samples", "per_shard")
    numbers = {name: spec[name] for name in (*counted, "width_px", "height_px")}
    for name, value in {**numbers, "workers": args.workers}.items():
        if value < 1:
            raise SynCamError(
                "render.number",
                f"{name} is {value}; it must be at least 1.",
                value=value,
                nearest=1,
            )
    return spec


def _given(value: int | None, default: int) -> int:
    """Return an option's value; 0 is one, and is refused later."""
    return default if value is None else value


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 672x384") from None
    return width, height


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _passes(text: str) -> tuple[str, ...]:
    names = _words(text)
    for name in names:
        if name not in PASSES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PASSES)}")
    return names if "rgb" in names else ("rgb", *names)


def _pair(kind):
    def parse(text: str):
        try:
            values = tuple(kind(part) for part in text.split("-"))
        except ValueError:
            values = ()
        if len(values) == 1:
            values *= 2
        if len(values) != 2 or values[0] > values[1]:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not MIN-MAX, the smaller first"
            ) from None
        return values

    return parse


_range = _pair(int)
