#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Set SynCam up in this folder and run it: standard library only.

    python3 bootstrap.py demo --out DIR    four cameras of a Blender scene become four clips
    python3 bootstrap.py test              lint, format check and every test
    python3 bootstrap.py test --quick      the tests that start no process: two minutes, no Blender
    python3 bootstrap.py setup             the set-up alone

Environments made here: `.venv` (the engine: torch) and `.venv-bpy-5.0` (Blender as a module); the
tests also use `.venv-bpy-4.2` and `.venv-bpy-4.5`. bpy and torch never share a process. What is
already there and up to date is left alone: a second run starts in seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEMO = ROOT / "examples" / "demo.py"
PYTHON = (3, 11)
TORCH = "2.13.0"
# The Blender versions that are tested; the first is the one that the demo uses.
BPY = {"5.0": "5.0.1", "4.5": "4.5.15", "4.2": "4.2.23"}
LATEST_BPY = next(iter(BPY))
# Shared libraries that the bpy wheel loads on Linux, with their Debian packages.
BPY_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libXfixes.so.3": "libxfixes3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
}
NO_NETWORK = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname",
    "getaddrinfo failed",
    "Network is unreachable",
    "NewConnectionError",
    "ConnectTimeoutError",
    "Max retries exceeded",
)


# What pip says it does, in its first word, and how the progress line says it.
DOING = {"Collecting": "finding", "Downloading": "fetching", "Installing": "unpacking"}
doing: dict[str, str] = {}


