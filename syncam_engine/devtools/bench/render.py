# SPDX-License-Identifier: Apache-2.0
"""`syncam bench render`: CPU-seconds a frame, ours against the plain loop in the same process.

Plain loop: one render call a camera, no persistent data, a PNG each, then encode.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from syncam_engine.link.environments import PROJECT_ROOT, find_bpy_python
from syncam_engine.link.errors import SynCamError

PAPER_FRAMES = 500 * 36 * 100
TARGETS = {
    "small": {"cpu_s_per_frame": 0.6, "speedup": 3.0},
    "large": {"cpu_s_per_frame": 12.0, "speedup": 1.2},
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=("small", "large"), help="one of the two sizes")
    parser.add_argument("--cameras", type=int, default=36, help="cameras of the small size (36)")
    parser.add_argument(
        "--large-cameras",
        type=int,
        default=4,
        help="cameras of the large size (4: the cost a frame is the same)",
    )
    parser.add_argument(
        "--plain-cameras", type=int, default=6, help="cameras that the plain loop renders (6)"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="as of `syncam render`"
    )


def run(args: argparse.Namespace) -> int:
    python = find_bpy_python()
    if python is None:
        raise SynCamError(
            "render.no-bpy",
            "No Python with Blender (bpy) was found.",
            fix="Run python3 bootstrap.py, or set SYNCAM_BPY_PYTHON",
        )
    plans = {
        "small": ["--size", "160x96", "--cameras", str(args.cameras), "--fast"],
        "large": ["--size", "672x384", "--cameras", str(args.large_cameras), "--denoise", "--fast"],
    }
    figures = {"cores": os.cpu_count()}
    for name, words in plans.items():
        if args.only in (None, name):
            figures[name] = measure(
                python,
                [
                    *words,
                    "--samples",
                    "8",
                    "--device",
                    args.device,
                    "--plain-cameras",
                    str(args.plain_cameras),
                ],
            )
            figures[name]["targets"] = TARGETS[name]
    if "large" in figures:
        hours = PAPER_FRAMES * figures["large"]["ours"]["wall_s_per_frame"] / 3600
        figures["paper_set_hours_on_this_machine"] = round(hours, 1)
    if args.json:
        print(json.dumps(figures))
        return 0
    for name in plans:
        if name in figures:
            f = figures[name]
            print(
                f"{name}: {f['size']}, {f['samples']} samples, {f['cameras']} cameras: "
                f"{f['ours']['cpu_s_per_frame']:.2f} CPU-s a frame "
                f"(at most {TARGETS[name]['cpu_s_per_frame']}), "
                f"{f['speedup']:.1f}x the plain loop (at least {TARGETS[name]['speedup']}), "
                f"{f['memory_mb']:.0f} MB, {f['device']['kind']}"
            )
    if "large" in figures:
        print(f"500 x 36 x 100 frames at 672x384: {figures['paper_set_hours_on_this_machine']} h")
    return 0


def measure(python: Path, words: list[str]) -> dict:
    """Run `render_rigs.measure` in Blender's Python and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        done = subprocess.run(
            [str(python), "-P", "-m", "render_rigs.measure", str(out), *words],
            text=True,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        )
        if done.returncode or not out.exists():
            raise SynCamError(
                "bench.render",
                "The measurement ended without figures: "
                + (done.stderr.strip().splitlines() or ["no message"])[-1],
            )
        return json.loads(out.read_text())
