# SPDX-License-Identifier: Apache-2.0
"""CURVE keys of engines and clients, as files in the user's configuration folder.

    keys/engine.key            the engine's own pair   (mode 0600)
    keys/client.key            this user's own pair    (mode 0600)
    keys/clients/NAME.pub      clients that the engine lets in
    keys/engines/NAME.pub      engines that this user talks to

A key file is JSON; keys are Z85 text of 40 characters. A secret that others could read is refused.
"""

from __future__ import annotations

import json
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq
from zmq.utils import z85

from . import json_text
from .endpoint import user_config_dir
from .errors import SynCamError, reason_of
from .owners import private_dir, write_private

Role = Literal["engine", "client"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class KeyPair:
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


def keys_dir() -> Path:
    private_dir(user_config_dir())
    return private_dir(user_config_dir() / "keys")


def new_pair(role: Role, *, replace: bool = False) -> KeyPair:
    """Make and write this machine's pair for `role`; an existing one is kept unless `replace`."""
    path = keys_dir() / f"{role}.key"
    if path.exists() and not replace:
        raise SynCamError(
            "keys.exist",
            f"There is already a key at {path}; another one would have to be trusted anew.",
            fix=f"syncam keys list shows it; syncam keys new --{role} --replace makes another",
        )
    public = "-"
    while public.startswith("-"):  # on a command line that would be an option
        public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    write_private(path, json.dumps({"public": public, "secret": secret}))
    return KeyPair(public, secret)


def own_pair(role: Role, *, create: bool = True) -> KeyPair:
    """Return this machine's pair for `role`; raises "keys.loose" where others could read it."""
    path = keys_dir() / f"{role}.key"
    if not path.exists():
        if not create:
            raise SynCamError(
                "keys.missing", f"There is no key at {path}.", fix=f"syncam keys new --{role}"
            )
        return new_pair(role)
    mode = stat.S_IMODE(path.stat().st_mode)
    if sys.platform != "win32" and mode & 0o077:
        raise SynCamError(
            "keys.loose",
            f"The secret key {path} can be read by other users (mode {mode:04o}).",
            value=f"{mode:04o}",
            nearest="0600",
            fix=f"chmod 600 {path}",
        )
    try:
        data = json_text.loads(path.read_text(encoding="ascii"))
        pair = KeyPair(check_key(data["public"]), check_key(data["secret"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SynCamError(
            "keys.damaged",
            f"The key file {path} cannot be read: {reason_of(error)}.",
            fix=f"syncam keys new --{role} --replace",
        ) from error
    return pair


def check_key(text: str) -> str:
    """Return `text` if it is a Z85 key; raises "keys.invalid"."""
    try:
        if isinstance(text, str) and len(z85.decode(text.encode("ascii"))) == 32:
            return text
    except (ValueError, KeyError, UnicodeEncodeError):
        pass
    raise SynCamError(
        "keys.invalid",
        f'"{str(text)[:60]}" is not a public key of 40 characters.',
        fix="Copy the line that `syncam keys list` shows on the other machine",
    )


def trust(role: Role, name: str, public: str) -> Path:
    """Let the `role` ("client" or "engine") called `name` in by its public key."""
    path = _trusted_path(role, name)
    write_private(path, json.dumps({"public": check_key(public)}))
    return path


def revoke(role: Role, name: str) -> None:
    """Take the trust of `name` away; an engine that runs sees it at the next handshake."""
    path = _trusted_path(role, name)
    if not path.exists():
        known = sorted(trusted(role))
        raise SynCamError(
            "keys.unknown",
            f'No {role} called "{name}" is trusted; there are: {", ".join(known) or "none"}.',
            value=name,
            nearest=known[0] if known else None,
        )
    path.unlink()


def trusted(role: Role) -> dict[str, str]:
    """Name to public key of the trusted clients or engines; unreadable files trust nobody."""
    found = {}
    for path in sorted(private_dir(keys_dir() / f"{role}s").glob("*.pub")):
        try:
            data = json_text.loads(path.read_text(encoding="ascii"))
            found[path.stem] = check_key(data["public"])
        except (OSError, ValueError, KeyError, TypeError, SynCamError):
            continue
    return found


def _trusted_path(role: Role, name: str) -> Path:
    if not _NAME.match(name):
        raise SynCamError(
            "keys.name",
            f'"{name}" cannot name a key: use letters, digits, dots, dashes.',
            value=name,
        )
    return private_dir(keys_dir() / f"{role}s") / f"{name}.pub"