class SetupError(Exception):
    """One sentence for the person at the terminal, with the fix in it."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what goes into it, step by step."""

    label: str
    folder: Path
    installs: tuple[tuple[str, ...], ...]
    """Arguments of `pip install`, one tuple a call."""
    wants_torch: bool = False
    sees_clone: bool = False
    """Whether the clone's packages are put on its path as they are, without being installed."""

    @property
    def python(self) -> Path:
        if os.name == "nt":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / "syncam-setup.txt"

    @property
    def log(self) -> Path:
        return self.folder / "syncam-setup.log"

    def fingerprint(self) -> str:
        """What the finished set-up depends on; another one means set up again."""
        parts = [repr(self.installs), TORCH if self.wants_torch else "", str(self.folder)]
        parts.append((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def is_ready(self) -> bool:
        return (
            self.python.exists()
            and self.stamp.exists()
            and self.stamp.read_text(encoding="utf-8") == self.fingerprint()
        )


def engine_environment() -> Environment:
    return Environment(
        label="engine (torch, diffusers)",
        folder=ROOT / ".venv",
        installs=(("--editable", f"{ROOT}[engine,train,evaluate,cluster,dev]"),),
        wants_torch=True,
    )


def bpy_environment(version: str) -> Environment:
    return Environment(
        label=f"Blender {version} as a module",
        folder=ROOT / f".venv-bpy-{version}",
        installs=((*bpy_requirements(), f"bpy=={BPY[version]}", "pytest"),),
        sees_clone=True,
    )


def bpy_requirements() -> list[str]:
    """Return what the wire and the renderer need beside bpy, as pyproject.toml states it."""
    import tomllib  # not in the Pythons that are only told which one to use

    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["render"]]


def say(text: str) -> None:
    print(text, flush=True)


def right_python() -> list[str] | None:
    """Return the command of a Python of the right version, or None."""
    if sys.version_info[:2] == PYTHON:
        return [sys.executable]
    name = "{}.{}".format(*PYTHON)
    candidates = [[f"python{name}"]] if os.name != "nt" else [["py", f"-{name}"]]
    for command in candidates:
        path = shutil.which(command[0])
        if path is None:
            continue
        probe = "import sys; print('{}.{}'.format(*sys.version_info))"
        found = subprocess.run(
            [path, *command[1:], "-c", probe], capture_output=True, text=True, check=False
        )
        if found.stdout.strip() == name:
            return [path, *command[1:]]
    return None


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver answers and lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU " in listing.stdout


def missing_libraries() -> dict[str, str]:
    """Return the shared libraries that bpy needs and this Linux lacks, with Debian packages."""
    if platform.system() != "Linux":
        return {}
    missing = {}
    for library, package in BPY_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing[library] = package
    return missing


def provide_libraries() -> None:
    """Install Blender's shared libraries where root and apt allow it; else say what to install."""
    missing = missing_libraries()
    if not missing:
        return
    packages = sorted(set(missing.values()))
    command = f"apt-get install -y {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise SetupError(
            f"Blender needs the libraries {', '.join(missing)}, which this system lacks: install "
            "them with its package manager, then run this again."
        )
    if os.geteuid() != 0:
        raise SetupError(
            f"Blender needs the libraries {', '.join(missing)}, which this system lacks: run "
            f"`sudo {command}`, then this again."
        )
    say(f"  system libraries: {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], command.split()):
        done = subprocess.run(step, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            raise SetupError(
                f"`{' '.join(step)}` failed ({last_line(done.stderr)}): install "
                f"{', '.join(packages)} by hand, then run this again."
            )


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def pip(environment: Environment, arguments: Sequence[str]) -> subprocess.CompletedProcess:
    """Run `pip install` of the environment; its output goes to the set-up log, line by line."""
    # Without byte-compiling everything, most of which never runs, a set-up takes half the time.
    options = ["install", "--progress-bar", "off", "--no-compile"]
    command = [str(environment.python), "-m", "pip", *options, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = [f"$ {' '.join(command)}\n"]
    with environment.log.open("a", encoding="utf-8") as log:
        log.write(lines[0])
        for line in process.stdout:
            lines.append(line)
            log.write(line)
            words = line.split()
            if words and words[0] in DOING and len(words) > 1:
                doing[environment.label] = f"{DOING[words[0]]} {words[1].rpartition('/')[2][:40]}"
    return subprocess.CompletedProcess(command, process.wait(), "".join(lines), "")


def pip_install(environment: Environment, arguments: Sequence[str]) -> None:
    done = pip(environment, arguments)
    if done.returncode == 0:
        return
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    if any(sign in done.stdout for sign in NO_NETWORK):
        raise SetupError(
            f"The packages of {environment.label} could not be fetched: there is no network or no "
            f"package index in reach; connect it and run this again (details: {environment.log})."
        )
    if "No space left on device" in done.stdout:
        raise SetupError(
            f"The disk of {environment.folder} is full: free about 6 GB, then run this again."
        )
    reason = errors[-1] if errors else last_line(done.stdout)
    raise SetupError(
        f"{environment.label} could not be installed ({reason}); the whole output is in "
        f"{environment.log}."
    )


def install_torch(environment: Environment) -> None:
    """Install the pinned torch: the CPU build where there is no NVIDIA GPU, else the GPU's own."""
    if not has_nvidia_gpu():
        # pip's own configuration may offer a CPU build, several GB smaller than the usual one.
        wanted = f"torch=={TORCH}+cpu"
        if pip(environment, [wanted]).returncode == 0:
            return
    pip_install(environment, ["uv"])
    command = [str(environment.python), "-m", "uv", "pip", "install"]
    command += ["--python", str(environment.python), "--torch-backend=auto", f"torch=={TORCH}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    with environment.log.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n")
    if done.returncode != 0:
        raise SetupError(
            f"torch {TORCH} could not be installed ({last_line(done.stderr)}): check the network, "
            f"then run this again (details: {environment.log})."
        )


def set_up(environment: Environment, python: Sequence[str]) -> None:
    """Make one environment complete. Safe to run again after any interruption."""
    if not environment.python.exists():
        made = subprocess.run(
            [*python, "-m", "venv", str(environment.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise SetupError(
                f"The environment {environment.folder} could not be made "
                f"({last_line(made.stdout + made.stderr)}): install Python's venv module "
                "(Debian: `apt-get install python3-venv`), then run this again."
            )
    environment.stamp.unlink(missing_ok=True)
    constraints = []
    if environment.wants_torch:
        probe = "import importlib.metadata as m; print(m.version('torch'))"
        found = subprocess.run(
            [str(environment.python), "-c", probe], capture_output=True, text=True, check=False
        ).stdout.strip()
        if found.split("+")[0] != TORCH:
            install_torch(environment)
        # No later package may put another torch in this one's place.
        pins = environment.folder / "syncam-constraints.txt"
        pins.write_text(f"torch=={TORCH}\n", encoding="utf-8")
        constraints = ["--constraint", str(pins)]
    for arguments in environment.installs:
        pip_install(environment, [*constraints, *arguments])
    if environment.sees_clone:
        probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run(
            [str(environment.python), "-c", probe], capture_output=True, text=True, check=True
        ).stdout.strip()
        Path(site, "syncam-clone.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    environment.stamp.write_text(environment.fingerprint(), encoding="utf-8")


def set_up_all(environments: Sequence[Environment], python: Sequence[str]) -> None:
    """Make every environment complete, side by side, and show how it goes."""
    waiting = [environment for environment in environments if not environment.is_ready()]
    if not waiting:
        return
    say(f"Setting up {len(waiting)} environment(s) in {ROOT} (once; some 2 GB to fetch):")
    if any(environment.folder.name.startswith(".venv-bpy") for environment in waiting):
        provide_libraries()
    start = time.monotonic()
    errors: dict[str, BaseException] = {}
    threads = {}
    for environment in waiting:

        def work(environment: Environment = environment) -> None:
            try:
                set_up(environment, python)
            except (SetupError, OSError) as error:
                errors[environment.label] = error

        threads[environment.label] = threading.Thread(target=work, daemon=True)
        threads[environment.label].start()
    finished: set[str] = set()
    told = start
    while len(finished) < len(threads):
        time.sleep(0.2)
        now = time.monotonic()
        for label, thread in threads.items():
            if not thread.is_alive() and label not in finished:
                finished.add(label)
                state = "failed" if label in errors else "ready"
                say(f"  [{len(finished)}/{len(threads)}] {label}: {state} ({now - start:.0f} s)")
        if now - told >= 20 and len(finished) < len(threads):
            told = now
            left = [label for label in threads if label not in finished]
            say(
                f"  {now - start:4.0f} s  " + "; ".join(f"{x}: {doing.get(x, '...')}" for x in left)
            )
    if errors:
        raise SetupError(" ".join(str(error) for error in errors.values()))


def run_tests(engine: Environment, extra: Sequence[str]) -> int:
    """Lint, check the format, run pytest; return the first exit status that is not 0."""
    python = str(engine.python)
    # Most tests wait for processes of their own; a file's tests share those, so stay together.
    side_by_side = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
    steps = [
        ("ruff check", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        ("pytest", [python, "-m", "pytest", *side_by_side, *extra]),
    ]
    failed = 0
    for name, command in steps:
        say(f"== {name}")
        status = subprocess.call(command, cwd=ROOT)
        failed = failed or status
    return failed


def run_demo(engine: Environment, bpy: Environment, extra: Sequence[str], folder: str) -> int:
    command = [str(bpy.python), str(DEMO), *extra]
    return subprocess.call([*command, "--engine-python", str(engine.python)], cwd=folder)


def blender_versions(command: str, extra: Sequence[str]) -> list[str]:
    """Return the Blender versions to set up: all for the tests, none for the quick ones."""
    if command != "test":
        return [LATEST_BPY]
    return [] if "--quick" in extra else list(BPY)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="Options after the command go to the demo (--out DIR, --help) or pytest (--quick).",
    )
    parser.add_argument("command", choices=("demo", "test", "setup"))
    args, extra = parser.parse_args(sys.argv[1:2]), sys.argv[2:]
    if args.command == "demo" and {"-h", "--help"} & set(extra):
        return subprocess.call([sys.executable, str(DEMO), "--help"])  # needs nothing set up
    # `python -m` and `python -c` take modules from the working folder, which may be anybody's.
    folder = os.getcwd()
    os.chdir(ROOT)
    python = right_python()
    if python is None:
        wanted = "{}.{}".format(*PYTHON)
        found = "{}.{}".format(*sys.version_info)
        raise SetupError(
            f"SynCam needs Python {wanted} (Blender's own, for which its packages are built), and "
            f"this is {found}: install Python {wanted} from python.org or your system, then run "
            f"`python{wanted} bootstrap.py {args.command}`."
        )
    engine = engine_environment()
    blenders = [bpy_environment(version) for version in blender_versions(args.command, extra)]
    set_up_all([engine, *blenders], python)
    if args.command == "setup":
        say(f"Ready: {engine.python} -m syncam_engine.cli --help")
        return 0
    if args.command == "test":
        return run_tests(engine, extra)
    return run_demo(engine, blenders[0], extra, folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bootstrap: stopped; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
