# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and the names that they may have."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

LATENTS_FILE = "latents"
"""In a job's folder while it runs, where the engine keeps latents (see `kept_latents`)."""


def write_whole(path: Path, data: bytes) -> None:
    """Write, flush to the disk, then give the name: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call, and needs none."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hex text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_in(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
