# SPDX-License-Identifier: Apache-2.0
"""`syncam package unreal`: the plugin as one zip, to be unpacked into a project's Plugins folder.

SynCam/SynCam.uplugin, its Python, the link package under Content/Python/Lib/site-packages, and the
locked wheels unpacked for each platform under Content/Python/<platform>/Lib/site-packages, where
the editor looks. The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

from syncam_engine import __version__
from syncam_engine.link.errors import SynCamError

from .wheels import WheelLock, collect_wheels, read_lock, unpack

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "ue_bridge" / "SynCam"
LOCK = ROOT / "ue_bridge" / "host_wheels.json"
PYTHON = "Content/Python"
STAMP = (2026, 1, 1, 0, 0, 0)
SUFFIXES = {".py", ".uplugin", ".png", ".ini"}
UPLUGIN_PLATFORM = {"Win64": "Win64", "Linux": "Linux", "Mac": "Mac", "MacIntel": "Mac"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the zip (dist)")
    parser.add_argument("--wheels", type=Path, help="folder that has the wheels, or gets them")
    parser.add_argument(
        "--no-wheels", action="store_true", help="leave them to the editor's own pip install"
    )


def build(args: argparse.Namespace) -> int:
    """Write the zip and say where."""
    path = build_zip(args.out, wheels=args.wheels, carry_wheels=not args.no_wheels)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print("Unpack it into YOUR_PROJECT/Plugins and start the editor; Tools > SynCam opens it.")
    return 0


def build_zip(
    out: Path,
    *,
    wheels: Path | None = None,
    carry_wheels: bool = True,
    lock: WheelLock | None = None,
) -> Path:
    """Return the zip's path. Raises SynCamError, and leaves no half a zip."""
    if not PLUGIN.is_dir():
        raise SynCamError(
            "package.source",
            "The Unreal plugin's sources are not beside this engine.",
            value=str(PLUGIN),
            fix="Run it from a clone of SynCam",
        )
    lock = lock or read_lock(LOCK)
    files = plugin_files()
    files.update(link_files())
    if carry_wheels:
        for platform, paths in collect_wheels(lock, wheels).items():
            for wheel in paths:
                for name, content in unpack(wheel).items():
                    files[f"{PYTHON}/{platform}/Lib/site-packages/{name}"] = content
    check(files)
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"SynCam-{__version__}-unreal.zip"
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"SynCam/{name}", STAMP)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, files[name])
    partial.replace(target)
    return target


def plugin_files() -> dict[str, bytes]:
    """Return the plugin's own files by their place in it, and its licence."""
    files = {
        str(path.relative_to(PLUGIN).as_posix()): path.read_bytes()
        for path in sorted(PLUGIN.rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }
    files["LICENSE.txt"] = (ROOT / "LICENSES" / "Apache-2.0.txt").read_bytes()
    return files


def link_files() -> dict[str, bytes]:
    """Return the link package as the plugin carries it: no torch, no numpy in it."""
    package = ROOT / "syncam_engine"
    sources = [package / "__init__.py", *sorted((package / "link").glob("*.py"))]
    return {
        f"{PYTHON}/Lib/site-packages/{path.relative_to(ROOT).as_posix()}": path.read_bytes()
        for path in sources
    }


def check(files: dict[str, bytes]) -> None:
    """Raise SynCamError for a plugin that must not go out."""
    for name, content in files.items():
        top = name.split("site-packages/")[-1].split("/")[0] if "site-packages/" in name else ""
        if top in ("numpy", "torch"):
            raise SynCamError("package.content", f"The plugin would carry {top}: {name}.")
        if name.endswith(".py") and "/Lib/" not in name and b"Apache-2.0" not in content[:200]:
            raise SynCamError("package.content", f"{name} does not say its licence.")
    descriptor = json.loads(files["SynCam.uplugin"])
    if descriptor["VersionName"] != __version__:
        raise SynCamError(
            "package.version",
            f"SynCam.uplugin says version {descriptor['VersionName']}; the engine is "
            f"{__version__}.",
            value=descriptor["VersionName"],
            nearest=__version__,
        )


def python_requirements(lock: WheelLock) -> list[dict[str, Any]]:
    """Return the descriptor's PythonRequirements: pinned, with the digest of every wheel."""
    rows: dict[str, dict[str, list[str]]] = {}
    for platform, wheels in lock.wheels.items():
        per_package = rows.setdefault(UPLUGIN_PLATFORM[platform], {})
        for file, digest in wheels.items():
            hashes = per_package.setdefault(file.split("-")[0], [])
            if digest not in hashes:
                hashes.append(digest)
    return [
        {
            "Platform": platform,
            "Requirements": [
                f"{name}=={lock.packages[name]} "
                + " ".join(f"--hash=sha256:{digest}" for digest in hashes)
                for name, hashes in per_package.items()
            ],
        }
        for platform, per_package in rows.items()
    ]
