# SPDX-License-Identifier: Apache-2.0
"""Downloading a base model's folder from the hub so that a broken-off download goes on.

The hub's own client starts a file anew in the next process (it keeps no part of one); the large
shards here are gigabytes, so parts are kept: `.NAME-COMMIT/` beside the folder to be, each file
under its own name with `.part` until it is whole and its digest is the hub's. The folder gets its
name when all are there. No torch here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syncam_engine.link.errors import SynCamError

Say = Callable[[float, str], None]


def download_folder(repo: str, wanted: list[str], folder: Path, say: Say) -> Path:
    """Download the hub repository's wanted files (patterns) to `folder`, and return it.

    Raises SynCamError ("weights.damaged") for a file whose digest is not the hub's, and what the
    hub's client raises when it cannot be reached (`network_errors`).
    """
    from filelock import FileLock
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import filter_repo_objects

    api = HfApi()
    commit = api.repo_info(repo).sha
    tree = api.list_repo_tree(repo, recursive=True, revision=commit)
    files = list(
        filter_repo_objects(
            [entry for entry in tree if isinstance(entry, RepoFile)],
            allow_patterns=wanted,
            key=lambda file: file.path,
        )
    )
    partial = folder.with_name(f".{folder.name}-{commit[:12]}")
    partial.mkdir(parents=True, exist_ok=True)
    progress = Progress(sum(file.size for file in files), f"downloading {repo}", say)
    with FileLock(partial.with_name(partial.name + ".lock")):
        if folder.is_dir():  # another process has just finished it
            return folder
        for file in files:
            _download_file(repo, commit, file, partial / file.path, progress)
        partial.rename(folder)
    return folder


class Progress:
    """Bytes there of bytes wanted, told to `say` as they come."""

    def __init__(self, total: int, text: str, say: Say) -> None:
        self.total, self.text, self.say = total, text, say
        self.done = 0

    def add(self, count: int) -> None:
        self.done += count
        self.say(min(1.0, self.done / max(self.total, 1)), self.text)

    def bar_class(self) -> type:
        """Return a progress bar for the hub's client that also counts here."""
        from tqdm.auto import tqdm

        progress = self

        class Bar(tqdm):
            def update(self, n=1):
                progress.add(n)
                return super().update(n)

        return Bar


def _download_file(repo: str, commit: str, file: Any, path: Path, progress: Progress) -> None:
    """Make one file whole: what is there of it stays, the rest is fetched, the digest compared."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if path.is_file():
        progress.add(file.size)
        return
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as stream:
        have = stream.tell()
        if have > file.size:
            have = 0
            stream.truncate(0)
        progress.add(have)
        http_get(
            hf_hub_url(repo, file.path, revision=commit),
            stream,
            resume_size=have,
            headers=build_hf_headers(),
            expected_size=file.size,
            displayed_filename=file.path,
            tqdm_class=progress.bar_class(),
        )
    if not _is_as_published(part, file):
        part.unlink()
        raise SynCamError(
            "weights.damaged",
            f"The file {file.path} of {repo} came with another digest than the hub's; it was "
            "thrown away. Try the download again.",
            value=file.path,
            fix="Download again",
        )
    part.rename(path)


def _is_as_published(path: Path, file: Any) -> bool:
    """Return whether a file has the hub's digest: SHA-256 of a large one, git's of a small one."""
    with path.open("rb") as stream:
        if file.lfs is not None:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.lfs.sha256
        blob = b"blob %d\0" % path.stat().st_size + stream.read()
        return hashlib.sha1(blob).hexdigest() == file.blob_id


def network_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises when something between it and the hub fails."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its second base is the root of its HTTP library's errors, whichever library that is.
    return (OSError, *(base for base in HfHubHTTPError.__bases__ if base is not OSError))
