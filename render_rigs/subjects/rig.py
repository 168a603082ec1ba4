# SPDX-License-Identifier: GPL-3.0-or-later
"""A skinned figure in plain numpy: bones, weights, forward kinematics, two-bone legs.

Axes of a figure at rest: +X forward, +Y left, +Z up, metres, standing on z = 0.
Shapes: T frames, B bones, N vertices, L legs.
"""

from dataclasses import dataclass, field

import numpy as np

from render_rigs.mesh import MeshBuilder, MeshData, loft


@dataclass(frozen=True, slots=True)
class Leg:
    """A two-bone leg ending in a foot: bone indices, and how it takes part in a gait."""

    upper: int
    lower: int
    foot: int
    phase: float
    """When in the cycle it lands, 0..1."""
    knee_sign: float = 1.0
    """+1: the joint points forward (knee, elbow of a foreleg backwards is -1)."""


@dataclass(slots=True)
class Skeleton:
    names: list[str]
    parents: list[int]
    heads_m: np.ndarray
    """[B,3] joint positions at rest."""

    def index(self, name: str) -> int:
        return self.names.index(name)


@dataclass(slots=True)
class Figure:
    """A subject ready to be posed. ``weights`` [N,B] rows sum to one."""

    mesh: MeshData
    weights: np.ndarray
    skeleton: Skeleton
    legs: list[Leg]
    height_m: float
    radius_m: float
    """Clearance radius around the root on the ground plane."""
    info: dict = field(default_factory=dict)


