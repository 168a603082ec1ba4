# SPDX-License-Identifier: Apache-2.0
"""Scores as JSON, as a table in the terminal, and as a page with the clips."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, ...]
"""(what, score, what stands beside it), or the columns of a wider table."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .3rem 1rem .3rem 0; text-align: left }
tr + tr { border-top: 1px solid #ddd } figure { display: inline-block; margin: .5rem }
img, video { max-width: 100%; image-rendering: pixelated } figcaption { color: #666 }
pre { background: #f4f4f4; padding: 1rem; overflow: auto }
"""


def print_table(rows: Sequence[Row]) -> None:
    """The rows in columns."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for what, *scores, beside in rows:
        middle = "".join(f"  {s:>{w}}" for s, w in zip(scores, widths[1:-1], strict=True))
        print(f"{what:<{widths[0]}}{middle}  {beside}".rstrip())


def write_report(
    scores: dict[str, Any], rows: Sequence[Row], folder: Path, files: Sequence[Path]
) -> Path:
    """Write scores.json and index.html into `folder`; return the page.

    `files` are clips and pictures to show; they are linked by relative path, not copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(scores, indent=1, default=str) + "\n", "utf-8")
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    shown = "".join(_figure(path, folder) for path in files)
    provenance = html.escape(json.dumps(scores.get("provenance", {}), indent=1, default=str))
    page = folder / "index.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>SynCam evaluation</title><style>{STYLE}</style>"
        f"<h1>Evaluation</h1><table>{cells}</table>{shown}<h2>How it was measured</h2>"
        f"<pre>{provenance}</pre>\n",
        "utf-8",
    )
    return page


def _figure(path: Path, folder: Path) -> str:
    source = html.escape(Path(os.path.relpath(path, folder)).as_posix())
    name = html.escape(path.stem)
    media = (
        f"<video src='{source}' controls loop muted></video>"
        if path.suffix == ".mp4"
        else f"<img src='{source}' alt='{name}'>"
    )
    return f"<figure>{media}<figcaption>{name}</figcaption></figure>"
