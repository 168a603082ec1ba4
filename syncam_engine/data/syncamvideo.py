# SPDX-License-Identifier: Apache-2.0
"""The public SynCamVideo layout: sceneN/{videos/camNN.mp4, cameras/camera_extrinsics.json}.

Its poses are Unreal row-vector camera-to-world matrices: axes as rows (forward, right, up), origin
in centimetres, in a left-handed world. They become ours here, once: metres, right-handed, Z up.
The public data has one lens; `syncam render` draws others, and says them with the caption in
scene.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from syncam_engine.data.pictures import check_clip, clip_facts, read_clip_frames
from syncam_engine.data.scene import UNREADABLE, BrokenFile, BrokenFiles, Scene, read_caption
from syncam_engine.link import json_text

FOCAL_MM, SENSOR_MM = 24.0, 23.76
EXTRINSICS = Path("cameras") / "camera_extrinsics.json"


def parse_matrix(text: str) -> np.ndarray:
    """ "[a b c 0] [..] [..] [x y z 1] " -> 4x4 as written (row vectors). Raises `ValueError`."""
    rows = [row.split() for row in text.replace("[", " ").split("]") if row.strip()]
    matrix = np.array([[float(x) for x in row] for row in rows])
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"not a 4x4 matrix: {text!r}")
    return matrix


def unreal_to_c2w_cv_m(row_matrix_cm: np.ndarray) -> np.ndarray:
    """Unreal row-vector camera-to-world (cm, left-handed) -> OpenCV axes, metres, right-handed.

    Camera columns become (right, down, forward); the world's Y is negated, which makes it
    right-handed and leaves Z up.
    """
    c2w = row_matrix_cm.T
    forward, right, up, origin = (c2w[:3, k] for k in range(4))
    result = np.eye(4)
    result[:3, 0], result[:3, 1], result[:3, 2] = right, -up, forward
    result[:3, 3] = origin / 100.0
    result[1] *= -1.0
    return result


def _own_description(file: Path) -> tuple[str, dict[str, np.ndarray]] | None:
    """Caption and each camera's K of the `scene.json` that `syncam render` writes beside this
    layout; None where there is none. Raises `BrokenFile`."""
    if not file.is_file():
        return None
    try:
        document = json_text.loads(file.read_text("utf-8"))
        if document["format"] != "syncam-scene":
            return None
        K_of = {c["name"]: np.array(c["K"], float).reshape(3, 3) for c in document["cameras"]}
        return str(document["caption"]), K_of
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFile(str(file), f"cannot be read as a scene: {error}") from error


class SynCamVideo:
    """Reads scenes below `folder` (any depth: train/f24_aperture5/sceneN)."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = Path(folder)
        self.name = name or f"syncamvideo:{self.folder.name}"
        self.broken = BrokenFiles()
        self.scenes: list[Scene] = []
        self._clips: list[list[Path]] = []
        for file in sorted(self.folder.rglob(str(EXTRINSICS))):
            try:
                self._list(file)
            except UNREADABLE as error:
                self.broken.note(file, error)

    def _list(self, file: Path) -> None:
        root = file.parent.parent
        try:
            document = json_text.loads(file.read_text("utf-8"))
            frames = sorted(document, key=lambda name: int(name.removeprefix("frame")))
            cameras = sorted(document[frames[0]])
            poses = np.array(
                [
                    [unreal_to_c2w_cv_m(parse_matrix(document[f][c])) for f in frames]
                    for c in cameras
                ]
            )
        except UNREADABLE as error:
            raise BrokenFile(str(file), f"cannot be read as camera extrinsics: {error}") from error
        clips = [root / "videos" / f"{camera}.mp4" for camera in cameras]
        for clip in clips:
            if not clip.is_file():
                raise BrokenFile(str(clip), "the clip is missing")
        count, width, height, fps = clip_facts(clips[0])
        own = _own_description(root / "scene.json")
        if own is None:
            focal_px = FOCAL_MM / SENSOR_MM * width
            K = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
            K_C33 = np.tile(K, (len(cameras), 1, 1))
            caption = read_caption(root / "caption.txt")
        else:
            caption, K_of = own
            try:
                K_C33 = np.array([K_of[camera] for camera in cameras])
            except KeyError as error:
                raise BrokenFile(str(root / "scene.json"), f"it has no camera {error}") from error
        self.scenes.append(
            Scene(
                key=str(root.relative_to(self.folder)),
                kind="multiview",
                captions=(caption,),
                K_CT33=K_C33[:, None].astype(np.float32),
                c2w_cv_m_CT44=poses.astype(np.float32),
                width_px=width,
                height_px=height,
                frames=min(count, len(frames)),
                fps=fps,
            )
        )
        self._clips.append(clips)

    def check_scene(self, scene: int) -> None:
        """Read a scene's films to their ends. Raises `BrokenFile`."""
        for clip in self._clips[scene]:
            check_clip(clip, self.scenes[scene].frames)

    def read_pictures(
        self, scene: int, cameras: Sequence[int], frames: Sequence[int]
    ) -> np.ndarray:
        return np.stack([read_clip_frames(self._clips[scene][c], list(frames)) for c in cameras])
