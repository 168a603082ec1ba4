# SPDX-License-Identifier: Apache-2.0
"""Frames that Movie Render Queue wrote into the SynCamVideo layout, with what the editor placed.

sceneN/videos/camNN.mp4, sceneN/cameras/camera_extrinsics.json (Unreal row vectors: forward, right,
up, origin in centimetres) and rotations.json, sceneN/scene.json (K, c2w_cv_m, subjects, caption,
seed, versions, digests): the same fields as Blender's scenes. A scene's folder appears by one
rename, so one that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from syncam_engine import __version__
from syncam_engine.link import poses, rig_json
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig
from syncam_engine.media.write import write_mp4

POSE_TOLERANCE = 2e-4
"""Metres and axis components by which what was placed may differ from what was drawn."""


def frame_files(frames_dir: Path, camera: dict[str, Any]) -> list[Path]:
    """Return a camera's pictures in order of their numbers."""
    folder = frames_dir / camera["file_name"]
    found = [p for p in folder.glob("*.png") if re.search(r"\d+$", p.stem)]
    return sorted(found, key=lambda p: int(re.search(r"(\d+)$", p.stem)[1]))


def missing_cameras(plan: dict[str, Any], frames_dir: Path, cameras: list[dict]) -> list[str]:
    """Return the names of cameras that do not have all their pictures."""
    return [c["name"] for c in cameras if len(frame_files(frames_dir, c)) != plan["frames"]]


def placed_cameras(plan: dict[str, Any], report: dict[str, Any]) -> list[Camera]:
    """Return the cameras from the transforms that the editor read back.

    Raises SynCamError ("unreal.placement") where relative poses are not those of the plan.
    """
    drawn = rig_json.rig_from_dict(plan["rig"])
    by_name = {camera["name"]: camera for camera in report["cameras"]}
    placed = []
    for camera in drawn.cameras:
        matrix = np.array(by_name[camera.name]["matrix_cm"], float)
        placed.append(
            Camera(
                name=camera.name,
                width_px=camera.width_px,
                height_px=camera.height_px,
                K=camera.K,
                c2w_cv_m=unreal_rows_to_c2w_cv_m(matrix),
                near_m=camera.near_m,
                far_m=camera.far_m,
            )
        )
    for mine, theirs in zip(
        Rig(cameras=tuple(placed)).relative_c2w_cv_m(), drawn.relative_c2w_cv_m(), strict=True
    ):
        worst = float(np.abs(np.array(mine) - np.array(theirs)).max())
        if worst > POSE_TOLERANCE:
            raise SynCamError(
                "unreal.placement",
                f"The editor placed the cameras of {plan['scene']} {worst:.3g} away from where "
                "they were drawn.",
                value=worst,
                nearest=POSE_TOLERANCE,
            )
    return placed


def unreal_rows_to_c2w_cv_m(rows_cm: np.ndarray) -> poses.Matrix4:
    """Unreal's row-vector camera-to-world in cm (left-handed) to 4x4 `c2w_cv_m`."""
    forward, right, up, origin = rows_cm[:, :3]
    columns = np.stack([right, -up, forward], axis=1)
    columns[1] *= -1.0
    origin = origin * [1.0, -1.0, 1.0] / 100.0
    return poses.rigid(columns.tolist(), origin.tolist())


def extrinsics_text(rows_cm: list[list[float]]) -> str:
    """Return "[a b c 0] [..] [..] [x y z 1] ", the form of the public data set."""

    def number(value: float) -> str:
        text = f"{value:.9f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text

    return " ".join("[" + " ".join(map(number, row)) + "]" for row in rows_cm) + " "


