# SPDX-License-Identifier: Apache-2.0
"""Which renderer draws: the version that a set holds."""

from __future__ import annotations

import hashlib

from syncam_engine import __version__
from syncam_engine.link.environments import PROJECT_ROOT


def renderer_version() -> str:
    """The package's version and a digest of the renderer's sources.

    The same seed gives the same pictures only from the same renderer, so a set keeps to one.
    """
    sources = sorted((PROJECT_ROOT / "render_rigs").rglob("*.py"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
