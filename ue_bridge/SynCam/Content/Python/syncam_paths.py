# SPDX-License-Identifier: Apache-2.0
"""Where SynCam's packages and their wheels lie beside this file; no `unreal` here."""

import platform
import sys
from pathlib import Path

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


def make_importable() -> None:
    """Put this folder and the package folders on the path, once."""
    for folder in [*reversed(package_folders()), HERE]:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
