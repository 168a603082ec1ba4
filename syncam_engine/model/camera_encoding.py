# SPDX-License-Identifier: Apache-2.0
"""From a rig to what the network reads of it: the one place where this is made.

numpy only (data loaders use it too); float64 inside, float32 out.

Shape legend: V views (`anchor` says which is the anchor), F latent frames, S = h x w tokens of a
latent frame, K = V x S, R camera numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syncam_engine.link.rig import Rig
from syncam_engine.model.interfaces import picture_of_latent_frame
from syncam_engine.model.patterns import pattern_of
from syncam_engine.model.presets import CameraEncoding
from syncam_engine.model.token_grid import TOKEN_PX, token_rays

WORLD_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class EncodedCameras:
    """A rig as the network reads it."""

    numbers_VFSR: np.ndarray
    """float32; S is 1 for extrinsics."""
    pattern_FhKK: np.ndarray | None
    """What a token may see of the others, [F or 1, h, V S, V S], or None for everything: bool (True
    where it may look) or float32 (added to the score). The h kinds are dealt out to the heads."""


def rig_matrices(
    rig: Rig, latent_frames: int, width_px: int, height_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (c2w_VF44 in metres, K_VF33 in pixels), one for each latent frame.

    Latent frame k is picture 4k; a rig whose poses end earlier holds its last one. Raises
    ValueError for a camera of another size (fit it first) and for poses too few for the clip.
    """
    last_picture = picture_of_latent_frame(latent_frames - 1)
    c2w, K = [], []
    for camera in rig.cameras:
        if (camera.width_px, camera.height_px) != (width_px, height_px):
            raise ValueError(
                f"camera {camera.name!r} is {camera.width_px}x{camera.height_px}; the cameras must "
                f"be fitted to {width_px}x{height_px}"
            )
        if 1 < camera.frame_count <= last_picture:
            raise ValueError(
                f"camera {camera.name!r} has poses for {camera.frame_count} frames; the clip needs "
                f"{last_picture + 1}"
            )
        pictures = [picture_of_latent_frame(k) for k in range(latent_frames)]
        c2w.append([camera.c2w_cv_m_at(k) for k in pictures])
        K.append([camera.K_at(k) for k in pictures])
    return np.asarray(c2w, np.float64), np.asarray(K, np.float64)


def encode_rig(
    rig: Rig, encoding: CameraEncoding, latent_frames: int, width_px: int, height_px: int
) -> EncodedCameras:
    """Return what the network reads of a rig whose cameras are fitted to the given size."""
    c2w_VF44, K_VF33 = rig_matrices(rig, latent_frames, width_px, height_px)
    return encode_cameras(c2w_VF44, K_VF33, encoding, width_px, height_px, anchor=rig.anchor)


def encode_cameras(
    c2w_VF44: np.ndarray,
    K_VF33: np.ndarray,
    encoding: CameraEncoding,
    width_px: int,
    height_px: int,
    anchor: int = 0,
) -> EncodedCameras:
    """Return what the network reads of cameras given as matrices (OpenCV axes, metres, pixels).

    A trainer with poses at hand (not a Rig) calls this. Raises ValueError naming the argument.
    """
    c2w_VF44 = np.asarray(c2w_VF44, np.float64)
    K_VF33 = np.asarray(K_VF33, np.float64)
    _check(c2w_VF44, K_VF33, width_px, height_px, anchor)
    relative_VF44 = relative_poses(c2w_VF44, anchor, encoding.anchoring)
    relative_VF44[..., :3, 3] /= encoding.unit_m
    views, frames = c2w_VF44.shape[:2]

    if encoding.encoding == "extrinsics":
        parts = [relative_VF44[..., :3, :].reshape(views, frames, 1, 12)]
    else:
        parts = [plucker_rays(relative_VF44, K_VF33, width_px, height_px)]
    tokens = parts[0].shape[2]
    if encoding.anchor_gravity:
        gravity_F4 = anchor_gravity(c2w_VF44, anchor, encoding)
        parts.append(np.broadcast_to(gravity_F4[None, :, None], (views, frames, tokens, 4)))
    parts += encoding.own_numbers(c2w_VF44, K_VF33, width_px, height_px, anchor)
    kind = pattern_of(encoding.pattern)
    pattern = None if kind is None else kind.make(c2w_VF44, K_VF33, width_px, height_px)
    return EncodedCameras(np.concatenate(parts, axis=-1).astype(np.float32), pattern)


