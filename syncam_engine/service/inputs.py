# SPDX-License-Identifier: Apache-2.0
"""What clients send: reference clips and viewport renders, kept by content.

A client may use an input only if it sent that content itself, so a digest that somebody guessed or
saw opens nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from syncam_engine.link import limits
from syncam_engine.link.endpoint import private_dir
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import Upload, UploadState

from .files import sync_folder


@dataclass(slots=True)
class _Partial:
    file: BinaryIO
    path: Path
    sha: hashlib._Hash
    size: int
    received: int
    touched_s: float
    settling: Future[None] | None = None
    """All of it is here and right, and is being flushed to the disk."""


class InputStore:
    """STATE/inputs/OWNER/DIGEST. An unfinished upload is forgotten at a restart and begun again.

    A whole one is flushed by a thread of its own: nobody else waits for the disk meanwhile.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        most_bytes_per_owner: int,
        most_partials: int = 16,
        most_files_per_owner: int = limits.MAX_INPUTS_PER_CLIENT,
    ):
        self._folder = private_dir(state_dir / "inputs")
        self._most_bytes = most_bytes_per_owner
        self._most_partials = most_partials
        self._most_files = most_files_per_owner
        self._partials: dict[tuple[str, str], _Partial] = {}
        self._arrived_s: dict[tuple[str, str], float] = {}
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="inputs")
        for leftover in self._folder.glob("*/*.part"):
            with contextlib.suppress(OSError):  # another user's, as after one start as root
                leftover.unlink()

    def path_or_none(self, owner: str, digest: str) -> Path | None:
        path = self._owner_dir(owner) / digest
        return path if path.is_file() else None

    def has_all(self, owner: str, digest: str) -> bool:
        """It is here whole, or is being flushed: it needs no more room."""
        partial = self._partials.get((owner, digest))
        is_flushed = partial is not None and partial.settling is not None
        return is_flushed or self.path_or_none(owner, digest) is not None

    def held_by(self, owner: str) -> tuple[int, int]:
        """How many whole inputs an owner has, and their bytes."""
        folder = self._owner_dir(owner)
        if not folder.is_dir():
            return 0, 0
        with os.scandir(folder) as entries:
            sizes = [entry.stat().st_size for entry in entries if not entry.name.endswith(".part")]
        return len(sizes), sum(sizes)

    def take(self, owner: str, call: Upload, data: bytes | memoryview) -> UploadState:
        """Add one chunk. Raises "quota.disk", "input.digest", "input.size"; `OSError` when full."""
        if self.path_or_none(owner, call.digest) and (owner, call.digest) not in self._partials:
            return UploadState(digest=call.digest, received=call.size, complete=True)
        key = (owner, call.digest)
        partial = self._partials.get(key)
        if partial is not None and partial.settling is not None:
            return self._settled(key, call)
        if partial is None or call.offset == 0:
            if call.offset != 0:
                return UploadState(digest=call.digest, received=0)
            partial = self._begin(key, call)
        if call.offset != partial.received or call.size != partial.size:
            return UploadState(digest=call.digest, received=partial.received)
        if not data or partial.received + len(data) > partial.size:
            self._drop(key)
            raise SynCamError(
                "input.size",
                f"The input's chunk of {len(data)} bytes does not fit its size {call.size}.",
                value=len(data),
                nearest=call.size - call.offset,
            )
        try:
            partial.file.write(data)
        except OSError:
            self._drop(key)
            raise
        partial.sha.update(data)
        partial.received += len(data)
        partial.touched_s = time.monotonic()
        if partial.received == partial.size:
            self._finish(key, call.digest)
            return self._settled(key, call)
        return UploadState(digest=call.digest, received=partial.received)

    def give_up(self, owner: str, digest: str) -> None:
        """Drop an upload that is refused: what came of it would only keep the disk full."""
        partial = self._partials.get((owner, digest))
        if partial is not None and partial.settling is None:
            self._drop((owner, digest))

    def used_now(self, owner: str, digests: list[str]) -> None:
        """A job was accepted that reads these: their time begins anew."""
        for digest in digests:
            os.utime(self._owner_dir(owner) / digest)

    def forget_stale(self, after_s: float = 600.0) -> None:
        """Drop uploads that nobody went on with."""
        now_s = time.monotonic()
        for key, partial in list(self._partials.items()):
            if partial.settling is None and now_s - partial.touched_s > after_s:
                self._drop(key)

    def sweep(self, used: set[tuple[str, str]], older_than_s: float) -> None:
        """Delete inputs that no open job names and that are older than `older_than_s`.

        One that has just come is left for the job that will name it, also when the clock jumps.
        """
        now_s = time.monotonic()
        fresh = {k: s for k, s in self._arrived_s.items() if now_s - s < min(older_than_s, 3600.0)}
        self._arrived_s = fresh
        names = {(self._owner_dir(owner).name, digest) for owner, digest in {*used, *fresh}}
        for path in self._folder.glob("*/*"):
            old = time.time() - path.stat().st_mtime > older_than_s
            if old and path.suffix != ".part" and (path.parent.name, path.name) not in names:
                path.unlink(missing_ok=True)
        for folder in self._folder.iterdir():
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()

    def _begin(self, key: tuple[str, str], call: Upload) -> _Partial:
        owner, digest = key
        self._drop(key)
        if sum(1 for other, _ in self._partials if other == owner) >= self._most_partials:
            raise SynCamError(
                "quota.uploads",
                f"This client sends more than {self._most_partials} inputs at once.",
                nearest=self._most_partials,
            )
        under_way = [p.size for (other, _), p in self._partials.items() if other == owner]
        files, have = self.held_by(owner)
        have += sum(under_way)
        if files + len(under_way) >= self._most_files:
            raise SynCamError(
                "quota.uploads",
                f"The engine keeps {files} inputs of this client, the most there may be; they are "
                "deleted a week after the last job that used them.",
                value=files,
                nearest=self._most_files,
            )
        if have + call.size > self._most_bytes:
            raise SynCamError(
                "quota.disk",
                f"The input has {call.size} bytes; this client has room for "
                f"{max(0, self._most_bytes - have)}.",
                value=call.size,
                nearest=max(0, self._most_bytes - have),
                fix="Remove old jobs",
            )
        path = private_dir(self._owner_dir(owner)) / f"{digest}.part"
        file = open(path, "wb")  # noqa: SIM115  (open across many chunks; closed in _drop)
        self._partials[key] = _Partial(file, path, hashlib.sha256(), call.size, 0, time.monotonic())
        return self._partials[key]

    def _finish(self, key: tuple[str, str], digest: str) -> None:
        partial = self._partials[key]
        if partial.sha.hexdigest() != digest:
            got = partial.sha.hexdigest()
            self._drop(key)
            raise SynCamError(
                "input.digest", "The input arrived damaged.", value=got, nearest=digest
            )
        partial.settling = self._flusher.submit(_settle, partial.file, partial.path)

    def _settled(self, key: tuple[str, str], call: Upload) -> UploadState:
        """Complete once it is on the disk under its name; the client asks again until then."""
        settling = self._partials[key].settling
        if not settling.done():
            return UploadState(digest=call.digest, received=call.size)
        if settling.exception() is not None:
            self._drop(key)
            raise settling.exception()
        del self._partials[key]
        self._arrived_s[key] = time.monotonic()
        return UploadState(digest=call.digest, received=call.size, complete=True)

    def _drop(self, key: tuple[str, str]) -> None:
        partial = self._partials.pop(key, None)
        if partial is not None:
            with contextlib.suppress(OSError):  # what is not written yet does not matter
                partial.file.close()
            partial.path.unlink(missing_ok=True)

    def _owner_dir(self, owner: str) -> Path:
        return self._folder / hashlib.sha256(owner.encode()).hexdigest()[:24]


def _settle(file: BinaryIO, path: Path) -> None:
    """Flush a whole input and give it its name; runs beside the server's loop."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    os.replace(path, path.with_suffix(""))
    sync_folder(path.parent)
