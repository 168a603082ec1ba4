# SPDX-License-Identifier: Apache-2.0
"""`syncam package blender`: the extension as one zip for each platform.

A zip has the add-on, its manifest, the locked wheels of pyzmq, msgpack and msgspec for Blender's
Pythons, `syncam_engine.link` as a wheel of its own, and in engine/ the whole engine, without the
developers' tools, as a wheel that "Install the Engine" puts into an environment of its own. The
same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from syncam_engine import __version__
from syncam_engine.link.errors import SynCamError

from .wheels import WheelLock, collect_wheels

ROOT = Path(__file__).resolve().parents[2]
ADDON = ROOT / "blender_addon"
LOCKS = ADDON / "host_wheels.json"
STAMP = (2026, 1, 1, 0, 0, 0)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the zips (dist)")
    parser.add_argument("--wheels", type=Path, help="folder that has the wheels, or gets them")
    parser.add_argument("--platform", action="append", help="one platform only, e.g. linux-x64")


def build(args: argparse.Namespace) -> int:
    """Write the zips and say where."""
    for path in build_zips(args.out, wheels=args.wheels, platforms=args.platform):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print("In Blender: Edit > Preferences > Get Extensions > Install from Disk.")
    return 0


def read_locks() -> list[WheelLock]:
    """Return the locks: one for each of Blender's Pythons."""
    return [WheelLock(**lock) for lock in json.loads(LOCKS.read_text("utf-8"))["locks"]]


def build_zips(
    out: Path, *, wheels: Path | None = None, platforms: Iterable[str] | None = None
) -> list[Path]:
    """Return the zips' paths. Raises SynCamError, and leaves no half a zip."""
    if not ADDON.is_dir():
        raise SynCamError(
            "package.source",
            "The Blender extension's sources are not beside this engine.",
            value=str(ADDON),
            fix="Run it from a clone of SynCam",
        )
    locks = read_locks()
    known = list(locks[0].platforms)
    chosen = list(platforms or known)
    for name in chosen:
        if name not in known:
            raise SynCamError(
                "package.platform",
                f"There is no platform {name!r}; there are {', '.join(known)}.",
                value=name,
                nearest=known[0],
            )
    link, engine = link_wheel(), engine_wheel()
    fetched: dict[str, dict[str, bytes]] = {name: {} for name in chosen}
    for lock in locks:
        wanted = WheelLock(
            packages=lock.packages,
            python=lock.python,
            platforms=lock.platforms,
            wheels={name: lock.wheels[name] for name in chosen},
        )
        folder = wheels / lock.python if wheels else None
        for name, paths in collect_wheels(wanted, folder).items():
            fetched[name].update({path.name: path.read_bytes() for path in paths})
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for name in chosen:
        carried = {**fetched[name], link[0]: link[1]}
        files = {p.name: p.read_bytes() for p in sorted(ADDON.glob("*.py"))}
        files.update({f"wheels/{wheel}": data for wheel, data in carried.items()})
        files[f"engine/{engine[0]}"] = engine[1]
        files["LICENSE.txt"] = (ROOT / "LICENSES" / "GPL-3.0-or-later.txt").read_bytes()
        files["blender_manifest.toml"] = manifest(name, sorted(carried)).encode()
        check(files)
        made.append(write_zip(out / f"syncam-{__version__}-{name}.zip", files))
    return made


def manifest(platform: str, wheels: list[str]) -> str:
    """Return the manifest of one platform's zip: the source's, with its platform and wheels."""
    text = (ADDON / "blender_manifest.toml").read_text("utf-8")
    data = tomllib.loads(text)
    if data["version"] != __version__:
        raise SynCamError(
            "package.version",
            f"blender_manifest.toml says version {data['version']}; the engine is {__version__}.",
            value=data["version"],
            nearest=__version__,
        )
    head, table, rest = text.partition("[permissions]")
    names = "".join(f'  "./wheels/{name}",\n' for name in wheels)
    return f'{head}platforms = ["{platform}"]\nwheels = [\n{names}]\n\n{table}{rest}'


def link_wheel() -> tuple[str, bytes]:
    """Return the wheel of what a host imports of the engine: no torch, no numpy in it."""
    package = ROOT / "syncam_engine"
    sources = [package / "__init__.py", *sorted((package / "link").glob("*.py"))]
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sources}
    return pure_wheel("syncam_link", "The part of SynCam that hosts import", files)


def engine_wheel() -> tuple[str, bytes]:
    """Return the wheel of the engine with the preview weights, its extras as in a clone."""
    package = ROOT / "syncam_engine"
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and package / "devtools" not in path.parents
        and (path.suffix == ".py" or "weights" in path.parts)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requires = list(project["dependencies"])
    extra = [f'{text} ; extra == "engine"' for text in project["optional-dependencies"]["engine"]]
    commands = "".join(f"{name} = {where}\n" for name, where in project["scripts"].items())
    return pure_wheel(
        "syncam",
        project["description"],
        files,
        requires=requires + extra,
        extras=["engine"],
        entry_points=f"[console_scripts]\n{commands}",
    )


def pure_wheel(
    name: str,
    summary: str,
    files: dict[str, bytes],
    *,
    requires: Iterable[str] = (),
    extras: Iterable[str] = (),
    entry_points: str = "",
    version: str = __version__,
) -> tuple[str, bytes]:
    """Return the file name and bytes of a pure Python wheel (PEP 427) of `files`."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name.replace('_', '-')}", f"Version: {version}"]
    lines += [f"Summary: {summary}", "License: Apache-2.0", "Requires-Python: >=3.11"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {text}" for text in requires]
    contents = dict(files)
    contents[f"{info}/METADATA"] = ("\n".join(lines) + "\n").encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: syncam\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if entry_points:
        contents[f"{info}/entry_points.txt"] = entry_points.encode()
    record = "".join(
        f"{path},sha256={_record_digest(data)},{len(data)}\n" for path, data in contents.items()
    )
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return f"{name}-{version}-py3-none-any.whl", zip_bytes(contents)


def _record_digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def zip_bytes(files: dict[str, bytes]) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in files:
            # Wheels and weights are packed already.
            stored = name.endswith((".whl", ".safetensors"))
            info = zipfile.ZipInfo(name, STAMP)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def write_zip(target: Path, files: dict[str, bytes]) -> Path:
    partial = target.with_suffix(".partial")
    partial.write_bytes(zip_bytes({name: files[name] for name in sorted(files)}))
    partial.replace(target)
    return target


def check(files: dict[str, bytes]) -> None:
    """Raise SynCamError for a zip that must not go out."""
    for name, content in files.items():
        stem = Path(name).name.partition("-")[0].lower()
        if name.startswith("wheels/") and stem in ("numpy", "torch"):
            raise SynCamError("package.content", f"The extension would carry {stem}: {name}.")
        if name.endswith(".py") and b"GPL-3.0-or-later" not in content[:200]:
            raise SynCamError("package.content", f"{name} does not say its licence.")
