# SPDX-License-Identifier: Apache-2.0
"""The folder of `syncam generate --out`: an earlier job's clips make room, all else stays."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.limits import ID_PATTERN
from syncam_engine.link.rig import Rig

RESULT = "result.json"
EARLIER = "earlier"


def names_of(rig: Rig, kinds: Sequence[str]) -> list[str]:
    """The files and folders that a job of the rig writes; `kinds` as a request's outputs."""
    media = {"mp4": "video/mp4", "png": "image/png"}
    cameras = list(enumerate(rig.cameras))
    return [clip_name(k, camera.name, media[kind]) for kind in kinds for k, camera in cameras]


def digest_of(path: Path) -> str:
    """SHA-256 of a clip; of the names and digests of a folder's files."""
    if path.is_dir():
        lines = [f"{file.name} {digest_of(file)}\n" for file in sorted(path.iterdir())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Former:
    """The job whose result.json lies in a folder."""

    job_id: str
    document: dict[str, Any]
    names: tuple[str, ...]
    """Those of its clips that lie there just as they were written."""


def check_room(out: Path, job_id: str, names: Sequence[str]) -> None:
    """Raise `SynCamError` "out.taken" where a clip of the job would land on what is not an earlier
    job's own, unchanged."""
    former = _former(out)
    own = {*former.names, RESULT} if former else set()
    for name in (*names, RESULT):
        if os.path.lexists(out / name) and name not in own:
            raise _taken(out / name, "is there already, and is not an earlier job's unchanged clip")
    if former and former.job_id != job_id:
        folder = out / EARLIER / former.job_id
        for path in (out / EARLIER, folder):
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                raise _taken(path, "is not a folder, where the earlier job's clips would go")
        for name in former.names:
            there = folder / name
            if os.path.lexists(there) and not _is_alike(there, out / name):
                raise _taken(there, "is there already, where the earlier job's clip would go")


def make_room(out: Path, job_id: str, names: Sequence[str]) -> str | None:
    """Move an earlier job's unchanged clips to `out`/earlier/JOB_ID; return what to say of it.

    Raises as `check_room`, and moves nothing then. What is interrupted is completed by the next.
    """
    check_room(out, job_id, names)
    former = _former(out)
    if former is None or former.job_id == job_id:
        return None
    folder = out / EARLIER / former.job_id
    folder.mkdir(parents=True, exist_ok=True)
    clips = [
        {**clip, "path": str((folder / name).absolute())} if name in former.names else clip
        for clip in former.document["clips"]
        for name in (_name(clip),)
    ]
    write_result(folder, {**former.document, "clips": clips})
    for name in former.names:
        if not (folder / name).exists():
            os.replace(out / name, folder / name)
    remove(out, (*former.names, RESULT))
    return f"the clips of the job {former.job_id[:8]} that were in {out} are now in {folder}"


def remove(out: Path, names: Sequence[str]) -> None:
    """Delete clips that `check_room` has passed, and that are elsewhere too."""
    for name in names:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)


def write_result(folder: Path, document: Any) -> str:
    """Write result.json in one step; return its text."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    part = folder / f"{RESULT}.part"
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / RESULT)
    return text


def _former(out: Path) -> _Former | None:
    """None where there is no result.json, or one that no `syncam generate` wrote."""
    try:
        document = json.loads((out / RESULT).read_text("utf-8"))
        job_id, clips = document["job_id"], document["clips"]
        if not re.fullmatch(ID_PATTERN, job_id):
            return None
        names = [_name(clip) for clip in clips if _is_unchanged(out, clip)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _Former(job_id=job_id, document=document, names=tuple(dict.fromkeys(names)))


def _name(clip: dict[str, Any]) -> str:
    return Path(clip["path"]).name


def _is_unchanged(out: Path, clip: dict[str, Any]) -> bool:
    path = out / _name(clip)
    is_there = _name(clip) not in ("", "..", EARLIER) and path.exists() and not path.is_symlink()
    return is_there and digest_of(path) == clip.get("digest")


def _is_alike(one: Path, other: Path) -> bool:
    return one.exists() and not one.is_symlink() and digest_of(one) == digest_of(other)


def _taken(path: Path, why: str) -> SynCamError:
    return SynCamError(
        "out.taken",
        f"{path} {why}; it is left as it is.",
        value=str(path),
        fix="Move it away, or give another folder to --out",
    )
