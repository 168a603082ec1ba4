# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera in the project's one convention.

`K` is in pixels with the origin at the top-left corner of the image (the centre of the first pixel
is (0.5, 0.5)). `c2w_cv_m` is camera-to-world, OpenCV axes, in a right-handed world with Z up, in
metres. Both may be one matrix or one a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syncam_engine.link import poses
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix3, Matrix4

# A rotation read from a host's float32 matrices is orthonormal to about 1e-6.
ROTATION_TOLERANCE = 1e-4


def intrinsics(fx_px: float, fy_px: float, cx_px: float, cy_px: float) -> Matrix3:
    """Return the 3x3 of a camera without skew."""
    return ((fx_px, 0.0, cx_px), (0.0, fy_px, cy_px), (0.0, 0.0, 1.0))


def intrinsics_from_lens(
    focal_length_mm: float, sensor_width_mm: float, width_px: int, height_px: int
) -> Matrix3:
    """Return `K` of square pixels with the sensor's width across the picture's width."""
    focal_px = focal_length_mm / sensor_width_mm * width_px
    return intrinsics(focal_px, focal_px, width_px / 2.0, height_px / 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera of a rig; immutable, checked when made.

    Raises SynCamError ("camera.*") that names the camera, the value and what would be right.
    """

    name: str
    """Unique in its rig; any text."""
    width_px: int
    height_px: int
    K: Matrix3 | tuple[Matrix3, ...]
    """3x3 in pixels, or one for each frame (a zoom)."""
    c2w_cv_m: Matrix4 | tuple[Matrix4, ...]
    """4x4, or one for each frame (a move)."""
    near_m: float = 0.1
    far_m: float = 1000.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise SynCamError(
                "camera.name",
                f"A camera's name is {self.name!r}; it must be a text.",
                value=self.name,
            )
        for field in ("width_px", "height_px"):
            value = getattr(self, field)
            if not isinstance(value, int) or not 1 <= value <= 16384:
                raise self._error(
                    "size", f"has {field} {value!r}", value, "a whole number from 1 to 16384"
                )
        if not 0.0 < self.near_m < self.far_m < math.inf:
            raise self._error(
                "clip",
                f"has near {self.near_m} m and far {self.far_m} m",
                [self.near_m, self.far_m],
                "0 < near < far",
            )
        object.__setattr__(self, "K", _stack(self, "K", self.K, 3))
        object.__setattr__(self, "c2w_cv_m", _stack(self, "c2w_cv_m", self.c2w_cv_m, 4))
        counts = {len(m) for m in (self.K, self.c2w_cv_m) if _is_stack(m)}
        if len(counts) > 1:
            raise self._error(
                "frames",
                f"has {len(self.K)} intrinsics but {len(self.c2w_cv_m)} poses",
                sorted(counts),
                "one of each a frame, or a single one",
            )
        for k in range(len(self.K) if _is_stack(self.K) else 1):
            self._check_intrinsics(self.K_at(k), k)
        for k in range(len(self.c2w_cv_m) if _is_stack(self.c2w_cv_m) else 1):
            self._check_pose(self.c2w_cv_m_at(k), k)

    def _error(
        self, code: str, said: str, value: Any, right: str, fix: str | None = None
    ) -> SynCamError:
        sentence = f"Camera {self.name!r} {said}; it must be {right}."
        return SynCamError(f"camera.{code}", sentence, value=value, nearest=None, fix=fix)

    def _check_intrinsics(self, K: Matrix3, frame: int) -> None:
        fx, fy = K[0][0], K[1][1]
        if not (fx > 0.0 and fy > 0.0) or K[2] != (0.0, 0.0, 1.0) or K[1][0] != 0.0:
            raise self._error(
                "intrinsics",
                f"has focal lengths {fx:g} and {fy:g} px and last row {K[2]} at frame {frame}",
                [list(row) for row in K],
                "[[fx, s, cx], [0, fy, cy], [0, 0, 1]] with positive fx and fy",
            )

    def _check_pose(self, c2w: Matrix4, frame: int) -> None:
        rotation = poses.rotation_of(c2w)
        worst = max(
            abs(poses.dot(rotation[i], rotation[j]) - (i == j)) for i in range(3) for j in range(3)
        )
        if c2w[3] != poses.IDENTITY4[3] or worst > ROTATION_TOLERANCE:
            raise self._error(
                "pose",
                f"has a pose at frame {frame} that is no rotation and translation "
                f"(its axes are off by {worst:.3g})",
                [list(row) for row in c2w],
                "orthonormal axes without scale",
                "Apply the camera's scale",
            )
        if poses.determinant3(rotation) < 0.0:
            raise self._error(
                "pose",
                f"has a mirrored pose at frame {frame} (determinant -1)",
                [list(row) for row in c2w],
                "right-handed",
                "Remove the negative scale of the camera or its parent",
            )

    @property
    def is_moving(self) -> bool:
        """Whether the pose changes over the frames by more than rounding."""
        if not _is_stack(self.c2w_cv_m):
            return False
        first = self.c2w_cv_m[0]
        return any(
            abs(a - b) > 1e-6
            for pose in self.c2w_cv_m[1:]
            for row_a, row_b in zip(pose, first, strict=True)
            for a, b in zip(row_a, row_b, strict=True)
        )

    @property
    def frame_count(self) -> int:
        """The number of frames it is given for; 1 for a static camera."""
        return max(len(m) if _is_stack(m) else 1 for m in (self.K, self.c2w_cv_m))

    def K_at(self, frame: int) -> Matrix3:
        """Return the 3x3 intrinsics at a frame; a static lens answers every frame."""
        return self.K[frame] if _is_stack(self.K) else self.K

    def c2w_cv_m_at(self, frame: int) -> Matrix4:
        """Return the 4x4 pose at a frame; a static camera answers every frame."""
        return self.c2w_cv_m[frame] if _is_stack(self.c2w_cv_m) else self.c2w_cv_m

    def fov_x_deg(self, frame: int = 0) -> float:
        """Return the horizontal field of view in degrees, the principal point where it is."""
        K = self.K_at(frame)
        left, right = K[0][2], self.width_px - K[0][2]
        return math.degrees(math.atan(left / K[0][0]) + math.atan(right / K[0][0]))

    def project(self, point_m: Sequence[float], frame: int = 0) -> tuple[float, float, float]:
        """Return (u, v) in pixels and the plane depth in metres of a world point.

        Depth is along the optical axis; at depth 0 or less the point is behind and (u, v) is NaN.
        """
        x, y, depth = poses.transform_point(poses.invert_rigid(self.c2w_cv_m_at(frame)), point_m)
        if depth <= 0.0:
            return (math.nan, math.nan, depth)
        K = self.K_at(frame)
        u = (K[0][0] * x + K[0][1] * y) / depth + K[0][2]
        return (u, K[1][1] * y / depth + K[1][2], depth)


def _is_stack(matrix: Any) -> bool:
    return isinstance(matrix[0][0], tuple)


def _stack(camera: Camera, field: str, matrix: Any, size: int) -> Any:
    """Return `matrix` as nested tuples of finite floats, size x size or T x size x size."""
    try:
        if isinstance(matrix[0][0], (int, float)):
            return _square(matrix, size)
        if len(matrix) == 0:
            raise ValueError
        return tuple(_square(m, size) for m in matrix)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise camera._error(
            "matrix",
            f"has a {field} that is not {size}x{size} finite numbers",
            repr(matrix)[:200],
            f"{size}x{size} or T x {size}x{size} finite numbers",
        ) from None


def _square(matrix: Any, size: int) -> Any:
    rows = tuple(tuple(float(x) for x in row) for row in matrix)
    if len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError("shape")
    if not all(math.isfinite(x) for row in rows for x in row):
        raise ValueError("not finite")
    return rows