def rotations(cameras: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return {"traj1": {"rx", "ry", "rz"}}: Unreal's roll, pitch and yaw in degrees."""
    found = {}
    for index, camera in enumerate(cameras, 1):
        x, y, z = camera["matrix_cm"][0][:3]
        found[f"traj{index}"] = {
            "rx": 0.0,
            "ry": round(math.degrees(math.asin(max(-1.0, min(1.0, z)))), 6),
            "rz": round(math.degrees(math.atan2(y, x)), 6),
        }
    return found


def write_scene(
    plan: dict[str, Any], report: dict[str, Any], frames_dir: Path, target: Path
) -> None:
    """Write a scene's folder whole. Raises SynCamError for missing, wrong or equal pictures."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write_partial(plan, report, frames_dir, partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    os.replace(partial, target)


def _write_partial(
    plan: dict[str, Any], report: dict[str, Any], frames_dir: Path, partial: Path
) -> None:
    cameras = placed_cameras(plan, report)
    by_name = {camera["name"]: camera for camera in report["cameras"]}
    (partial / "videos").mkdir(parents=True)
    (partial / "cameras").mkdir()
    first_seen: dict[str, str] = {}
    for camera in cameras:
        clip = read_frames(plan, frames_dir, by_name[camera.name])
        _check_new(clip, camera.name, first_seen)
        path = partial / "videos" / f"{camera.name}.mp4"
        write_mp4(
            path, clip, Fraction(plan["fps"]), {"scene": plan["scene"], "camera": camera.name}
        )
    texts = {c.name: extrinsics_text(by_name[c.name]["matrix_cm"]) for c in cameras}
    document = {f"frame{k}": texts for k in range(plan["frames"])}
    (partial / "cameras" / "camera_extrinsics.json").write_text(json.dumps(document), "utf-8")
    turned = rotations([by_name[c.name] for c in cameras])
    (partial / "cameras" / "rotations.json").write_text(json.dumps(turned), "utf-8")
    described = scene_document(plan, report, cameras)
    described["files"] = {
        str(path.relative_to(partial)): "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(partial.rglob("*"))
        if path.is_file()
    }
    (partial / "scene.json").write_text(json.dumps(described, indent=1), "utf-8")


def read_frames(plan: dict[str, Any], frames_dir: Path, camera: dict[str, Any]) -> np.ndarray:
    """Return uint8 [T,H,W,3] of one camera. Raises SynCamError ("unreal.frames")."""
    files = frame_files(frames_dir, camera)
    if len(files) != plan["frames"]:
        raise SynCamError(
            "unreal.frames",
            f"Camera {camera['name']} of {plan['scene']} has {len(files)} pictures; "
            f"it should have {plan['frames']}.",
            value=len(files),
            nearest=plan["frames"],
        )
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            if picture.size != (plan["width"], plan["height"]):
                raise SynCamError(
                    "unreal.frames",
                    f"'{file.name}' of camera {camera['name']} is {picture.size[0]}x"
                    f"{picture.size[1]}; it should be {plan['width']}x{plan['height']}.",
                    value=list(picture.size),
                )
            pictures.append(np.asarray(picture.convert("RGB")))
    return np.stack(pictures)


def _check_new(clip: np.ndarray, name: str, seen: dict[str, str]) -> None:
    """Two cameras with one picture means that a rig was rendered through one camera."""
    digest = hashlib.sha256(clip.tobytes()).hexdigest()
    if digest in seen:
        raise SynCamError(
            "unreal.same_picture",
            f"Cameras {seen[digest]} and {name} gave the very same pictures.",
            value=[seen[digest], name],
        )
    seen[digest] = name


def scene_document(
    plan: dict[str, Any], report: dict[str, Any], cameras: list[Camera]
) -> dict[str, Any]:
    """Return scene.json without its digests; metres, Z up, OpenCV axes, row-major."""
    x0, y0, _ = report["center_m"]
    ground_m = plan["ground_uu"] / report["world_to_meters"]
    return {
        "format": "syncam-scene",
        "version": 1,
        "seed": plan["seed"],
        "scene": plan["number"] + 1,
        "caption": plan["caption"],
        "place": {"kind": plan["map"], "words": plan["place"], "light": ""},
        "subjects": [
            {
                "name": subject["name"],
                "kind": subject["mesh"],
                "caption": subject["caption"],
                "action": subject["action"],
                "trajectory": subject["trajectory"],
                "root_m": [[x0 + x, y0 + y, ground_m] for _, x, y, _ in subject["keys"]],
                "heading_rad": [math.radians(heading) for *_, heading in subject["keys"]],
            }
            for subject in plan["subjects"]
        ],
        "center_m": report["center_m"],
        "frames": plan["frames"],
        "fps": plan["fps"],
        "width_px": plan["width"],
        "height_px": plan["height"],
        "cameras": [
            {
                "name": camera.name,
                "K": camera.K_at(0),
                "c2w_cv_m": camera.c2w_cv_m_at(0),
                "moving": False,
                "near_m": camera.near_m,
                "far_m": camera.far_m,
            }
            for camera in cameras
        ],
        "passes": {"rgb": "H.264, sRGB transfer, BT.709"},
        "render": {
            "engine": "unreal",
            "samples": plan["samples"],
            "motion_blur": plan["motion_blur"],
            "lens": plan["lens"],
        },
        "versions": {"syncam": __version__, "unreal": report["engine"]},
    }
