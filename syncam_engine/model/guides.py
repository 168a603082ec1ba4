# SPDX-License-Identifier: Apache-2.0
"""What the network is told of a scene's geometry: depth, colours and mattes of every camera.

Hosts send depth; everything that follows from depth and the camera (normals, the numbers that the
network reads) is made here, so that every host gives the same.

Shape legend: V views, T pictures, H, W pixels, G guide channels; a leading `...` is any axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.guides import LEVELS, NEAREST_M
from syncam_engine.model.pixels import to_network
from syncam_engine.model.presets import GUIDE_CHANNELS

FAR_M = 100.0
"""Log depth ends here: what is farther looks the same."""


@dataclass(frozen=True, kw_only=True)
class Guides:
    """The guides of one request or sample, pictures of one size."""

    depth_m_VTHW: np.ndarray
    """Plane depth in metres, float32; infinity where nothing is."""
    colour_VTHW3: np.ndarray | None = None
    """Flat or shaded colours of the scene, uint8 sRGB."""

    def of_views(self, order: list[int]) -> Guides:
        """The guides of these views, in this order."""
        colour = self.colour_VTHW3
        return Guides(
            depth_m_VTHW=self.depth_m_VTHW[order],
            colour_VTHW3=None if colour is None else colour[order],
        )

    def check(self, names: list[str], pictures: int, width_px: int, height_px: int) -> None:
        """Raise SynCamError ("guides.*") naming the camera, unless they fit a request's views."""
        wanted = (len(names), pictures, height_px, width_px)
        given = [("depth", self.depth_m_VTHW.shape)]
        if self.colour_VTHW3 is not None:
            given.append(("colours", self.colour_VTHW3.shape[:4]))
        for what, shape in given:
            if tuple(shape) != wanted:
                raise SynCamError(
                    "guides.size",
                    f"The {what} are of {shape[0]} cameras, {shape[1]} pictures and "
                    f"{shape[3]}x{shape[2]}; the request has {wanted[0]} cameras, {wanted[1]} "
                    f"pictures and {width_px}x{height_px}.",
                    value=list(shape),
                    nearest=list(wanted),
                )
        for name, depth_m in zip(names, self.depth_m_VTHW, strict=True):
            wrong = np.isnan(depth_m) | (depth_m <= 0)
            if wrong.any():
                raise SynCamError(
                    "guides.depth",
                    f"The depth of camera {name!r} has the value {depth_m[wrong][0]:g} in picture "
                    f"{int(np.argwhere(wrong)[0][0])}; it must be above 0 m, or infinite for "
                    "nothing.",
                    value=repr(float(depth_m[wrong][0])),
                )
            if not np.isfinite(depth_m).any():
                raise SynCamError(
                    "guides.nothing",
                    f"Camera {name!r} sees nothing of the scene in any picture: all of its depth "
                    "is empty.",
                    value=name,
                    fix="Turn the camera to the scene, or look at its clip distances",
                )


def levels_of_depth(depth_m: np.ndarray) -> np.ndarray:
    """`link.guides.level_of_depth` of whole pictures: uint16 [...]."""
    with np.errstate(divide="ignore"):
        level = np.rint(LEVELS * NEAREST_M / depth_m.astype(np.float64))
    return np.where(np.isinf(depth_m), 0, np.clip(level, 1, LEVELS)).astype(np.uint16)


def depth_of_levels(level: np.ndarray) -> np.ndarray:
    """`link.guides.depth_of_level` of whole pictures: float32 metres, inf where nothing is."""
    with np.errstate(divide="ignore"):
        return (LEVELS * NEAREST_M / level.astype(np.float64)).astype(np.float32)


def camera_points(depth_m: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Points [..., H, W, 3] in camera axes (OpenCV, metres) of depth [..., H, W]; K [..., 3, 3]."""
    height, width = depth_m.shape[-2:]
    K = np.asarray(K, np.float64)[..., None, None, :, :]
    v, u = np.mgrid[0:height, 0:width] + 0.5
    y = (v - K[..., 1, 2]) / K[..., 1, 1]
    x = (u - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return np.stack([x * depth_m, y * depth_m, depth_m + 0 * x], -1).astype(np.float32)


def normals_of_depth(depth_m: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Unit surface normals [..., H, W, 3] in camera axes, towards the camera; 0 where nothing is.

    Depth [..., H, W] in metres, K [..., 3, 3] in pixels. Along each axis the neighbour whose depth
    is closer is taken, so that a surface's normals do not bend over its edge.
    """
    points = camera_points(np.where(np.isinf(depth_m), 1e6, depth_m), K)
    along_u = _nearer_difference(points, axis=-2)
    along_v = _nearer_difference(points, axis=-3)
    normal = np.cross(along_v, along_u)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-12)
    towards = np.sign((normal * points).sum(-1, keepdims=True))
    return np.where(np.isinf(depth_m)[..., None], 0.0, -towards * normal).astype(np.float32)


def _nearer_difference(points: np.ndarray, axis: int) -> np.ndarray:
    """Of the differences to both neighbours along an axis, the one that changes depth less."""
    count = points.shape[axis]
    step = np.diff(points, axis=axis)
    first, last = step.take([0], axis), step.take([count - 2], axis)
    forward = np.concatenate([step, last], axis)
    backward = np.concatenate([first, step], axis)
    use_forward = np.abs(forward[..., 2:]) <= np.abs(backward[..., 2:])
    return np.where(use_forward, forward, backward)


def gravity_axes(c2w_cv_m: np.ndarray) -> np.ndarray:
    """World to shared axes, 3x3: Z stays up, x points to the right of this (the anchor's) camera.

    All views' normals are told in these axes: one wall has one normal in every view, and a scene
    that is turned about the vertical tells the network the same.
    """
    right = np.asarray(c2w_cv_m, np.float64)[:2, 0]
    length = np.linalg.norm(right)
    cos, sin = (right / length) if length > 1e-6 else (1.0, 0.0)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def guide_channels(guides: Guides, K_VT33: np.ndarray, c2w_cv_m_VT44: np.ndarray) -> np.ndarray:
    """What the network reads: float32 [V, T, G, H, W], each channel within about -1 to 1.

    G: inverse depth, log depth, whether something is there, normal x, y, z, colour r, g, b, and
    whether colours are given.

    K and poses have a time axis of T or 1; view 0 is the anchor.
    """
    depth = guides.depth_m_VTHW
    views, pictures = depth.shape[:2]
    K = np.broadcast_to(K_VT33, (views, pictures, 3, 3))
    c2w = np.broadcast_to(c2w_cv_m_VT44, (views, pictures, 4, 4))
    there = np.isfinite(depth)
    near = np.maximum(depth, NEAREST_M)
    inverse = 1.0 / near
    log = np.log(np.minimum(near, FAR_M) / 5.0) / 3.0
    turn = gravity_axes(c2w[0, 0]) @ c2w[..., :3, :3]
    normals = np.einsum("vtij,vthwj->vtihw", turn, normals_of_depth(depth, K))
    out = np.zeros((views, pictures, GUIDE_CHANNELS, *depth.shape[2:]), np.float32)
    out[:, :, 0], out[:, :, 1], out[:, :, 2] = inverse, log, there
    out[:, :, 3:6] = normals
    if guides.colour_VTHW3 is not None:
        out[:, :, 6:9] = to_network(guides.colour_VTHW3).movedim(1, 2).numpy()
        out[:, :, 9] = 1.0
    return out
