# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the engine's Python whose engine paints clips instead of sampling them."""

from __future__ import annotations

import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUB = "tests.service.stub_pipeline:load_pipeline"


def write_engine_python(folder: Path, real_python: Path) -> Path:
    """Write a program that passes on to `real_python`, with the stub where it serves."""
    program = folder / "engine-python"
    python, root = shlex.quote(str(real_python)), shlex.quote(str(ROOT))
    program.write_text(
        f"""#!/bin/sh
export SYNCAM_STUB_DIR={shlex.quote(str(folder))} OMP_NUM_THREADS=1 PYTHONPATH={root}
case "$*" in *" serve "*) exec {python} "$@" --pipeline {STUB};; esac
exec {python} "$@"
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program