def anchor_poses(c2w_VF44: np.ndarray, anchor: int, anchoring: str) -> np.ndarray:
    """Return the anchor's pose for each latent frame, [F, 4, 4]: at that frame, or at frame 0."""
    anchor_F44 = c2w_VF44[anchor]
    if anchoring == "first_frame":
        return np.broadcast_to(anchor_F44[:1], anchor_F44.shape)
    return anchor_F44


def relative_poses(c2w_VF44: np.ndarray, anchor: int, anchoring: str) -> np.ndarray:
    """Return camera-to-world relative to the anchor, at the same frame or at frame 0."""
    anchor_F44 = anchor_poses(c2w_VF44, anchor, anchoring)
    return np.linalg.inv(anchor_F44)[None] @ c2w_VF44


def plucker_rays(
    relative_VF44: np.ndarray, K_VF33: np.ndarray, width_px: int, height_px: int
) -> np.ndarray:
    """Return (moment, direction) of each token's ray, [V, F, S, 6], in the anchor's frame."""
    rays = token_rays(K_VF33, width_px, height_px)
    direction = np.einsum("vfij,vfsj->vfsi", relative_VF44[..., :3, :3], rays)
    origin = np.broadcast_to(relative_VF44[:, :, None, :3, 3], direction.shape)
    return np.concatenate([np.cross(origin, direction), direction], axis=-1)


def anchor_gravity(c2w_VF44: np.ndarray, anchor: int, encoding: CameraEncoding) -> np.ndarray:
    """Return [F, 4]: the world's up in the anchor's axes, and the anchor's height in units."""
    anchor_F44 = anchor_poses(c2w_VF44, anchor, encoding.anchoring)
    up = np.einsum("fji,j->fi", anchor_F44[:, :3, :3], WORLD_UP)
    return np.concatenate([up, anchor_F44[:, 2:3, 3] / encoding.unit_m], axis=-1)


def _check(c2w: np.ndarray, K: np.ndarray, width_px: int, height_px: int, anchor: int) -> None:
    if c2w.ndim != 4 or c2w.shape[2:] != (4, 4):
        raise ValueError(f"c2w_VF44 has shape {c2w.shape}; it must be [views, frames, 4, 4]")
    if K.shape != (*c2w.shape[:2], 3, 3):
        raise ValueError(
            f"K_VF33 has shape {K.shape}; it must be {(*c2w.shape[:2], 3, 3)}, one a pose"
        )
    for name, array in (("c2w_VF44", c2w), ("K_VF33", K)):
        if not np.isfinite(array).all():
            view = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(f"{name} has a value that is not finite, in view {view}")
    for name, array in (("c2w_VF44", c2w), ("K_VF33", K)):
        flat = np.abs(np.linalg.det(array)) < 1e-12
        if flat.any():
            view, frame = np.argwhere(flat)[0]
            raise ValueError(
                f"{name} of view {view}, latent frame {frame} has no inverse; it must be a "
                + ("pose" if name == "c2w_VF44" else "lens with fx and fy above 0")
            )
    if not 0 <= anchor < c2w.shape[0]:
        raise ValueError(f"anchor is {anchor}; it must be 0 to {c2w.shape[0] - 1}")
    side = TOKEN_PX
    nearest = [max(side, round(n / side) * side) for n in (width_px, height_px)]
    if width_px % side or height_px % side or width_px < side or height_px < side:
        raise ValueError(
            f"the size is {width_px}x{height_px}; both must be multiples of {side}, the nearest is "
            f"{nearest[0]}x{nearest[1]}"
        )
