# SPDX-License-Identifier: Apache-2.0
"""From a source's kind and folder to its reader."""

from __future__ import annotations

import os
from pathlib import Path

from syncam_engine.data.scene import LatentSource, SceneSource
from syncam_engine.link.errors import SynCamError

KINDS = ("latents", "rendered", "syncamvideo", "realestate10k", "nerfstudio", "static-clips")


def open_source(kind: str, path: str, pictures: str = "") -> SceneSource | LatentSource:
    """The reader of a folder. Raises `SynCamError` when it is not there or holds nothing usable."""
    folder = expand(path)
    if not folder.is_dir():
        raise SynCamError(
            "data.missing",
            f"The data folder {folder} of the {kind} source is not there.",
            value=str(folder),
        )
    source = _reader(kind, folder, pictures)
    if not source.scenes:
        raise SynCamError(
            "data.empty",
            f"The {kind} source {folder} has no usable scene; {source.broken.report()}.",
            value=str(folder),
        )
    return source


def expand(path: str) -> Path:
    """`~` and $VARIABLES of a path in a config."""
    return Path(os.path.expandvars(path)).expanduser()


def _reader(kind: str, folder: Path, pictures: str) -> SceneSource | LatentSource:
    if kind == "latents":
        from syncam_engine.data.latents import LatentStore

        return LatentStore(folder)
    if kind == "rendered":
        from syncam_engine.data.rendered import open_rendered

        return open_rendered(folder)
    if kind == "syncamvideo":
        from syncam_engine.data.syncamvideo import SynCamVideo

        return SynCamVideo(folder)
    if kind == "realestate10k":
        from syncam_engine.data.moving_video import RealEstate10K

        return RealEstate10K(folder, expand(pictures) if pictures else None)
    if kind == "nerfstudio":
        from syncam_engine.data.moving_video import Nerfstudio

        return Nerfstudio(folder)
    if kind == "static-clips":
        from syncam_engine.data.static_clips import StaticClips

        return StaticClips(folder)
    raise SynCamError(
        "data.kind",
        f"There is no data source of kind {kind!r}; there are {', '.join(KINDS)}.",
        value=kind,
        nearest=KINDS[0],
    )
