# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes as numpy arrays: everything of one kind of surface in one place, joined as it is made.

Units are metres, Z up. Faces are quads; a triangle repeats its last corner as -1.
"""

from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]


@dataclass(slots=True)
class MeshData:
    """A mesh with linear RGB per corner, the surface (texture) per face and UVs in metres.

    verts_m [N,3] float32; faces [F,4] int32 (-1 in the last column: triangle); colors [F,4,3]
    float32 linear; uvs_m [F,4,2]; surface [F] int32 into ``surfaces``; smooth [F] bool.
    """

    verts_m: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    uvs_m: np.ndarray
    surface: np.ndarray
    smooth: np.ndarray
    surfaces: list[str]
    piece: np.ndarray | None = None
    """[F] int32: which primitive a face belongs to; for taking a joined mesh apart again."""

    def apart(self) -> "list[MeshData]":
        """One mesh for each primitive, as a scene built object by object would have them."""
        out = []
        for number in np.unique(self.piece):
            mine = self.piece == number
            used, faces = np.unique(self.faces[mine], return_inverse=True)
            faces = faces.reshape(-1, 4)
            if used[0] < 0:  # -1 marks triangles, it is no vertex
                used, faces = used[1:], faces - 1
            out.append(
                MeshData(
                    self.verts_m[used],
                    faces.astype(np.int32),
                    self.colors[mine],
                    self.uvs_m[mine],
                    self.surface[mine],
                    self.smooth[mine],
                    self.surfaces,
                )
            )
        return out


def linear(color_srgb) -> np.ndarray:
    """sRGB 0..1 (or "#rrggbb") to linear RGB."""
    if isinstance(color_srgb, str):
        color_srgb = [int(color_srgb[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    c = np.asarray(color_srgb, np.float64)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def rotation_z(angle_rad: float) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


class MeshBuilder:
    """Collects primitives; ``build`` joins them into one ``MeshData``."""

    def __init__(self) -> None:
        self._verts: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._colors: list[np.ndarray] = []
        self._uvs: list[np.ndarray] = []
        self._surface: list[np.ndarray] = []
        self._smooth: list[np.ndarray] = []
        self._names: list[str] = []
        self._piece: list[np.ndarray] = []
        self._count = 0

    @property
    def vertex_count(self) -> int:
        return self._count

    def add(
        self,
        verts,
        faces,
        color,
        surface="plain",
        *,
        smooth=False,
        uvs=None,
        at=(0.0, 0.0, 0.0),
        turn_rad=0.0,
    ) -> slice:
        """Add one piece and return its slice of the vertices.

        ``color`` is sRGB: one, one a face [F,3], or one a vertex [N,3] (N == len(verts) wins).
        """
        verts = np.asarray(verts, np.float64)
        faces = np.asarray(faces, np.int64)
        if faces.shape[1] == 3:
            faces = np.concatenate([faces, np.full((len(faces), 1), -1)], axis=1)
        if turn_rad:
            verts = verts @ rotation_z(turn_rad).T
        verts = verts + np.asarray(at)
        color = linear(color)
        corner = np.where(faces < 0, faces[:, 2:3], faces)
        if color.ndim == 1:
            colors = np.broadcast_to(color, (*faces.shape, 3))
        elif len(color) == len(verts):
            colors = color[corner]
        else:
            colors = np.broadcast_to(color[:, None], (*faces.shape, 3))
        if uvs is None:
            uvs = box_uvs(verts, corner)
        if surface not in self._names:
            self._names.append(surface)
        self._verts.append(verts.astype(np.float32))
        self._faces.append(np.where(faces < 0, -1, faces + self._count).astype(np.int32))
        self._colors.append(np.ascontiguousarray(colors, np.float32))
        self._uvs.append(np.ascontiguousarray(uvs, np.float32))
        index = self._names.index(surface)
        self._surface.append(np.full(len(faces), index, np.int32))
        self._smooth.append(np.full(len(faces), smooth))
        self._piece.append(np.full(len(faces), len(self._piece), np.int32))
        start = self._count
        self._count += len(verts)
        return slice(start, self._count)

    def build(self) -> MeshData:
        return MeshData(
            np.concatenate(self._verts),
            np.concatenate(self._faces),
            np.concatenate(self._colors),
            np.concatenate(self._uvs),
            np.concatenate(self._surface),
            np.concatenate(self._smooth),
            list(self._names),
            np.concatenate(self._piece),
        )

    # --- primitives ---------------------------------------------------------------------------

    def box(self, center, size, color, surface="plain", turn_rad=0.0, taper=1.0) -> slice:
        """An upright box; ``center`` is the middle of its bottom, ``taper`` scales its top."""
        x, y, z = np.asarray(size, float) / (2, 2, 1)
        t = taper
        verts = [
            (-x, -y, 0),
            (x, -y, 0),
            (x, y, 0),
            (-x, y, 0),
            (-x * t, -y * t, z),
            (x * t, -y * t, z),
            (x * t, y * t, z),
            (-x * t, y * t, z),
        ]
        faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
        return self.add(verts, faces, color, surface, at=center, turn_rad=turn_rad)

    def quad(self, corners, color, surface="plain", uvs=None) -> slice:
        """One quad from four corners, counter-clockwise from outside."""
        return self.add(corners, [(0, 1, 2, 3)], color, surface, uvs=uvs)

    def plane(self, center, size, color, surface, cells=(1, 1), height=None) -> slice:
        """A ground sheet of ``cells`` quads; ``height(x, y)`` in metres lifts it."""
        nx, ny = cells
        xs = np.linspace(-size[0] / 2, size[0] / 2, nx + 1)
        ys = np.linspace(-size[1] / 2, size[1] / 2, ny + 1)
        gx, gy = np.meshgrid(xs, ys)
        gz = np.zeros_like(gx) if height is None else height(gx + center[0], gy + center[1])
        verts = np.stack([gx, gy, gz], -1).reshape(-1, 3) + np.asarray(center)
        i, j = np.meshgrid(np.arange(nx), np.arange(ny))
        a = (j * (nx + 1) + i).ravel()
        faces = np.stack([a, a + 1, a + nx + 2, a + nx + 1], -1)
        return self.add(verts, faces, color, surface, smooth=height is not None)

    def loft(
        self,
        centers,
        radii,
        color,
        surface="plain",
        *,
        segments=10,
        u=None,
        v=None,
        smooth=True,
        power=2.0,
        caps=True,
        at=(0.0, 0.0, 0.0),
        turn_rad=0.0,
    ) -> slice:
        """A tube through ``centers`` [n,3]; ``radii`` [n] or [n,2] along ``u`` and ``v``.

        ``color`` may be one a ring [n,3]; ``power`` 2 is an ellipse, larger is boxier.
        """
        verts, faces = loft(centers, radii, segments=segments, u=u, v=v, power=power, caps=caps)
        color = np.asarray(linear_passthrough(color))
        if color.ndim == 2 and len(color) == len(np.asarray(centers)):
            per_vertex = np.repeat(color, segments, 0)
            if caps:
                per_vertex = np.concatenate([per_vertex, color[:1], color[-1:]])
            color = per_vertex
        return self.add(verts, faces, color, surface, smooth=smooth, at=at, turn_rad=turn_rad)

    def cylinder(
        self,
        center,
        radius_m,
        height_m,
        color,
        surface="plain",
        segments=12,
        top_m=None,
        smooth=True,
    ) -> slice:
        """An upright cylinder or cone on ``center``, with its sharp rim kept."""
        top = radius_m if top_m is None else top_m
        angle = np.arange(segments) / segments * 2 * np.pi
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], -1)
        verts = np.concatenate([ring * radius_m, ring * top + (0, 0, height_m)])
        k = np.arange(segments)
        n = (k + 1) % segments
        side = self.add(
            verts,
            np.stack([k, n, n + segments, k + segments], -1),
            color,
            surface,
            smooth=smooth,
            at=center,
        )
        cap = np.concatenate([ring * top, [(0, 0, 0)]]) + (0, 0, height_m)
        self.add(cap, np.stack([k, n, np.full(segments, segments)], -1), color, surface, at=center)
        return side

    def ball(self, center, radii, color, surface="plain", segments=12, rings=8) -> slice:
        """An ellipsoid around ``center``."""
        verts, faces = sphere(segments, rings)
        verts = verts * np.broadcast_to(np.asarray(radii, float), 3)
        return self.add(verts, faces, color, surface, smooth=True, at=center)


def linear_passthrough(color):
    """Hex strings to sRGB floats; arrays as they are (``add`` makes them linear)."""
    if isinstance(color, str):
        return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return color


def rgb(value) -> np.ndarray:
    """Hex strings and sRGB floats to an array of sRGB floats, to reckon with."""
    return np.array(linear_passthrough(value), float)


def sphere(segments: int, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere, poles on Z: verts [N,3], faces [F,4]."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    angle = np.arange(segments) / segments * 2 * np.pi
    p, a = np.meshgrid(polar, angle, indexing="ij")
    body = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], -1).reshape(-1, 3)
    verts = np.concatenate([[(0, 0, 1)], body, [(0, 0, -1)]])
    faces = []
    n = segments
    for s in range(n):
        faces.append((0, 1 + s, 1 + (s + 1) % n, -1))
    for r in range(rings - 2):
        for s in range(n):
            a0, b0 = 1 + r * n + s, 1 + r * n + (s + 1) % n
            faces.append((a0, a0 + n, b0 + n, b0))
    last = len(verts) - 1
    base = 1 + (rings - 2) * n
    for s in range(n):
        faces.append((base + s, last, base + (s + 1) % n, -1))
    return verts, np.array(faces)


def loft(centers, radii, *, segments=10, u=None, v=None, power=2.0, caps=True):
    """Rings of a tube: verts [n*segments (+2 cap middles), 3] and faces [F,4].

    ``u`` and ``v`` [n,3] or [3] span each ring; by default a frame carried along the curve.
    """
    centers = np.asarray(centers, float)
    radii = np.asarray(radii, float)
    n = len(centers)
    if radii.ndim == 1:
        radii = np.stack([radii, radii], -1)
    if u is None:
        u, v = _carried_frame(centers)
    u, v = np.broadcast_to(u, (n, 3)), np.broadcast_to(v, (n, 3))
    angle = np.arange(segments) / segments * 2 * np.pi
    c, s = np.cos(angle), np.sin(angle)
    scale = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    c, s = c * scale, s * scale
    ring = (
        centers[:, None]
        + u[:, None] * (radii[:, :1] * c)[..., None]
        + v[:, None] * (radii[:, 1:] * s)[..., None]
    )
    verts = ring.reshape(-1, 3)
    i, k = np.meshgrid(np.arange(n - 1), np.arange(segments), indexing="ij")
    a, b = i * segments + k, i * segments + (k + 1) % segments
    faces = np.stack([a, b, b + segments, a + segments], -1).reshape(-1, 4)
    if caps:
        k = np.arange(segments)
        nxt = (k + 1) % segments
        low, high = len(verts), len(verts) + 1
        verts = np.concatenate([verts, centers[:1], centers[-1:]])
        e = np.full(segments, -1)
        first = np.stack([nxt, k, np.full(segments, low), e], -1)
        top = (n - 1) * segments
        last = np.stack([top + k, top + nxt, np.full(segments, high), e], -1)
        faces = np.concatenate([faces, first, last])
    return verts, faces


def _carried_frame(centers):
    tangent = np.gradient(centers, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    start = np.array([1.0, 0, 0]) if abs(tangent[0, 0]) < 0.8 else np.array([0, 1.0, 0])
    us, vs = [], []
    for t in tangent:
        start = start - t * (start @ t)
        start /= np.linalg.norm(start) + 1e-12
        us.append(start)
        vs.append(np.cross(t, start))
    return np.array(us), np.array(vs)


def box_uvs(verts, corner) -> np.ndarray:
    """UVs in metres by each face's main axis: walls, floors and props share texture scale."""
    p = verts[corner]
    normal = np.abs(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]))
    axis = normal.argmax(1)
    uv = np.empty((*corner.shape, 2))
    uv[axis == 0] = p[axis == 0][..., [1, 2]]
    uv[axis == 1] = p[axis == 1][..., [0, 2]]
    uv[axis == 2] = p[axis == 2][..., [0, 1]]
    return uv
