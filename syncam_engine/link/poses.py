# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as plain nested tuples, row-major. No numpy: Unreal's Python has none.

World: right-handed, Z up, metres. Camera (OpenCV): x right, y down, z forward. A camera-to-world
matrix `c2w_cv_m` is 4x4; its columns are the camera's right, down and forward axes in the world and
its centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector3 = tuple[float, float, float]
Matrix3 = tuple[tuple[float, float, float], ...]
Matrix4 = tuple[tuple[float, float, float, float], ...]

# Two axes at angle t give 2 sin(t)^2: below this they are within 3 degrees of parallel.
PARALLEL_DETERMINANT = 0.0055

IDENTITY4: Matrix4 = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 0.0, 0.0, 1.0),
)


def matmul4(a: Matrix4, b: Matrix4) -> Matrix4:
    """Return the 4x4 product `a @ b`."""
    columns = tuple(zip(*b, strict=True))
    return tuple(
        tuple(sum(x * y for x, y in zip(row, column, strict=True)) for column in columns)
        for row in a
    )


def rotation_of(c2w: Matrix4) -> Matrix3:
    """Return the upper-left 3x3 of a 4x4."""
    return tuple(row[:3] for row in c2w[:3])


def centre_of(c2w: Matrix4) -> Vector3:
    """Return the translation column: the camera's centre in world metres."""
    return (c2w[0][3], c2w[1][3], c2w[2][3])


def forward_of(c2w: Matrix4) -> Vector3:
    """Return the unit viewing direction (the third column, OpenCV z)."""
    return (c2w[0][2], c2w[1][2], c2w[2][2])


def rigid(rotation: Sequence[Sequence[float]], translation: Sequence[float]) -> Matrix4:
    """Return the 4x4 of a 3x3 rotation and a translation."""
    rows = tuple((*map(float, rotation[i][:3]), float(translation[i])) for i in range(3))
    return (*rows, IDENTITY4[3])


def invert_rigid(c2w: Matrix4) -> Matrix4:
    """Return the inverse of a rotation-and-translation matrix (world-to-camera of a camera)."""
    transposed = tuple(zip(*rotation_of(c2w), strict=True))
    centre = centre_of(c2w)
    return rigid(transposed, [-dot(row, centre) for row in transposed])


def transform_point(matrix: Matrix4, point: Sequence[float]) -> Vector3:
    """Return `matrix @ (x, y, z, 1)` without the last component."""
    return tuple(dot(row[:3], point) + row[3] for row in matrix[:3])


def determinant3(m: Sequence[Sequence[float]]) -> float:
    """Return the determinant of a 3x3."""
    (a, b, c), (d, e, f), (g, h, i) = (row[:3] for row in m[:3])
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the inner product of two vectors of one length."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def cross(a: Sequence[float], b: Sequence[float]) -> Vector3:
    """Return the vector product of two 3-vectors."""
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def subtract(a: Sequence[float], b: Sequence[float]) -> Vector3:
    """Return `a - b`."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def normalized(a: Sequence[float]) -> Vector3:
    """Return `a` at length 1. Raises ValueError for a vector of no length."""
    length = math.sqrt(dot(a, a))
    if length < 1e-12:
        raise ValueError(f"a vector of length {length} has no direction")
    return tuple(x / length for x in a)


def look_at_c2w_cv_m(
    eye_m: Sequence[float], target_m: Sequence[float], up: Sequence[float] = (0.0, 0.0, 1.0)
) -> Matrix4:
    """Return the camera-to-world matrix of a camera at `eye_m` that looks at `target_m`.

    `up` is the world direction that points up in the picture. Where the view is parallel to it
    (straight up or down) world Y takes its place. Raises ValueError when eye and target coincide.
    """
    forward = normalized(subtract(target_m, eye_m))
    side = cross(forward, up)
    if dot(side, side) < 1e-12:
        side = cross(forward, (0.0, 1.0, 0.0))
    right = normalized(side)
    down = cross(forward, right)
    return rigid(tuple(zip(right, down, forward, strict=True)), eye_m)


def relative_c2w(anchor_c2w: Matrix4, c2w: Matrix4) -> Matrix4:
    """Return the camera's pose in the anchor camera's frame: `inv(anchor) @ c2w`."""
    return matmul4(invert_rigid(anchor_c2w), c2w)


def rotation_angle_deg(rotation: Sequence[Sequence[float]]) -> float:
    """Return the angle of a 3x3 rotation, 0 to 180 degrees."""
    trace = rotation[0][0] + rotation[1][1] + rotation[2][2]
    return math.degrees(math.acos(max(-1.0, min(1.0, (trace - 1.0) / 2.0))))


def azimuth_deg(c2w: Matrix4) -> float:
    """Return the direction, seen from above, from the picture's subject back to the camera.

    0 is world +X, 90 is +Y; in [0, 360). It is the camera's own azimuth on a hemisphere that it
    looks into the centre of.
    """
    x, y, _ = forward_of(c2w)
    return math.degrees(math.atan2(-y, -x)) % 360.0


def elevation_deg(c2w: Matrix4) -> float:
    """Return how far the camera looks down, -90 to 90; positive is above its target."""
    return math.degrees(math.asin(max(-1.0, min(1.0, -forward_of(c2w)[2]))))


def roll_deg(c2w: Matrix4) -> float:
    """Return the turn about the viewing axis, -180 to 180; 0 when the picture's x axis is level."""
    right, down = ((c2w[0][i], c2w[1][i], c2w[2][i]) for i in (0, 1))
    return math.degrees(math.atan2(right[2], -down[2]))


def wrapped_difference_deg(a: float, b: float) -> float:
    """Return |a - b| on the circle, 0 to 180: 359 and 1 are 2 degrees apart."""
    return abs((a - b + 180.0) % 360.0 - 180.0)


def nearest_point_to_axes_m(poses: Sequence[Matrix4]) -> Vector3 | None:
    """Return the point nearest to all optical axes (least squares), the centre that a rig looks at.

    None when it is not defined: fewer than two cameras, axes within about 3 degrees of parallel, or
    a point that lies behind one of the cameras.
    """
    if len(poses) < 2:
        return None
    # Sum over cameras of the projector onto the plane normal to the axis: A p = b.
    a = [[0.0] * 3 for _ in range(3)]
    b = [0.0] * 3
    for c2w in poses:
        axis, centre = forward_of(c2w), centre_of(c2w)
        for i in range(3):
            row = [(1.0 if i == j else 0.0) - axis[i] * axis[j] for j in range(3)]
            b[i] += dot(row, centre)
            for j in range(3):
                a[i][j] += row[j]
    det = determinant3(a)
    if det < PARALLEL_DETERMINANT:
        return None
    solution = []
    for column in range(3):
        replaced = [[b[i] if j == column else a[i][j] for j in range(3)] for i in range(3)]
        solution.append(determinant3(replaced) / det)
    point = tuple(solution)
    if any(dot(subtract(point, centre_of(m)), forward_of(m)) <= 0.0 for m in poses):
        return None
    return point
