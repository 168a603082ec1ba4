# SPDX-License-Identifier: Apache-2.0
"""Single-view clips of a camera that stands still: copied to all views, with equal cameras.

A folder of clips; NAME.txt beside NAME.mp4 is its caption. `static-filter.json` (written by
`syncam data filter-static`), where it lies in the folder, says which clips pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from syncam_engine.data.pictures import CLIP_SUFFIXES, check_clip, clip_facts, read_clip_frames
from syncam_engine.data.scene import (
    UNREADABLE,
    BrokenFiles,
    Scene,
    read_caption,
    read_document,
)
from syncam_engine.link.errors import SynCamError

FILTER_FILE = "static-filter.json"
DEFAULT_FOV_DEG = 52.67
"""Lens taken for clips that do not say theirs: the multi-view data's."""


class StaticClips:
    """Reads the clips of a folder."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = Path(folder)
        self.name = name or f"static-clips:{self.folder.name}"
        self.broken = BrokenFiles()
        self.scenes: list[Scene] = []
        self._clips: list[Path] = []
        passed = self._passed()
        for path in sorted(self.folder.rglob("*")):
            key = path.relative_to(self.folder).as_posix()
            if path.suffix.lower() not in CLIP_SUFFIXES or (
                passed is not None and key not in passed
            ):
                continue
            try:
                self.scenes.append(self._scene(path, key))
            except UNREADABLE as error:
                self.broken.note(path, error)
            else:
                self._clips.append(path)

    def _passed(self) -> set[str] | None:
        file = self.folder / FILTER_FILE
        if not file.is_file():
            return None
        again = "Delete it, or run `syncam data filter-static` again"
        document = read_document(file, again)
        try:
            return {entry["clip"] for entry in document["clips"] if entry["passed"]}
        except (KeyError, TypeError) as error:
            raise SynCamError(
                "data.damaged", f"{file} is not what the filter writes.", value=str(file), fix=again
            ) from error

    @staticmethod
    def _scene(path: Path, key: str) -> Scene:
        frames, width, height, fps = clip_facts(path)
        focal_px = 0.5 * width / np.tan(np.radians(DEFAULT_FOV_DEG) / 2)
        K = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]], np.float32)
        caption = read_caption(path.with_suffix(".txt"))
        # A level camera at eye height; all views get the same, so only the equality counts.
        c2w = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], np.float32)
        return Scene(
            key=key,
            kind="static",
            captions=(caption,),
            K_CT33=K[None, None],
            c2w_cv_m_CT44=c2w[None, None],
            width_px=width,
            height_px=height,
            frames=frames,
            fps=fps,
        )

    def check_scene(self, scene: int) -> None:
        """Read a scene's clip to its end. Raises `BrokenFile`."""
        check_clip(self._clips[scene], self.scenes[scene].frames)

    def read_pictures(
        self, scene: int, cameras: Sequence[int], frames: Sequence[int]
    ) -> np.ndarray:
        clip = read_clip_frames(self._clips[scene], list(frames))
        return np.broadcast_to(clip, (len(cameras), *clip.shape))
