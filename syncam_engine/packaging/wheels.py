# SPDX-License-Identifier: Apache-2.0
"""Wheels that a host plugin carries: pinned in a lock file, fetched by the user's own pip, checked.

A lock is {"packages": {"pyzmq": "27.3.0", ...}, "python": "3.11",
"platforms": {"Win64": ["win_amd64"], ...}, "wheels": {"Win64": {"pyzmq-...whl": "<sha256>"}, ...}}.
`platforms` gives pip's tags, best first. A wheel is used only with the digest that the lock names.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from syncam_engine.link.errors import SynCamError


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelLock:
    """What a plugin carries for each platform."""

    packages: dict[str, str]
    python: str
    platforms: dict[str, list[str]]
    wheels: dict[str, dict[str, str]]


def read_lock(path: Path) -> WheelLock:
    data = json.loads(Path(path).read_text("utf-8"))
    return WheelLock(**{name: data[name] for name in WheelLock.__slots__})


def collect_wheels(lock: WheelLock, folder: Path | None = None) -> dict[str, list[Path]]:
    """Return the locked wheels of each platform, from `folder` or fetched into it.

    `folder` None fetches into a folder that lives as long as the process. Raises SynCamError
    ("wheels.*") for a wheel that is missing or is not the locked one.
    """
    folder = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="syncam-wheels-"))
    found: dict[str, list[Path]] = {}
    for platform, names in lock.wheels.items():
        if any(not (folder / name).is_file() for name in names):
            _fetch(lock, platform, folder)
        found[platform] = [_checked(folder / name, digest) for name, digest in names.items()]
    return found


def _checked(path: Path, digest: str) -> Path:
    if not path.is_file():
        raise SynCamError("wheels.missing", f"The wheel {path.name} is not in {path.parent}.")
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    if got != digest:
        raise SynCamError(
            "wheels.digest",
            f"The wheel {path.name} is not the locked one: its SHA-256 is {got}.",
            value=got,
            nearest=digest,
        )
    return path


def pip_command(lock: WheelLock, platform: str, folder: Path) -> list[str]:
    """Return the pip call that fetches a platform's wheels; pip's own configuration says whence."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--python-version", lock.python, "--implementation", "cp"]
    command += ["--abi", f"cp{lock.python.replace('.', '')}", "--abi", "abi3"]
    for tag in lock.platforms[platform]:
        command += ["--platform", tag]
    return [*command, *(f"{name}=={version}" for name, version in lock.packages.items())]


def _fetch(lock: WheelLock, platform: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(pip_command(lock, platform, folder), capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise SynCamError(
            "wheels.fetch",
            f"pip could not fetch the wheels for {platform}: "
            f"{lines[-1] if lines else 'see its configuration'}.",
            fix="Give --wheels a folder that has them",
        )


def unpack(wheel: Path) -> dict[str, bytes]:
    """Return a wheel's files by their place in site-packages; scripts and data are left out.

    Raises SynCamError for a name that would leave the folder.
    """
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = PurePosixPath(info.filename)
            if info.is_dir() or name.parts[0].endswith(".data"):
                continue
            if name.is_absolute() or ".." in name.parts:
                raise SynCamError("wheels.path", f"{wheel.name} holds the path {info.filename!r}.")
            files[str(name)] = archive.read(info)
    return files


def make_lock(
    packages: dict[str, str], python: str, platforms: dict[str, list[str]], folder: Path
) -> dict[str, Any]:
    """Fetch the wheels and return the lock of them as plain data, for a new set of versions."""
    wheels: dict[str, dict[str, str]] = {}
    for platform in platforms:
        lock = WheelLock(packages=packages, python=python, platforms=platforms, wheels={})
        target = Path(folder) / platform
        _fetch(lock, platform, target)
        wheels[platform] = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(target.glob("*.whl"))
        }
    return {"packages": packages, "python": python, "platforms": platforms, "wheels": wheels}
