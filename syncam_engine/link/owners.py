# SPDX-License-Identifier: Apache-2.0
"""Whose files, folders and sockets are: what another user of the machine could have put there.

Windows keeps a user's own folders to him by access lists, which are not looked at here.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import sys
from pathlib import Path

from .errors import SynCamError

_OWN_FOLDER = "Use a folder of your own"


def folder_doubt(path: Path) -> SynCamError | None:
    """Why `path` is not a folder of this user alone; None where it is, or is not there."""
    if sys.platform == "win32":
        return None
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        text = f"{path} cannot be looked at: {error.strerror}."
        return SynCamError("folder.not_private", text, value=str(path), fix=_OWN_FOLDER)
    if not stat.S_ISDIR(info.st_mode):
        text = f"{path} is not a plain folder."
        return SynCamError("folder.not_private", text, value=str(path), fix=_OWN_FOLDER)
    if info.st_uid != os.getuid():
        text = f"{path} belongs to another user (uid {info.st_uid})."
        return SynCamError("folder.not_private", text, value=str(path), fix=_OWN_FOLDER)
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o022:
        return SynCamError(
            "folder.not_private",
            f"Other users may write to {path} (mode {mode:04o}).",
            value=f"{mode:04o}",
            nearest="0700",
            fix=f"chmod 700 {path}",
        )
    return None


def private_dir(path: Path) -> Path:
    """Make `path` with mode 0700; refuse one that somebody else owns or could have written to."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if doubt := folder_doubt(path):
        raise doubt
    if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o700)  # ours, and nobody can have put anything into it
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def is_own_socket(path: Path) -> bool:
    """Whether this user's socket is at `path`; False where nothing is.

    Raises `SynCamError` ("folder.not_private", "engine.not_own") where another user made it or the
    folder that it is in: he would hear what is sent there.
    """
    if doubt := folder_doubt(path.parent):
        raise doubt
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        text = f"The engine's socket {path} cannot be looked at: {error.strerror}."
        raise SynCamError("engine.not_own", text, value=str(path)) from error
    if not stat.S_ISSOCK(info.st_mode) or info.st_uid != os.getuid():
        raise SynCamError(
            "engine.not_own",
            f"{path} is not a socket of this user, so no engine of this user's listens there.",
            value=str(path),
            fix=f"Remove {path}, then start the engine again",
        )
    return True


def peer_uid(handle: int) -> int | None:
    """The user at the other end of a connected Unix socket; None where the system cannot say.

    Raises `OSError` where `handle` is not such a socket (any more).
    """
    with socket.fromfd(handle, socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        if hasattr(socket, "SO_PEERCRED"):
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return struct.unpack("3i", data)[1]  # struct ucred: pid, uid, gid
        if sys.platform == "darwin":
            data = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
            return struct.unpack_from("II", data)[1]
    return None


def code_doubt(path: Path, below: Path | None = None) -> str:
    """Why the program at `path` could be another user's; "" where nothing says so.

    The program and its folder must belong to this user, to the system or to the owner of this very
    code, and no folder above it may be open to everybody. `below` is a folder that is trusted as it
    stands, this code's own.
    """
    if sys.platform == "win32":
        return ""
    trusted = {os.getuid(), 0, Path(__file__).stat().st_uid}
    place = path.parent.resolve() / path.name  # where a link of one's own leads was one's choice
    for one in (place, *place.parents):
        if below is not None and one == below.resolve():
            break
        try:
            info = one.lstat()
        except OSError as error:
            return f"{one} cannot be looked at: {error.strerror}"
        near = one in (place, place.parent)
        if near and info.st_uid not in trusted:
            return f"{one} belongs to another user (uid {info.st_uid})"
        is_open = info.st_mode & 0o002 and not stat.S_ISLNK(info.st_mode)
        if is_open and (near or not info.st_mode & stat.S_ISVTX):
            return f"every user may write to {one}"
    return ""


def program_on_path(name: str) -> Path | None:
    """Like `shutil.which`, but never in the working folder, which an entry of the PATH that is not
    absolute means (".", or an empty one), and which Windows looks in by itself."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, places)))
    return Path(found) if found and os.path.isabs(found) else None
