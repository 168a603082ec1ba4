# SPDX-License-Identifier: Apache-2.0
"""Clips encoded once: written by `syncam data latents`, read by the trainer.

A store is a folder: `store.json` (autoencoder's digest, size), and for each group of scenes one
`NAME.safetensors` with "KEY/z" (CZFhw float16), "KEY/K" (CT33) and "KEY/c2w" (CT44) plus one
`NAME.json` with what has no tensor. A group is written whole or not at all, so that a run that was
stopped goes on, and any number of processes share the groups.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from syncam_engine.data.draw import fit_pictures
from syncam_engine.data.scene import (
    UNREADABLE,
    BrokenFile,
    BrokenFiles,
    Scene,
    SceneSource,
    read_document,
)
from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.pixels import to_network

STORE_FILE = "store.json"
STORE_AGAIN = "Delete it and run `syncam data latents` again; latents that are there are kept"
GROUP_SCENES = 64
MIRRORED = "~mirrored"
"""Ends the key of a scene's mirror image."""


def groups_of(source: SceneSource) -> Iterator[tuple[str, list[int]]]:
    """The source's own groups (its shards), or runs of 64 scenes in their order."""
    own = getattr(source, "groups", None)
    if own is not None:
        yield from own.items()
        return
    for start in range(0, len(source.scenes), GROUP_SCENES):
        stop = min(start + GROUP_SCENES, len(source.scenes))
        yield f"scenes-{start:06d}", list(range(start, stop))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_store(
    folder: Path, autoencoder_digest: str, width_px: int, height_px: int, mirror: bool = False
) -> None:
    """Make a store, or check that this one was made with the same autoencoder, size and mirror."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "format": "syncam-latents",
        "version": 1,
        "autoencoder": autoencoder_digest,
        "width_px": width_px,
        "height_px": height_px,
        "mirror": mirror,
    }
    path = folder / STORE_FILE
    if path.is_file():
        found = {"mirror": False, **read_document(path, STORE_AGAIN)}
        for field in wanted:
            if found.get(field) != wanted[field]:
                raise SynCamError(
                    "latents.store",
                    f"The latents in {folder} have {field} {found.get(field)!r}, this run has "
                    f"{wanted[field]!r}.",
                    value=found.get(field),
                    fix="Write to another folder",
                )
        return
    _write_whole(path, json.dumps(wanted, indent=1).encode())


def encode_source(
    source: SceneSource,
    encode: Callable[[torch.Tensor], torch.Tensor],
    folder: Path,
    *,
    width_px: int,
    height_px: int,
    part: tuple[int, int] = (0, 1),
    mirror: bool = False,
    on_group: Callable[[str, int], None] | None = None,
) -> int:
    """Encode every group of the source that the store has not; return how many scenes.

    `encode`: video_VCTHW in [-1, 1] -> z_VZFhw. `part`: (i, n) takes every n-th group from the
    i-th. `mirror`: each scene's mirror image is encoded too, as a scene of its own. Scenes with
    broken files are left out, counted and named in `source.broken`.
    """
    done = 0
    for number, (name, scenes) in enumerate(groups_of(source)):
        target = Path(folder) / f"{name}.safetensors"
        if number % part[1] != part[0] or target.is_file():
            continue
        tensors: dict[str, torch.Tensor] = {}
        documents = []
        for index in scenes:
            scene = source.scenes[index]
            try:
                sides = _encode_scene(source, index, encode, width_px, height_px, mirror)
            except BrokenFile as error:
                source.broken.add(error)
                continue
            for suffix, (z, K, c2w) in sides.items():
                key = f"{scene.key}{suffix}"
                tensors[f"{key}/z"] = z
                tensors[f"{key}/K"] = torch.from_numpy(K.astype(np.float32)).contiguous()
                tensors[f"{key}/c2w"] = torch.from_numpy(c2w.astype(np.float32)).contiguous()
                documents.append(
                    {
                        "key": key,
                        "kind": scene.kind,
                        "captions": list(scene.captions),
                        "frames": (z.shape[2] - 1) * 4 + 1,
                        "fps": scene.fps,
                        "order": list(scene.order),
                    }
                )
        if not documents:
            continue
        meta = {"width_px": width_px, "height_px": height_px, "scenes": documents}
        _write_whole(target.with_suffix(".json"), json.dumps(meta).encode())
        partial = target.with_suffix(f".{os.getpid()}.partial")
        save_file(tensors, partial)
        partial.replace(target)
        done += len(documents)
        if on_group:
            on_group(name, len(documents))
    return done


def _encode_scene(
    source: SceneSource,
    index: int,
    encode: Callable[[torch.Tensor], torch.Tensor],
    width_px: int,
    height_px: int,
    mirror: bool,
) -> dict[str, tuple[torch.Tensor, np.ndarray, np.ndarray]]:
    """Key's end -> latents CZFhw, K_CT33 and c2w_cv_m_CT44 of a scene, and of its mirror image."""
    scene = source.scenes[index]
    frames = (scene.frames - 1) // 4 * 4 + 1
    latents: dict[str, list[torch.Tensor]] = {"": [], **({MIRRORED: []} if mirror else {})}
    intrinsics = []
    for camera in range(scene.cameras):
        pictures = source.read_pictures(index, [camera], range(frames))
        K_camera = scene.K_CT33[camera : camera + 1]
        pictures, K_camera = fit_pictures(pictures, K_camera, width_px, height_px)
        intrinsics.append(K_camera)
        for suffix, encoded in latents.items():
            seen = pictures[..., ::-1, :] if suffix else pictures
            with torch.inference_mode():
                encoded.append(encode(to_network(seen)).to(torch.float16).cpu())
    K, c2w = np.concatenate(intrinsics), scene.c2w_cv_m_CT44
    sides = {"": (torch.cat(latents[""]).contiguous(), K, c2w)}
    if mirror:
        z = torch.cat(latents[MIRRORED]).contiguous()
        sides[MIRRORED] = (z, mirrored_K(K, width_px), mirrored_c2w(c2w))
    return sides


