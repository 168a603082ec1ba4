# SPDX-License-Identifier: Apache-2.0
"""Where an engine listens, and where its files lie.

A local engine is found by its state folder: the name of its socket follows from the folder's
path, and the `engine.json` in it says what runs there. Folders are made with mode 0700 and refused
when somebody else could write in them. Windows has no `ipc`: there the engine listens on a
loopback port, which `engine.json` names together with the engine's public key.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from .errors import SynCamError

HAS_IPC = sys.platform != "win32" and not os.environ.get("SYNCAM_NO_IPC")
"""SYNCAM_NO_IPC=1 has other systems do as Windows must: loopback TCP with CURVE."""
INFO_FILE = "engine.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A ZeroMQ address, with the engine's public key (Z85 text) where the transport is TCP."""

    address: str
    server_key: str = ""

    @property
    def is_local(self) -> bool:
        """The engine runs on this machine: its result paths can be opened here."""
        return self.address.startswith(("ipc://", "tcp://127.0.0.1:", "inproc://"))


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


def private_dir(path: Path) -> Path:
    """Make `path` with mode 0700; refuse one that somebody else owns or could have written to."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform == "win32":
        return path
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode) or not stat.S_ISDIR(info.st_mode):
        raise SynCamError(
            "folder.not_private", f"{path} is not a plain folder.", fix=f"Remove {path}."
        )
    if info.st_uid != os.getuid():
        raise SynCamError(
            "folder.not_private", f"{path} belongs to another user.", fix=f"Remove {path}."
        )
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o022:
        raise SynCamError(
            "folder.not_private",
            f"Other users may write to {path} (mode {mode:04o}).",
            value=f"{mode:04o}",
            nearest="0700",
            fix=f"chmod 700 {path}",
        )
    if mode & 0o077:
        path.chmod(0o700)  # ours, and nobody can have put anything into it
    return path


def socket_path(state_dir: Path) -> Path:
    """The `ipc` socket of the engine that keeps its jobs in `state_dir`.

    It lies in a short private folder, since a socket's path may have only about 100 characters.
    """
    name = hashlib.sha256(os.fsencode(os.path.abspath(state_dir))).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime or len(runtime) > 60 or not os.access(runtime, os.W_OK):
        runtime = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    return Path(runtime) / f"syncam-{os.getuid()}" / f"{name}.sock"


def local_endpoint(state_dir: Path | None = None) -> Endpoint | None:
    """Where the local engine of `state_dir` listens, or None where only a running one can tell."""
    state_dir = state_dir or user_state_dir()
    info = read_engine_info(state_dir)
    if info and info.get("address"):
        return Endpoint(address=info["address"], server_key=info.get("server_key", ""))
    if HAS_IPC:
        return Endpoint(address=f"ipc://{socket_path(state_dir)}")
    return None


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
    """Return what `engine.json` says of the running engine, or None where there is none."""
    try:
        info = json.loads((state_dir / INFO_FILE).read_text(encoding="utf-8"))
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
    except OSError:
        text = ""
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        text = uuid.uuid4().hex
        temporary = path.with_name(f".{name}.{os.getpid()}")
        temporary.write_text(text, encoding="ascii")
        os.replace(temporary, path)
    return text