class FigureBuilder:
    """A ``MeshBuilder`` whose pieces also carry bone weights."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.mesh = MeshBuilder()
        self._weights: list[np.ndarray] = []

    def weight(self, **shares: float) -> np.ndarray:
        """One row of weights from bone names."""
        row = np.zeros(len(self.skeleton.names))
        for name, share in shares.items():
            row[self.skeleton.index(name)] += share
        return row / row.sum()

    def add(self, verts, faces, weights, color, surface="plain", smooth=True) -> None:
        """``weights``: one row [B] or one a vertex [N,B]."""
        verts = np.asarray(verts, float)
        self._weights.append(np.broadcast_to(weights, (len(verts), len(self.skeleton.names))))
        self.mesh.add(verts, faces, color, surface, smooth=smooth)

    def tube(
        self,
        centers,
        radii,
        ring_weights,
        ring_colors,
        surface="plain",
        *,
        segments=10,
        u=None,
        v=None,
        power=2.0,
    ) -> None:
        """A capped loft with weights [n,B] and sRGB colours [n,3] (or one) for its rings."""
        n = len(centers)
        verts, faces = loft(centers, radii, segments=segments, u=u, v=v, power=power)
        weights = np.broadcast_to(ring_weights, (n, len(self.skeleton.names)))
        per_vertex = np.concatenate([np.repeat(weights, segments, 0), weights[:1], weights[-1:]])
        colors = np.broadcast_to(np.asarray(ring_colors, float), (n, 3))
        tint = np.concatenate([np.repeat(colors, segments, 0), colors[:1], colors[-1:]])
        self.add(verts, faces, per_vertex, tint, surface)

    def build(self, legs: list[Leg], height_m: float, radius_m: float, **info) -> Figure:
        return Figure(
            self.mesh.build(),
            np.concatenate(self._weights).astype(np.float32),
            self.skeleton,
            legs,
            height_m,
            radius_m,
            info,
        )


@dataclass(slots=True)
class Pose:
    """Global bone rotations [T,B,3,3] and joint positions [T,B,3] in the world."""

    rotations: np.ndarray
    heads_m: np.ndarray


def skin(figure: Figure, pose: Pose) -> np.ndarray:
    """Linear blend skinning: vertices [T,N,3] float32 in the world."""
    rest = figure.mesh.verts_m.astype(np.float32)
    offset = pose.heads_m - np.einsum("tbij,bj->tbi", pose.rotations, figure.skeleton.heads_m)
    affine = np.concatenate([pose.rotations, offset[..., None]], -1).astype(np.float32)
    blended = figure.weights @ affine.reshape(len(affine), affine.shape[1], 12)
    blended = blended.reshape(len(affine), len(rest), 3, 4)
    return np.einsum("tnij,nj->tni", blended[..., :3], rest) + blended[..., 3]


def axis_rotation(axis: str, angle_rad: np.ndarray) -> np.ndarray:
    """[T,3,3] rotations about X (roll), Y (pitch, + is nose down) or Z (yaw)."""
    angle_rad = np.atleast_1d(np.asarray(angle_rad, float))
    c, s, o, z = np.cos(angle_rad), np.sin(angle_rad), np.ones_like(angle_rad), 0 * angle_rad
    rows = {
        "x": [[o, z, z], [z, c, -s], [z, s, c]],
        "y": [[c, z, s], [z, o, z], [-s, z, c]],
        "z": [[c, -s, z], [s, c, z], [z, z, o]],
    }[axis]
    return np.stack([np.stack(r, -1) for r in rows], -2)


def forward(skeleton: Skeleton, root_m, root_rotation, local: dict[str, np.ndarray]) -> Pose:
    """Forward kinematics from the root; ``local`` holds [T,3,3] rotations by bone name."""
    frames, bones = len(root_m), len(skeleton.names)
    rotations = np.empty((frames, bones, 3, 3))
    heads = np.empty((frames, bones, 3))
    for b, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
        if parent < 0:
            rotations[:, b], heads[:, b] = root_rotation, root_m
        else:
            arm = skeleton.heads_m[b] - skeleton.heads_m[parent]
            heads[:, b] = heads[:, parent] + rotations[:, parent] @ arm
            rotations[:, b] = rotations[:, parent]
        if name in local:
            rotations[:, b] = rotations[:, b] @ local[name]
    return Pose(rotations, heads)


def reach_m(skeleton: Skeleton, leg: Leg) -> tuple[float, float]:
    """Lengths of the two bones of a leg."""
    h = skeleton.heads_m
    return (
        float(np.linalg.norm(h[leg.lower] - h[leg.upper])),
        float(np.linalg.norm(h[leg.foot] - h[leg.lower])),
    )


def plant_legs(skeleton: Skeleton, legs: list[Leg], pose: Pose, ankles_m, foot_rotations) -> None:
    """Bend each leg so that its ankle is at ``ankles_m`` [T,L,3]; sets ``pose`` in place.

    ``foot_rotations`` [T,L,3,3] are global. A target out of reach is met as far as the leg goes.
    """
    rest = skeleton.heads_m
    for i, leg in enumerate(legs):
        upper, lower = reach_m(skeleton, leg)
        hip = pose.heads_m[:, leg.upper]
        ahead = pose.rotations[:, leg.upper] @ np.array([leg.knee_sign, 0.0, 0.0])
        to = ankles_m[:, i] - hip
        distance = np.clip(
            np.linalg.norm(to, axis=-1), abs(upper - lower) + 1e-4, (upper + lower) * 0.9995
        )
        to /= np.linalg.norm(to, axis=-1, keepdims=True)
        perp = ahead - to * (ahead * to).sum(-1, keepdims=True)
        perp /= np.linalg.norm(perp, axis=-1, keepdims=True)
        along = (upper**2 + distance**2 - lower**2) / (2 * distance)
        out = np.sqrt(np.maximum(upper**2 - along**2, 0))
        knee = hip + to * along[:, None] + perp * out[:, None]
        ankle = hip + to * distance[:, None]
        rest_perp = np.array([leg.knee_sign, 0.0, 0.0])
        for bone, a, b, ra, rb in (
            (leg.upper, hip, knee, rest[leg.upper], rest[leg.lower]),
            (leg.lower, knee, ankle, rest[leg.lower], rest[leg.foot]),
        ):
            pose.rotations[:, bone] = (
                _frame(b - a, perp) @ _frame((rb - ra)[None], rest_perp[None])[0].T
            )
        pose.heads_m[:, leg.lower], pose.heads_m[:, leg.foot] = knee, ankle
        pose.rotations[:, leg.foot] = foot_rotations[:, i]


def _frame(down, ahead):
    """[T,3,3] orthonormal columns from a bone direction and a forward hint."""
    z = -down / np.linalg.norm(down, axis=-1, keepdims=True)
    x = ahead - z * (ahead * z).sum(-1, keepdims=True)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], -1)
