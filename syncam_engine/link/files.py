# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that nobody ever reads half of it."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes | str) -> None:
    """Write beside the name, then give the name; text is UTF-8. Where it fails (a full disk) the
    old file stays and nothing is left beside it. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
