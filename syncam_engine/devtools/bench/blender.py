# SPDX-License-Identifier: Apache-2.0
"""`syncam bench blender`: the panel's tick while previews stream, and the adding of results.

Runs `tick_times.py`, which stands beside this file, in the environment that has bpy. The
previews come through a real socket, from a stand-in that sends faster than any sampler. Aims: a
tick under 2 ms median and 4 ms at the 99th percentile while four cameras' previews stream; the
results of four cameras added in under 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from syncam_engine.link.environments import DEFAULT_BPY, PROJECT_ROOT, find_bpy_python
from syncam_engine.link.errors import SynCamError

SCRIPT = Path(__file__).with_name("tick_times.py")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blender", default=DEFAULT_BPY, help=f"version of bpy ({DEFAULT_BPY})")
    parser.add_argument(
        "--size", default="256x148", help="of the previews; the engine sends 256x148 at most"
    )
    parser.add_argument("--ticks", type=int, default=600, help="how many ticks to time (600)")


def run(args: argparse.Namespace) -> int:
    python = find_bpy_python(args.blender)
    if python is None:
        raise SynCamError(
            "bench.bpy",
            f"There is no Python with bpy {args.blender} beside this engine.",
            value=args.blender,
            fix="Run `python3 bootstrap.py test` once",
        )
    with tempfile.TemporaryDirectory(prefix="syncam-bench-") as folder:
        out = Path(folder, "figures.json")
        environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT_ROOT),
            "SYNCAM_ENGINE_PYTHON": sys.executable,
            "SYNCAM_STATE_DIR": str(Path(folder, "state")),
            "SYNCAM_CONFIG_DIR": str(Path(folder, "config")),
            "BLENDER_USER_RESOURCES": str(Path(folder, "blender")),
        }
        done = subprocess.run(
            [str(python), str(SCRIPT), str(out), args.size, str(args.ticks)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0 or not out.is_file():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise SynCamError("bench.failed", f"The measurement failed: {lines[-1:]}.")
        figures = json.loads(out.read_text())
    if args.json:
        print(json.dumps(figures))
        return 0
    for name, value in figures.items():
        print(f"{name:>28}: {value:.3f}" if isinstance(value, float) else f"{name:>28}: {value}")
    return 0
