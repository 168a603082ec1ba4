# SPDX-License-Identifier: Apache-2.0
"""Multi-view stills from one moving camera: RealEstate10K text files, nerfstudio transforms.

Each picture becomes a camera of its own with one frame; `order` keeps how far apart they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from syncam_engine.data.pictures import PICTURE_SUFFIXES, picture_size, read_picture
from syncam_engine.data.scene import UNREADABLE, BrokenFile, BrokenFiles, Scene
from syncam_engine.link import json_text

RE10K_COLUMNS = 19

# OpenCV's y-down world of these data sets turned to Z up: x stays, y -> -z, z -> y.
Z_UP_FROM_Y_DOWN = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


class _MovingVideo:
    """What both readers share: lists of picture files by scene."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = Path(folder)
        self.name = name
        self.broken = BrokenFiles()
        self.scenes: list[Scene] = []
        self._pictures: list[list[Path]] = []

    def read_pictures(
        self, scene: int, cameras: Sequence[int], frames: Sequence[int]
    ) -> np.ndarray:
        del frames  # Every camera of a moving scene has one picture.
        size = (self.scenes[scene].width_px, self.scenes[scene].height_px)
        pictures = []
        for path in (self._pictures[scene][c] for c in cameras):
            picture = read_picture(path)
            if picture.shape[1::-1] != size:
                # Its intrinsics are told for the first picture's size.
                found = f"{picture.shape[1]}x{picture.shape[0]}"
                raise BrokenFile(str(path), f"it is {found}, others are {size[0]}x{size[1]}")
            pictures.append(picture[None])
        return np.stack(pictures)

    def check_scene(self, scene: int) -> None:
        """Read all pictures of a scene. Raises `BrokenFile`."""
        for camera in range(len(self._pictures[scene])):
            self.read_pictures(scene, [camera], [0])


class RealEstate10K(_MovingVideo):
    """SCENE.txt files (URL, then 19 numbers a frame) with PICTURES/SCENE/TIMESTAMP.jpg beside.

    Columns: timestamp in us, fx fy cx cy as shares of width and height, two zeros, 3x4
    world-to-camera in OpenCV axes. Poses are to an unknown scale, as the data set's are.
    """

    def __init__(self, folder: Path, pictures: Path | None = None, name: str = "") -> None:
        super().__init__(folder, name or f"realestate10k:{Path(folder).name}")
        self.pictures = Path(pictures) if pictures else self.folder / "frames"
        for file in sorted(self.folder.glob("*.txt")):
            try:
                self._list(file)
            except UNREADABLE as error:
                self.broken.note(file, error)

    def _list(self, file: Path) -> None:
        try:
            lines = file.read_text("utf-8").splitlines()
            rows = [[float(x) for x in line.split()] for line in lines[1:] if line.strip()]
        except (OSError, ValueError) as error:
            raise BrokenFile(str(file), str(error)) from error
        if not rows or any(len(row) != RE10K_COLUMNS for row in rows):
            raise BrokenFile(str(file), f"a line has not {RE10K_COLUMNS} numbers")
        found = _by_timestamp(self.pictures / file.stem)
        usable = [(i, row) for i, row in enumerate(rows) if int(row[0]) in found]
        if len(usable) < 2:
            raise BrokenFile(str(file), f"{len(usable)} of its pictures are in {self.pictures}")
        paths = [found[int(row[0])] for _, row in usable]
        width, height = picture_size(paths[0])
        K = [
            [[row[1] * width, 0, row[3] * width], [0, row[2] * height, row[4] * height], [0, 0, 1]]
            for _, row in usable
        ]
        w2c = np.tile(np.eye(4), (len(usable), 1, 1))
        w2c[:, :3] = np.array([row[7:] for _, row in usable]).reshape(-1, 3, 4)
        try:
            c2w = Z_UP_FROM_Y_DOWN @ np.linalg.inv(w2c)
            scene = Scene(
                key=file.stem,
                kind="moving",
                captions=("",),
                K_CT33=np.array(K, np.float32)[:, None],
                c2w_cv_m_CT44=c2w.astype(np.float32)[:, None],
                width_px=width,
                height_px=height,
                frames=1,
                order=tuple(i for i, _ in usable),
            )
        except (np.linalg.LinAlgError, ValueError) as error:
            raise BrokenFile(str(file), str(error)) from error
        self.scenes.append(scene)
        self._pictures.append(paths)


def _by_timestamp(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return {
        int(p.stem): p
        for p in folder.iterdir()
        if p.suffix.lower() in PICTURE_SUFFIXES and p.stem.isdigit()
    }


class Nerfstudio(_MovingVideo):
    """Folders with a `transforms.json` (DL3DV, nerfstudio): camera-to-world in OpenGL axes.

    Its intrinsics are for `w` x `h`; pictures of another size (images_4) scale them.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        super().__init__(folder, name or f"nerfstudio:{Path(folder).name}")
        for file in sorted(self.folder.rglob("transforms.json")):
            try:
                self._list(file)
            except UNREADABLE as error:
                self.broken.note(file, error)

    def _list(self, file: Path) -> None:
        try:
            document = json_text.loads(file.read_text("utf-8"))
            entries = [
                (i, self._picture(file.parent, entry["file_path"]), entry)
                for i, entry in enumerate(document["frames"])
            ]
            entries = [(i, path, entry) for i, path, entry in entries if path is not None]
            if len(entries) < 2:
                raise BrokenFile(str(file), f"{len(entries)} of its pictures are there")
            size = picture_size(entries[0][1])
            K = np.array([_intrinsics({**document, **entry}, size) for _, _, entry in entries])
            c2w = np.array([entry["transform_matrix"] for _, _, entry in entries], float)
            c2w[:, :3, 1:3] *= -1.0  # OpenGL camera axes (y up, z back) to OpenCV's.
            scene = Scene(
                key=str(file.parent.relative_to(self.folder)),
                kind="moving",
                captions=(document.get("caption", ""),),
                K_CT33=K.astype(np.float32)[:, None],
                c2w_cv_m_CT44=c2w.astype(np.float32)[:, None],
                width_px=size[0],
                height_px=size[1],
                frames=1,
                order=tuple(i for i, _, _ in entries),
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BrokenFile(str(file), reason) from error
        self.scenes.append(scene)
        self._pictures.append([path for _, path, _ in entries])

    @staticmethod
    def _picture(folder: Path, named: str) -> Path | None:
        """The picture, or its smaller copy in images_2, images_4 or images_8."""
        path = folder / named
        if path.is_file():
            return path
        smaller = (folder / f"images_{n}" / Path(named).name for n in (2, 4, 8))
        return next((p for p in smaller if p.is_file()), None)


def _intrinsics(entry: dict, size: tuple[int, int]) -> list[list[float]]:
    """K in pixels of the picture's size; focal length from fl_x or camera_angle_x."""
    width, height = entry.get("w", size[0]), entry.get("h", size[1])
    if "fl_x" in entry:
        fx = entry["fl_x"]
    elif "camera_angle_x" in entry:
        fx = 0.5 * width / math.tan(0.5 * entry["camera_angle_x"])
    else:
        raise KeyError("fl_x")
    fy = entry.get("fl_y", fx)
    cx, cy = entry.get("cx", width / 2), entry.get("cy", height / 2)
    sx, sy = size[0] / width, size[1] / height
    return [[fx * sx, 0, cx * sx], [0, fy * sy, cy * sy], [0, 0, 1]]
