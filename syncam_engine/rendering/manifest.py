# SPDX-License-Identifier: Apache-2.0
"""The set's own tables: `manifest.parquet` (one row a camera) and `train/rotation_data.json`."""

from __future__ import annotations

import json
import os
from pathlib import Path

SCENES = Path("train", "f24_aperture5")
"""Where a set's scenes lie in its folder."""


def add_rotations(out: Path) -> None:
    """Gather each scene's camera rotations into the released set's one file."""
    data = {}
    for folder in scene_folders(out):
        data[folder.name] = json.loads((folder / "cameras" / "rotations.json").read_text())
    _replace(out / "train" / "rotation_data.json", json.dumps(data).encode())


def scene_folders(out: Path) -> list[Path]:
    """The finished scenes, by number."""
    found = [p for p in (Path(out) / SCENES).glob("scene*") if (p / "scene.json").is_file()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def rows(out: Path) -> list[dict]:
    """One row for each camera of each finished scene."""
    table = []
    for folder in scene_folders(out):
        scene = json.loads((folder / "scene.json").read_text())
        for camera in scene["cameras"]:
            pose = camera["c2w_cv_m"][0] if camera["moving"] else camera["c2w_cv_m"]
            name = f"videos/{camera['name']}.mp4"
            table.append(
                {
                    "scene": scene["scene"],
                    "camera": camera["name"],
                    "video": str((folder / name).relative_to(out).as_posix()),
                    "digest": scene["files"][name],
                    "caption": scene["caption"],
                    "place": scene["place"]["kind"],
                    "light": scene["place"]["light"],
                    "subjects": [s["caption"] for s in scene["subjects"]],
                    "actions": [s["action"] for s in scene["subjects"]],
                    "frames": scene["frames"],
                    "fps": scene["fps"],
                    "width_px": scene["width_px"],
                    "height_px": scene["height_px"],
                    "seed": scene["seed"],
                    "moving": camera["moving"],
                    "K": [v for row in camera["K"] for v in row],
                    "c2w_cv_m": [v for row in pose for v in row],
                }
            )
    return table


def write(out: Path, spec: dict) -> Path | None:
    """Write the manifest of a finished (or partly finished) set; None where it has no scenes."""
    if spec["packed"]:
        return _write_packed(out)
    table = rows(out)
    if not table:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = out / "manifest.parquet"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    pq.write_table(pa.Table.from_pylist(table), partial)
    os.replace(partial, path)
    add_rotations(out)
    return path


def _write_packed(out: Path) -> Path | None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = []
    for path in sorted(out.glob("shard-*.npz")):
        with np.load(path) as shard:
            table += [
                {
                    "shard": path.name,
                    "row": i,
                    "scene": int(n) + 1,
                    "caption": str(c),
                    "place": str(p),
                    "action": str(a),
                    "seed": int(s),
                }
                for i, (n, c, p, a, s) in enumerate(
                    zip(
                        shard["scene"],
                        shard["captions"],
                        shard["places"],
                        shard["actions"],
                        shard["seed"],
                        strict=True,
                    )
                )
            ]
    if not table:
        return None
    path = out / "manifest.parquet"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    pq.write_table(pa.Table.from_pylist(table), partial)
    os.replace(partial, path)
    return path


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
