# SPDX-License-Identifier: Apache-2.0
"""What must hold before the bridge changes a project; each fault is one sentence with its fix."""

from __future__ import annotations

import tempfile
from pathlib import Path

import unreal

from syncam_engine.link.errors import SynCamError

from . import compat
from .level_cameras import level_name


def content_dir() -> Path:
    """Return the project's Content folder."""
    path = unreal.Paths.project_content_dir()
    return Path(unreal.Paths.convert_relative_path_to_full(path))


def saved_dir() -> Path:
    """Return the project's Saved folder."""
    path = unreal.Paths.project_saved_dir()
    return Path(unreal.Paths.convert_relative_path_to_full(path))


def check_not_playing() -> None:
    """Raise SynCamError while Play In Editor runs."""
    if unreal.get_editor_subsystem(unreal.LevelEditorSubsystem).is_in_play_in_editor():
        raise SynCamError(
            "unreal.playing",
            "The level is playing in the editor; its cameras and assets cannot be changed now.",
            fix="Stop playing",
        )


def check_level_saved() -> None:
    """Raise SynCamError for a level that was never saved: planes put there would be lost."""
    name = level_name()
    if not name or name.startswith("/Temp/"):
        raise SynCamError(
            "unreal.level_unsaved",
            "The level has never been saved, so planes with the clips would be lost.",
            fix="Save the level",
        )


def check_content_writable() -> None:
    """Raise SynCamError where the project's Content folder takes no file."""
    folder = content_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SynCamError(
            "unreal.content_unwritable",
            f"The project's Content folder '{folder}' cannot be written: {error.strerror}.",
            value=str(folder),
            fix="Make the folder writable, or check it out",
        ) from None


def check_ready() -> None:
    """Raise SynCamError for whatever would stop a job's results from being shown."""
    compat.check_engine()
    check_not_playing()
    check_level_saved()
    check_content_writable()
