# SPDX-License-Identifier: Apache-2.0
"""A clip on its way to a file of the client's own choice: under its name only when it is right.

`LocalCopy` brings one from the folder of this machine's own engine; one that is streamed is an
`Incoming` (`link.transfer`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from . import limits
from .errors import SynCamError
from .job_results import check_file
from .messages import ClipResult, new_id


class Arrival:
    """What is common to both ways: a partial file beside the target, and what makes it whole."""

    def __init__(self, job_id: str, clip: ClipResult, target: Path) -> None:
        self.message_id = new_id()
        self.job_id, self.clip, self.target = job_id, clip, Path(target)
        self._part = self.target.with_name(f"{self.target.name}.{self.message_id[:8]}.part")

    def _accept(self, digest: str) -> Path:
        """Give the partial file its name. Raises `SynCamError` "fetch.*" where it is not the clip,
        and deletes it."""
        try:
            if digest != self.clip.digest:
                raise SynCamError(
                    "fetch.digest",
                    f"The clip of {self.clip.camera} arrived damaged.",
                    value=digest,
                    nearest=self.clip.digest,
                    fix="Fetch it again",
                )
            check_file(self._part, self.clip)
        except SynCamError:
            self._part.unlink(missing_ok=True)
            raise
        os.replace(self._part, self.target)
        return self.target


class LocalCopy(Arrival):
    """A clip that lies on this machine, copied and digested by a thread."""

    def __init__(self, job_id: str, clip: ClipResult, source: Path, target: Path) -> None:
        super().__init__(job_id, clip, target)
        self._source = source
        self._sha = hashlib.sha256()
        self._error: OSError | None = None
        self._left = False
        self._thread = threading.Thread(target=self._copy, name="syncam-copy", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        return True

    def finish(self) -> Path | None:
        """Return the file once it is whole, None before that. Raises as `Incoming.finish`."""
        if self._thread.is_alive():
            return None
        if self._error is not None:
            raise self._error
        return self._accept(self._sha.hexdigest())

    def abandon(self) -> None:
        self._left = True
        self._thread.join()
        self._part.unlink(missing_ok=True)

    def _copy(self) -> None:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            left = self.clip.bytes
            with open(self._source, "rb") as source, open(self._part, "wb") as part:
                while left > 0 and not self._left:
                    piece = source.read(min(left, limits.CHUNK_BYTES))
                    if not piece:
                        break  # It became shorter: its digest is another one.
                    self._sha.update(piece)
                    part.write(piece)
                    left -= len(piece)
        except OSError as error:
            self._error = error
