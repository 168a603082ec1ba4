# SPDX-License-Identifier: Apache-2.0
"""What every source of training data gives: scenes, and samples drawn from them.

Shape legend: C cameras of a scene, V views of a sample, T pictures, F latent frames, H, W pixels,
Z latent channels, h, w latent cells.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError, reason_of

SceneKind = Literal["multiview", "moving", "static"]
FLAT = 1e-6
"""Determinant below which a pose is no pose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One scene's cameras and captions; its pictures stay on disk.

    `multiview`: C cameras that saw the same moments. `moving`: one camera's pictures, each taken
    as a camera of its own with one picture (`order` holds their frame numbers). `static`: one
    camera that does not move; its pose is not known and does not matter.
    """

    key: str
    """Unique within the source; named in every message about the scene."""
    kind: SceneKind
    captions: tuple[str, ...]
    K_CT33: np.ndarray
    """Intrinsics in pixels of `width_px` x `height_px`; T = 1 when they do not change."""
    c2w_cv_m_CT44: np.ndarray
    """Camera to world, OpenCV axes, metres, Z up; T = 1 when the camera stands still."""
    width_px: int
    height_px: int
    frames: int
    """Pictures of each camera."""
    fps: float = 15.0
    order: tuple[int, ...] = ()
    """Frame numbers of a `moving` scene's pictures."""

    def __post_init__(self) -> None:
        if not self.captions:
            raise ValueError(f"scene {self.key} has no caption")
        if self.K_CT33.shape[0] != self.c2w_cv_m_CT44.shape[0]:
            raise ValueError(
                f"scene {self.key} has {self.K_CT33.shape[0]} intrinsics for "
                f"{self.c2w_cv_m_CT44.shape[0]} poses"
            )
        if not all(isinstance(caption, str) for caption in self.captions):
            raise ValueError(f"scene {self.key} has a caption that is not text")
        if self.K_CT33.shape[2:] != (3, 3) or self.c2w_cv_m_CT44.shape[2:] != (4, 4):
            raise ValueError(
                f"scene {self.key} has cameras of {self.K_CT33.shape[2:]} and "
                f"{self.c2w_cv_m_CT44.shape[2:]} numbers; they must be 3x3 and 4x4"
            )
        if not (np.isfinite(self.K_CT33).all() and np.isfinite(self.c2w_cv_m_CT44).all()):
            raise ValueError(f"scene {self.key} has a camera that is not finite")
        if (self.K_CT33[..., 0, 0] <= 0).any() or (self.K_CT33[..., 1, 1] <= 0).any():
            raise ValueError(f"scene {self.key} has a camera without a focal length")
        if (np.abs(np.linalg.det(self.c2w_cv_m_CT44)) < FLAT).any():
            raise ValueError(f"scene {self.key} has a camera whose axes do not span space")

    @property
    def cameras(self) -> int:
        return self.K_CT33.shape[0]

    def K_at(self, camera: int, frame: int) -> np.ndarray:
        steps = self.K_CT33.shape[1]
        return self.K_CT33[camera, min(frame, steps - 1)]

    def c2w_cv_m_at(self, camera: int, frame: int) -> np.ndarray:
        steps = self.c2w_cv_m_CT44.shape[1]
        return self.c2w_cv_m_CT44[camera, min(frame, steps - 1)]


class SceneSource(Protocol):
    """A reader. Scenes are listed at construction; pictures or latents are read on demand."""

    name: str
    scenes: Sequence[Scene]
    broken: BrokenFiles

    def read_pictures(
        self, scene: int, cameras: Sequence[int], frames: Sequence[int]
    ) -> np.ndarray:
        """Pictures uint8 VTHW3 of these cameras at these frames; raises `BrokenFile`."""
        ...


class LatentSource(Protocol):
    """A source whose clips were encoded before (`syncam data latents`)."""

    name: str
    scenes: Sequence[Scene]
    broken: BrokenFiles

    def read_latents(self, scene: int, cameras: Sequence[int], latent_frames: int) -> np.ndarray:
        """Latents float16 VZFhw of these cameras, from their first picture on."""
        ...


class BrokenFile(Exception):
    """A file that cannot be used; the scene is left out and the file is counted and named."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


UNREADABLE = (
    BrokenFile,
    *(OSError, zipfile.BadZipFile, ValueError, KeyError, IndexError),
    *(TypeError, AttributeError, ArithmeticError),
)
"""What reading a file raises that is damaged, or of another form than it should be."""


def read_caption(file: Path) -> str:
    """The caption in a text file, empty where there is none. Raises `BrokenFile`."""
    if not file.is_file():
        return ""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenFile(str(file), f"the caption cannot be read: {error}") from error


def read_document(path: Path, fix: str) -> dict[str, Any]:
    """A JSON object that a whole folder hangs on; raises `SynCamError` ("data.damaged")."""
    try:
        document = json_text.loads(path.read_text("utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as error:
        raise SynCamError(
            "data.damaged", f"{path} cannot be read: {reason_of(error)}.", value=str(path), fix=fix
        ) from error
    return document


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBroken:
    """A broken file as one process tells it to another."""

    source: int
    """Number of the source in its mixture."""
    path: str
    reason: str


@dataclass(slots=True)
class BrokenFiles:
    """The files that were skipped, each with its reason."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, error: BrokenFile) -> None:
        self.reasons[error.path] = error.reason

    def note(self, path: Path, error: Exception) -> None:
        """Count a file that raised one of `UNREADABLE`."""
        if not isinstance(error, BrokenFile):
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            error = BrokenFile(str(path), reason or type(error).__name__)
        self.add(error)

    def __len__(self) -> int:
        return len(self.reasons)

    def report(self, limit: int = 5) -> str:
        """One line for a person: how many, and the first few by name."""
        if not self.reasons:
            return "no broken files"
        named = [f"{path} ({reason})" for path, reason in list(self.reasons.items())[:limit]]
        more = len(self.reasons) - len(named)
        return (
            f"{len(self.reasons)} broken files skipped: "
            + "; ".join(named)
            + (f"; and {more} more" if more else "")
        )


def whole_scenes(source: SceneSource | LatentSource) -> list[Scene]:
    """The scenes whose files reach to their ends; others are noted as broken files.

    Shards and latents were found whole when they were opened and have no `check_scene`.
    """
    check = getattr(source, "check_scene", lambda scene: None)
    whole = []
    for number, scene in enumerate(source.scenes):
        try:
            check(number)
        except BrokenFile as error:
            source.broken.add(error)
        else:
            whole.append(scene)
    return whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One training sample: `pictures_VTHW3` or `latents_VZFhw`, cameras per latent frame."""

    source: str
    key: str
    caption: str
    K_VF33: np.ndarray
    c2w_cv_m_VF44: np.ndarray
    width_px: int
    height_px: int
    pictures_VTHW3: np.ndarray | None = None
    latents_VZFhw: np.ndarray | None = None
