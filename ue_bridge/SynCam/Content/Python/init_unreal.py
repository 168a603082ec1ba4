# SPDX-License-Identifier: Apache-2.0
"""Runs when the editor starts: finds SynCam's packages, then starts it on the first frame."""

import os
import platform
import sys
from pathlib import Path

import unreal

HERE = Path(__file__).resolve().parent
FOLDERS = {"win32": "Win64", "linux": "Linux", "darwin": "Mac"}


def package_folders() -> list[Path]:
    """Return where the link package and its wheels may lie, most specific first."""
    found = [HERE / "Lib" / "site-packages"]
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        found.insert(0, HERE / "MacIntel" / "Lib" / "site-packages")
    # The editor adds its own platform's folder; older ones may not.
    found.append(HERE / FOLDERS.get(sys.platform, "Linux") / "Lib" / "site-packages")
    # A clone that is linked into a project has the link package at its root.
    found += [parent for parent in HERE.parents if (parent / "syncam_engine" / "link").is_dir()]
    return [folder for folder in found if folder.is_dir()]


def begin() -> None:
    """Make the packages importable and start SynCam; a fault is logged and stops nothing."""
    for folder in reversed(package_folders()):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        from syncam_unreal import plugin
    except ImportError as error:
        unreal.log_error(
            f"SynCam: {error}. Install the packaged plugin (syncam package unreal), or switch on "
            "'Run Pip Install on Startup' in Project Settings > Plugins > Python."
        )
        return
    plugin.start()


def on_first_frame(_delta_s: float) -> None:
    unreal.unregister_slate_post_tick_callback(handle)
    begin()


# The level is not ready while this file runs: begin with the first frame. Commandlets have none.
if not os.environ.get("SYNCAM_UNREAL_HEADLESS"):
    handle = unreal.register_slate_post_tick_callback(on_first_frame)
