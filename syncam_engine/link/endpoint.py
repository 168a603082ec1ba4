# SPDX-License-Identifier: Apache-2.0
"""Where an engine listens, and where its files lie.

A local engine is found by its state folder: the name of its socket follows from the folder's
path, and the `engine.json` in it says what runs there. Folders are made with mode 0700 and refused
when somebody else could write in them. Windows has no `ipc`: there the engine listens on a
loopback port, which `engine.json` names together with the engine's public key.

So nobody else can play the engine: a socket must be this user's own, in a folder that is his alone,
with a process of his behind it (`connection.py` asks the system); on a loopback port the engine
must have the secret of the key that is written in the user's own folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import json_text
from .errors import SynCamError
from .owners import folder_doubt, is_own_socket, private_dir, write_private

HAS_IPC = sys.platform != "win32" and not os.environ.get("SYNCAM_NO_IPC")
"""SYNCAM_NO_IPC=1 has other systems do as Windows must: loopback TCP with CURVE."""
INFO_FILE = "engine.json"
SHARED_FOLDER = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir())
_FOLDER_CHARS = 78
"""A socket's path has at most 103 characters on macOS; the name takes 25."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A ZeroMQ address, with the engine's public key (Z85 text) where the transport is TCP."""

    address: str
    server_key: str = ""

    @property
    def is_local(self) -> bool:
        """The engine runs on this machine. A loopback port may be a tunnel to another one."""
        return self.address.startswith(("ipc://", "inproc://"))

    @property
    def socket(self) -> Path | None:
        """The socket's file, where the transport has one."""
        is_file = self.address.startswith("ipc://")
        return Path(self.address.removeprefix("ipc://")) if is_file else None


def user_state_dir() -> Path:
    """The engine's default folder for jobs, results and logs; SYNCAM_STATE_DIR overrides it."""
    if "SYNCAM_STATE_DIR" in os.environ:
        return Path(os.environ["SYNCAM_STATE_DIR"]).absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "syncam"


def user_config_dir() -> Path:
    """The folder of keys and settings; SYNCAM_CONFIG_DIR overrides it."""
    if "SYNCAM_CONFIG_DIR" in os.environ:
        return Path(os.environ["SYNCAM_CONFIG_DIR"]).absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Preferences"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "syncam"


def socket_path(state_dir: Path) -> Path:
    """The `ipc` socket of the engine that keeps its jobs in `state_dir`."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(state_dir))).hexdigest()[:16]
    return socket_folder(state_dir)[0] / f"{name}.sock"


def socket_folder(state_dir: Path) -> tuple[Path, list[SynCamError]]:
    """The short private folder of the socket, and why others that came first are not used.

    In a temporary folder that all users share, anyone may have taken the folder's name before;
    then it is one of the user's own folders. Raises `SynCamError` where that is not possible.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    own = [Path(os.path.abspath(folder)) / "run" for folder in (state_dir, user_state_dir())]
    folders = [SHARED_FOLDER / f"syncam-{os.getuid()}", *own]
    if runtime and os.access(runtime, os.W_OK):
        folders.insert(0, Path(runtime) / f"syncam-{os.getuid()}")
    doubts = []
    for folder in folders:
        if len(os.fsencode(folder)) > _FOLDER_CHARS:
            continue
        doubt = folder_doubt(folder)
        if doubt is None:
            return folder, doubts
        doubts.append(doubt)
    raise SynCamError(
        "folder.not_private",
        " ".join(doubt.sentence for doubt in doubts)
        + " There is no other folder with a path short enough for the engine's socket.",
        fix="Set XDG_RUNTIME_DIR to a folder of your own with a short path",
    )


def local_endpoint(state_dir: Path | None = None) -> Endpoint | None:
    """Where the local engine of `state_dir` listens, or None where none does.

    Raises `SynCamError` where what is there may be another user's.
    """
    state_dir = state_dir or user_state_dir()
    if doubt := folder_doubt(state_dir):
        raise doubt
    info = read_engine_info(state_dir) or {}
    address, key = str(info.get("address", "")), str(info.get("server_key", ""))
    if address.startswith("tcp://127.0.0.1:") and len(key) == 40:
        return Endpoint(address=address, server_key=key)
    if not HAS_IPC:
        return None
    path = Endpoint(address=address).socket or socket_path(state_dir)
    return Endpoint(address=f"ipc://{path}") if is_own_socket(path) else None


def parse_endpoint(text: str) -> Endpoint:
    """Read `ipc://PATH`, `tcp://HOST:PORT` or `tcp://HOST:PORT#SERVER-PUBLIC-KEY`."""
    address, _, key = text.partition("#")
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    is_tcp = address.startswith("tcp://") and bool(host) and port.isdecimal()
    is_tcp = is_tcp and 0 < int(port) < 65536
    if not (is_tcp or address.startswith("ipc://")) or (key and len(key) != 40):
        raise SynCamError(
            "endpoint.invalid",
            f'"{text}" is not an engine\'s address, which is tcp://HOST:PORT#PUBLIC-KEY.',
            value=text,
            nearest="tcp://HOST:PORT#PUBLIC-KEY",
        )
    return Endpoint(address=address, server_key=key)


def read_engine_info(state_dir: Path) -> dict | None:
    """Return what `engine.json` says of the running engine, or None where there is none, or where
    another user could have written it."""
    if folder_doubt(state_dir):
        return None
    try:
        info = json_text.loads((state_dir / INFO_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return info if isinstance(info, dict) else None


def stored_client_id(name: str) -> str:
    """Return the id under which this user's `name` (a host program) owns its jobs, making it once.

    It is a secret among clients of one machine: who has it may cancel and fetch its jobs.
    """
    folder = private_dir(private_dir(user_config_dir()) / "client-ids")
    path = folder / name
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    if re.fullmatch(r"[0-9a-f]{32}", text):
        if sys.platform != "win32" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return text
    text = uuid.uuid4().hex
    write_private(path, text)
    return text
