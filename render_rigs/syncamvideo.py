# SPDX-License-Identifier: GPL-3.0-or-later
"""The released data set's files: folder names, the camera strings in Unreal's axes, rotations.

``train/f24_aperture5/scene1/videos/cam01.mp4``, ``.../cameras/camera_extrinsics.json`` and
``train/rotation_data.json``; their public tools read ours.
"""

import json
import os
from pathlib import Path

import numpy as np

from syncam_engine.link.camera import Camera

SET_FOLDER = Path("train", "f24_aperture5")
ROTATIONS = Path("train", "rotation_data.json")


def scene_folder(out: Path, number: int) -> Path:
    """Scene ``number`` (from 0) is ``scene{number + 1}`` there."""
    return Path(out) / SET_FOLDER / f"scene{number + 1}"


def unreal_rows(c2w_cv_m) -> np.ndarray:
    """The 4x4 of a camera as Unreal's row vectors in centimetres, Y mirrored to be left-handed.

    Rows: forward, right, up, origin.
    """
    c2w = np.asarray(c2w_cv_m, float)
    right, down, forward, origin = (c2w[:3, i] * [1, -1, 1] for i in range(4))
    rows = np.zeros((4, 4))
    rows[:3, :3] = forward, right, -down
    rows[3, :3] = origin * 100.0
    rows[3, 3] = 1.0
    return rows


def matrix_string(rows: np.ndarray) -> str:
    """ "[r r r 0] [r r r 0] [r r r 0] [x y z 1] ", with the blank at the end as released."""
    parts = []
    for row, last in zip(rows, "0001", strict=True):
        parts.append("[" + " ".join(_number(v) for v in row[:3]) + f" {last}]")
    return " ".join(parts) + " "


def _number(value: float) -> str:
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def parse_matrix(text: str) -> np.ndarray:
    """The public rule: split at "] [", four rows of four numbers."""
    rows = text.strip().split("] [")
    return np.array(
        [[float(v) for v in row.replace("[", "").replace("]", "").split()] for row in rows]
    )


def c2w_cv_from_rows(rows: np.ndarray, unit_cm: float = 200.0) -> np.ndarray:
    """The public rule: transpose, columns (right, up, forward), negate the second."""
    matrix = rows.T[:, [1, 2, 0, 3]].copy()
    matrix[:3, 1] *= -1
    matrix[:3, 3] /= unit_cm
    return matrix


def extrinsics(cameras: list[Camera], frames: int) -> dict:
    """{"frame0": {"cam01": "..."}} for every frame (equal for static cameras)."""
    out: dict[str, dict[str, str]] = {}
    for frame in range(frames):
        out[f"frame{frame}"] = {
            f"cam{i:02d}": matrix_string(unreal_rows(camera.c2w_cv_m_at(frame)))
            for i, camera in enumerate(cameras, 1)
        }
    return out


def rotations(cameras: list[Camera]) -> dict:
    """{"traj1": {"rx", "ry", "rz"}}: Unreal's roll, pitch and yaw in degrees at frame 0."""
    out = {}
    for i, camera in enumerate(cameras, 1):
        forward = unreal_rows(camera.c2w_cv_m_at(0))[0, :3]
        out[f"traj{i}"] = {
            "rx": 0.0,
            "ry": round(float(np.degrees(np.arcsin(np.clip(forward[2], -1, 1)))), 6),
            "rz": round(float(np.degrees(np.arctan2(forward[1], forward[0]))), 6),
        }
    return out


def write_json(path: Path, value, indent: int | None = None) -> None:
    """Write whole or not at all."""
    partial = Path(path).with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=indent))
    os.replace(partial, path)
