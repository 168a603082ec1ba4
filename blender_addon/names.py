# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of cameras as file names. Pure: no bpy."""

from __future__ import annotations

import hashlib
import re

_RESERVED = {"con", "prn", "aux", "nul"} | {f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10)}


def file_stem(name: str) -> str:
    """Return a name that every file system takes, different for different names.

    Letters of any script stay; separators, quotes and control characters become "_". A name that
    had to change gets a short digest, so that "a/b" and "a_b" do not share a file.
    """
    safe = re.sub(r"[^\w\-. ]", "_", name).strip(" .")[:60]
    if safe == name and safe.lower() not in _RESERVED:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{safe or 'camera'}-{digest}"