def mirrored_K(K_33: np.ndarray, width_px: int) -> np.ndarray:
    """Intrinsics [..., 3, 3] of the picture flipped left to right; skew changes its sign."""
    out = np.array(K_33)
    out[..., 0, 1] = -K_33[..., 0, 1]
    out[..., 0, 2] = width_px - K_33[..., 0, 2]
    return out


def mirrored_c2w(c2w_cv_m_44: np.ndarray) -> np.ndarray:
    """Poses [..., 4, 4] in the world mirrored at its x = 0, of cameras that stay right-handed.

    With the flipped picture they see the mirrored world as the original saw its own.
    """
    flip = np.diag([-1.0, 1.0, 1.0, 1.0]).astype(c2w_cv_m_44.dtype)
    return flip @ c2w_cv_m_44 @ flip


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


class LatentStore:
    """Reads a store; files are mapped, not loaded."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = Path(folder)
        self.name = name or f"latents:{self.folder.name}"
        self.broken = BrokenFiles()
        path = self.folder / STORE_FILE
        if not path.is_file():
            raise SynCamError(
                "data.missing",
                f"There is no latent store at {self.folder}.",
                value=str(self.folder),
                fix="Make it with `syncam data latents`",
            )
        self.info = read_document(path, STORE_AGAIN)
        self.scenes: list[Scene] = []
        self._files: list[Path] = []
        self._file_of: list[int] = []
        self._open: dict[int, object] = {}
        for file in sorted(self.folder.glob("*.safetensors")):
            try:
                self._list(file)
            except (*UNREADABLE, SafetensorError) as error:
                self.broken.note(file, error)

    def _list(self, file: Path) -> None:
        meta = json_text.loads(file.with_suffix(".json").read_text("utf-8"))
        scenes = []
        with safe_open(file, "pt") as tensors:
            for entry in meta["scenes"]:
                scenes.append(
                    Scene(
                        key=entry["key"],
                        kind=entry["kind"],
                        captions=tuple(entry["captions"]),
                        K_CT33=tensors.get_tensor(f"{entry['key']}/K").numpy(),
                        c2w_cv_m_CT44=tensors.get_tensor(f"{entry['key']}/c2w").numpy(),
                        width_px=meta["width_px"],
                        height_px=meta["height_px"],
                        frames=entry["frames"],
                        fps=entry["fps"],
                        order=tuple(entry["order"]),
                    )
                )
        self._file_of.extend([len(self._files)] * len(scenes))
        self._files.append(file)
        self.scenes.extend(scenes)

    def __getstate__(self) -> dict:
        # Open maps do not cross to reader processes; each opens its own.
        return {**self.__dict__, "_open": {}}

    def read_latents(self, scene: int, cameras: Sequence[int], latent_frames: int) -> np.ndarray:
        """Latents float16 VZFhw of these cameras."""
        number = self._file_of[scene]
        try:
            if number not in self._open:
                self._open[number] = safe_open(self._files[number], "np")
            z = self._open[number].get_tensor(f"{self.scenes[scene].key}/z")
        except (OSError, SafetensorError) as error:
            raise BrokenFile(str(self._files[number]), str(error)) from error
        return z[list(cameras), :, :latent_frames]
