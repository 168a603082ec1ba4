# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and the names that they may have."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

from syncam_engine.link.errors import SynCamError

LATENTS_FILE = "latents"
"""In a job's folder while it runs, where the engine keeps latents (see `kept_latents`)."""


CANNOT_WRITE = (OSError, sqlite3.Error)


class _Reason(NamedTuple):
    code: str
    what: str
    fix: str
    of_system: tuple[int, ...]
    of_sqlite: tuple[int, ...]


_REASONS = (
    _Reason(
        "disk.full",
        "has no room left",
        "Free disk space on the engine's machine",
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        (sqlite3.SQLITE_FULL,),
    ),
    _Reason(
        "disk.gone",
        "has lost a folder of the engine's, which was removed or unmounted",
        "Start the engine again",
        (errno.ENOENT, errno.ENOTDIR, errno.ESTALE),
        (sqlite3.SQLITE_CANTOPEN,),
    ),
    _Reason(
        "disk.locked",
        "holds a database of jobs that another program has locked",
        "End that program (a database browser, a backup)",
        (),
        (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
    ),
    _Reason(
        "disk.denied",
        "may not be written to",
        "Give the engine's user the right to write",
        (errno.EACCES, errno.EPERM, errno.EROFS),
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
    ),
)


def not_written(error: OSError | sqlite3.Error) -> SynCamError:
    """Say why the disk does not take something, without the paths that the error may have."""
    of_system = isinstance(error, OSError)
    if of_system:
        number, said = error.errno, error.strerror or type(error).__name__
    else:
        number, said = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, str(error)
    for reason in _REASONS:
        if number in (reason.of_system if of_system else reason.of_sqlite):
            return SynCamError(
                reason.code,
                f"The engine's disk {reason.what} ({said}). Earlier jobs are kept.",
                fix=reason.fix,
            )
    return SynCamError(
        "disk.failed",
        f"The engine's disk fails: {said}. Earlier jobs are kept.",
        fix="Check the engine's disk",
    )


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
