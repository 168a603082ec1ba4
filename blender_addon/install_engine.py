# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the engine into an environment of its own. Pure: no bpy, standard library only.

Run as a program by the add-on, in a process of its own, so that nothing waits for it:

    PYTHON install_engine.py --folder FOLDER --package PACKAGE

It prints `STEP n/m text` as it goes and, at the end, `DONE path-of-python` or `ERROR sentence`.
PACKAGE is a wheel of `syncam` or a folder with its pyproject.toml.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

FREE_GB = 6.0
OFFLINE = (
    *("name resolution", "getaddrinfo failed", "Network is unreachable", "Max retries"),
    "connection broken by",
)
"""What pip and uv print where there is no network."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an installation is, read from what it printed."""

    step: int
    steps: int
    text: str
    done_python: str = ""
    error: str = ""


def read_progress(log: str) -> Progress:
    """Return the state that the program's output tells."""
    step, steps, text, done, error = 0, 4, "Starting", "", ""
    for line in log.splitlines():
        if match := re.match(r"STEP (\d+)/(\d+) (.*)", line):
            step, steps, text = int(match[1]), int(match[2]), match[3]
        elif line.startswith("DONE "):
            done = line[5:].strip()
        elif line.startswith("ERROR "):
            error = line[6:].strip()
    return Progress(step, steps, text, done, error)


class InstallError(Exception):
    """One sentence for the artist."""


class OfflineError(InstallError):
    """There is no network: no other way of fetching is worth a try."""


def say(text: str) -> None:
    print(text, flush=True)


def python_of(folder: Path) -> Path:
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def run(command: list[str]) -> str:
    """Run and return the output, which also goes to the log. Raises InstallError."""
    say("$ " + " ".join(command))
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, flush=True)
    if done.returncode == 0:
        return done.stdout
    if any(sign in done.stdout for sign in OFFLINE):
        raise OfflineError(
            "The engine's packages could not be fetched: there is no network; "
            "connect and try again."
        )
    if "No space left" in done.stdout:
        raise InstallError(f"The disk is full; the engine needs about {FREE_GB:g} GB.")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    raise InstallError(f"{Path(command[0]).name} failed: {(errors or lines or ['no output'])[-1]}")


def torch_pin(package: Path) -> str:
    """Return the torch requirement of a wheel or source folder, "torch" when there is none."""
    if package.is_dir():
        text = (package / "pyproject.toml").read_text(encoding="utf-8")
    else:
        with zipfile.ZipFile(package) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            text = archive.read(name).decode("utf-8")
    match = re.search(r"torch==[0-9.]+", text)
    return match[0] if match else "torch"


def has_nvidia_gpu() -> bool:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU " in listing.stdout


def install_torch(python: Path, pin: str) -> None:
    """Install the CPU build where there is no NVIDIA GPU, else the GPU's own."""
    pip = [str(python), "-m", "pip", "install", "--progress-bar", "off"]
    if not has_nvidia_gpu() and "==" in pin:
        # pip's own configuration may offer a CPU build, several GB smaller than the usual one.
        try:
            run([*pip, f"{pin}+cpu"])
            return
        except OfflineError:
            raise
        except InstallError:
            say("no CPU build there; uv chooses the right one")
    run([*pip, "uv"])
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    run([*uv, "--torch-backend=auto", pin])


def install(folder: Path, package: Path) -> Path:
    """Make the environment complete; return its Python. Safe to run again after a stop."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(folder.parent).free / 1e9
    if free_gb < FREE_GB:
        raise InstallError(
            f"{folder.parent} has {free_gb:.1f} GB free; the engine needs about {FREE_GB:g} GB."
        )
    python = python_of(folder)
    say("STEP 1/4 Making the engine's own Python environment")
    if not python.exists():
        try:
            run([sys.executable, "-m", "venv", str(folder)])
        except InstallError as error:
            raise InstallError(
                f"{error} This Python cannot make environments (on Debian: install python3-venv)."
            ) from error
    say("STEP 2/4 Fetching PyTorch (200 MB; 3 GB with a GPU)")
    install_torch(python, torch_pin(package))
    say("STEP 3/4 Installing the engine")
    run([str(python), "-m", "pip", "install", "--progress-bar", "off", f"{package}[engine]"])
    say("STEP 4/4 Checking")
    run([str(python), "-m", "syncam_engine.cli", "--version"])
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--package", type=Path, required=True)
    args = parser.parse_args()
    try:
        say(f"DONE {install(args.folder, args.package)}")
    except InstallError as error:
        say(f"ERROR {error}")
        return 1
    except OSError as error:
        say(f"ERROR {error.filename or args.folder}: {error.strerror}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
