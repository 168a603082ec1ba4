# SPDX-License-Identifier: Apache-2.0
"""Blender as a child process of a test: its folder, its environment, and no engine left behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
STUB = "tests.service.stub_pipeline:load_pipeline"


def write_engine_python(folder: Path, real_python: Path) -> Path:
    """Write a program that passes on to `real_python`, with the stub where it serves.

    Its engine paints clips instead of sampling them, and ends by itself when nobody uses it.
    """
    program = folder / "engine-python"
    python, root = shlex.quote(str(real_python)), shlex.quote(str(ROOT))
    options = f"--exit-when-idle 120 --pipeline {STUB}"
    program.write_text(
        f"""#!/bin/sh
export SYNCAM_STUB_DIR={shlex.quote(str(folder))} OMP_NUM_THREADS=1 PYTHONPATH={root}
case "$*" in *" serve "*) exec {python} "$@" {options};; esac
exec {python} "$@"
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


@contextlib.contextmanager
def blender_folder() -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a short folder and the environment of a Blender that keeps all of its own in it.

    At the end every process that was started over the folder is gone, and so is the folder.
    """
    # Sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="syncam-bl-", dir="/tmp"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
        "SYNCAM_ENGINE_PYTHON": str(write_engine_python(folder, Path(sys.executable))),
        "SYNCAM_STATE_DIR": str(folder / "state"),
        "SYNCAM_CONFIG_DIR": str(folder / "config"),
        "BLENDER_USER_RESOURCES": str(folder / "blender"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    try:
        yield folder, environment
    finally:
        end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_processes(folder: Path) -> None:
    """End the engines over `folder`, with their workers; wait until they are gone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in word for word in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(found, timeout=15)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()
