# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own subjects and places: the manifests ``assets.json`` and ``locations.json``.

``{"entries": [{"file": "hound.glb", "caption": "a grey hound", "scale": 0.01, "up": "Y",
"forward": "-Z", "actions": {"walk": "Walk_Loop"}, "speed_mps": 1.2, "split": "train"}]}``
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from syncam_engine.link import json_text

KINDS = (".blend", ".glb", ".gltf", ".fbx", ".usd", ".usda", ".usdc", ".usdz")
_AXES = {
    "X": (1, 0, 0),
    "Y": (0, 1, 0),
    "Z": (0, 0, 1),
    "-X": (-1, 0, 0),
    "-Y": (0, -1, 0),
    "-Z": (0, 0, -1),
}


class AssetError(Exception):
    """A file that cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a library."""

    file: str
    caption: str = ""
    scale: float = 1.0
    """File units to metres, after the importer's own conversion."""
    up: str = "Z"
    """Axis that points up once imported (glTF, FBX and USD are turned to Z by then)."""
    forward: str = "X"
    """Axis that points ahead once imported."""
    actions: dict = field(default_factory=dict)
    """Our word for it -> the action's name in the file."""
    fps: float = 0.0
    """Rate of the file's actions where it is not Blender's 24 (glTF and FBX carry seconds)."""
    speed_mps: float = 1.2
    split: str = "train"
    preposition: str = "in"
    free_m: float = 3.0
    center_m: tuple = (0.0, 0.0, 0.0)
    """For a place: the point of the file that becomes the middle of the scene."""
    indoor: bool = False
    folder: str = ""

    @property
    def path(self) -> Path:
        return Path(self.folder, self.file)

    @property
    def words(self) -> str:
        return self.caption or f"a {self.path.stem.replace('_', ' ')}"

    def turn(self) -> np.ndarray:
        """[3,3] that takes the file's axes to ours: forward X, up Z."""
        forward, up = np.array(_AXES[self.forward], float), np.array(_AXES[self.up], float)
        return np.stack([forward, np.cross(up, forward), up])


def read_manifest(folder: str, name: str, split: str = "train") -> tuple[list[Entry], list[str]]:
    """The entries of ``folder/name`` and, for those left out, a sentence each that says why.

    Raises AssetError when the manifest itself cannot be read.
    """
    path = Path(folder, name)
    try:
        listed = json_text.loads(path.read_text())["entries"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(f"{path} is not a manifest: {error!r}") from None
    good, bad = [], []
    known = {f.name for f in fields(Entry)}
    for item in listed:
        label = item.get("file", "an entry") if isinstance(item, dict) else "an entry"
        try:
            extra = set(item) - known
            if extra:
                raise ValueError(f"unknown fields {sorted(extra)}")
            entry = Entry(**{**item, "folder": str(folder)})
            _check(entry)
        except (TypeError, ValueError) as error:
            bad.append(f"{label} skipped: {error}")
            continue
        if entry.split == split:
            good.append(entry)
    return good, bad


def _check(entry: Entry) -> None:
    if entry.path.suffix.lower() not in KINDS:
        raise ValueError(f"{entry.path.suffix or 'no suffix'} is none of {', '.join(KINDS)}")
    if not entry.path.is_file():
        raise ValueError("there is no such file")
    if not entry.scale > 0:
        raise ValueError(f"scale is {entry.scale}, must be positive")
    if not entry.fps >= 0:
        raise ValueError(f"fps is {entry.fps}, must be positive")
    if entry.up not in _AXES or entry.forward not in _AXES:
        raise ValueError(
            f"axes up {entry.up}, forward {entry.forward}: each one of {', '.join(_AXES)}"
        )
    if entry.up.strip("-") == entry.forward.strip("-"):
        raise ValueError(f"up {entry.up} and forward {entry.forward} are one line")
