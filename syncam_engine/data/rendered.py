# SPDX-License-Identifier: Apache-2.0
"""What `syncam render` writes: packed shards of small raw clips, mapped from disk.

`shard-00012.npz` (not compressed) holds S scenes: `frames` uint8 SVTHW3, `K` and `c2w_cv_m` per
camera, `captions`, `scene` and `seed` numbers, `fps`. A file that exists is whole. Folders in the
SynCamVideo layout, which the renderer writes for large sets, are read by that reader.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from syncam_engine.data.scene import UNREADABLE, BrokenFile, BrokenFiles, Scene, SceneSource

LOCAL_HEADER_BYTES = 30
PEOPLE = re.compile(r"\b(man|woman|boy|girl)\b")
ANIMALS = re.compile(r"\b(dog|cat|bear|cow|horse|deer|sheep|goat|pig|fox|wolf|camel)\b")


def map_member(path: Path, name: str) -> np.ndarray:
    """An array of an uncompressed .npz as a read-only map; other files are not read.

    Raises `ValueError` when it is compressed or holds objects.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed; shards are stored as they are")
        start = info.header_offset
    with path.open("rb") as file:
        file.seek(start)
        header = file.read(LOCAL_HEADER_BYTES)
        # Lengths of the member's name and extra field stand at bytes 26 and 28 of its header.
        skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        file.seek(start + LOCAL_HEADER_BYTES + skip)
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            reader = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
        if dtype.hasobject or fortran:
            raise ValueError(f"{name} is not a plain array")
        return np.memmap(path, dtype, "r", file.tell(), shape)


def caption_variants(caption: str) -> tuple[str, ...]:
    """The caption three times and once with the general word, so that "person" means something."""
    general = ANIMALS.sub("animal", PEOPLE.sub("person", caption))
    return (caption, caption, caption, general)


class PackedShards:
    """Reads a folder of shards; `groups` keeps them apart for `syncam data latents`."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = Path(folder)
        self.name = name or f"rendered:{self.folder.name}"
        self.broken = BrokenFiles()
        self.scenes: list[Scene] = []
        self.groups: dict[str, list[int]] = {}
        self._place: list[tuple[Path, int]] = []
        self._maps: dict[Path, np.ndarray] = {}
        for path in sorted(self.folder.glob("shard-*.npz")):
            try:
                self._list(path)
            except UNREADABLE as error:
                self.broken.note(path, error)

    def _list(self, path: Path) -> None:
        frames = map_member(path, "frames")
        with np.load(path) as shard:
            K, c2w = shard["K"], shard["c2w_cv_m"]
            captions, numbers, fps = shard["captions"], shard["scene"], float(shard["fps"])
        count, cameras, pictures, height, width, _ = frames.shape
        if frames.dtype != np.uint8 or K.shape[:2] != (count, cameras):
            raise ValueError(
                f"it has {frames.dtype} pictures of {count} scenes and {cameras} cameras, and "
                f"intrinsics of {K.shape[:2]}"
            )
        scenes = [
            Scene(
                key=f"{path.stem}/scene-{int(numbers[s]):06d}",
                kind="multiview",
                captions=caption_variants(str(captions[s])),
                K_CT33=_per_frame(K[s]),
                c2w_cv_m_CT44=_per_frame(c2w[s]),
                width_px=width,
                height_px=height,
                frames=pictures,
                fps=fps,
            )
            for s in range(count)
        ]
        first = len(self.scenes)
        self.groups[path.stem] = list(range(first, first + count))
        self.scenes.extend(scenes)
        self._place.extend((path, s) for s in range(count))

    def __getstate__(self) -> dict:
        # Maps do not cross to reader processes; each makes its own.
        return {**self.__dict__, "_maps": {}}

    def read_pictures(
        self, scene: int, cameras: Sequence[int], frames: Sequence[int]
    ) -> np.ndarray:
        """Pictures uint8 VTHW3 of these cameras at these frames."""
        path, row = self._place[scene]
        try:
            if path not in self._maps:
                self._maps[path] = map_member(path, "frames")
            return np.array(self._maps[path][row][list(cameras)][:, list(frames)])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise BrokenFile(str(path), str(error)) from error


def _per_frame(matrices: np.ndarray) -> np.ndarray:
    """Cameras' matrices with a time axis: one for all frames where there is none."""
    return (matrices if matrices.ndim == 4 else matrices[:, None]).astype(np.float32)


def open_rendered(folder: Path) -> SceneSource:
    """The reader that fits what the folder holds."""
    if any(folder.glob("shard-*.npz")):
        return PackedShards(folder)
    from syncam_engine.data.syncamvideo import SynCamVideo

    return SynCamVideo(folder, name=f"rendered:{folder.name}")
