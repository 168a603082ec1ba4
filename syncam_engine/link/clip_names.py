# SPDX-License-Identifier: Apache-2.0
"""The names of a job's clips below an engine's state folder.

Both sides make them from the job's own cameras: a name never travels, and so no path does.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from . import limits
from .messages import ClipResult


def safe_name(text: str) -> str:
    """A file name that every system takes, made from a camera's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:60] or "camera"


def clip_name(index: int, camera: str, kind: str = "video/mp4") -> str:
    """The file of a clip, or the folder of its PNG sequence; `index` in the rig's order."""
    ending = "" if kind == "image/png" else ".mp4"
    return f"{index:02d}-{safe_name(camera)}{ending}"


def result_dir(state_dir: Path, job_id: str) -> Path:
    """Where the clips of a finished job lie. Raises `ValueError` for what is not a job's id."""
    if not re.fullmatch(limits.ID_PATTERN, job_id):
        raise ValueError(f"{job_id!r} is not a job's id")
    return state_dir / "jobs" / job_id / "result"


def local_file(state_dir: Path, job_id: str, clip: ClipResult) -> Path | None:
    """Where a clip, or the folder of its PNG sequence, lies whole; None where it does not."""
    path = result_dir(state_dir, job_id) / clip_name(clip.index, clip.camera, clip.kind)
    try:
        info = path.lstat()
    except OSError:
        return None
    if clip.kind == "image/png":
        return path if stat.S_ISDIR(info.st_mode) else None
    return path if stat.S_ISREG(info.st_mode) and info.st_size == clip.bytes else None
