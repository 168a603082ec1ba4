# SPDX-License-Identifier: Apache-2.0
"""Vectors, rotators, quaternions, transforms by Unreal's rules (left-handed, Z up, degrees).

Axes of a rotator and the quaternion of a rotator are the engine's published formulas; a transform
is scale, then rotation, then translation, and `a * b` applies a first.
"""

from __future__ import annotations

import math
from typing import Any

from .generator import BEHAVIOURS as B


def axes(rotator: Any) -> tuple[tuple, tuple, tuple]:
    """Return the forward, right and up axes of a rotator."""
    r, p, y = (math.radians(a) for a in (rotator.roll, rotator.pitch, rotator.yaw))
    sr, cr, sp, cp, sy, cy = (
        math.sin(r),
        math.cos(r),
        math.sin(p),
        math.cos(p),
        math.sin(y),
        math.cos(y),
    )
    forward = (cp * cy, cp * sy, sp)
    right = (sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp)
    up = (-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp)
    return forward, right, up


def quaternion_of(gen: Any, rotator: Any) -> Any:
    r, p, y = (math.radians(a) / 2 for a in (rotator.roll, rotator.pitch, rotator.yaw))
    sr, cr, sp, cp, sy, cy = (
        math.sin(r),
        math.cos(r),
        math.sin(p),
        math.cos(p),
        math.sin(y),
        math.cos(y),
    )
    return gen.type_named("Quat")(
        x=cr * sp * sy - sr * cp * cy,
        y=-cr * sp * cy - sr * cp * sy,
        z=cr * cp * sy - sr * sp * cy,
        w=cr * cp * cy + sr * sp * sy,
    )


def rotate(quat: Any, vector: Any) -> Any:
    """Return the vector turned by a unit quaternion."""
    u = (quat.x, quat.y, quat.z)
    v = (vector.x, vector.y, vector.z)
    t = tuple(2 * c for c in _cross(u, v))
    w = _cross(u, t)
    return type(vector)(*(v[i] + quat.w * t[i] + w[i] for i in range(3)))


def multiply(a: Any, b: Any) -> Any:
    """Return the quaternion product a b (b turns first)."""
    return type(a)(
        x=a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
        y=a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x,
        z=a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w,
        w=a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z,
    )


def compose(first: Any, then: Any) -> Any:
    """Return the transform that applies `first`, then `then`."""
    made = type(first)()
    made.rotation = multiply(then.rotation, first.rotation)
    made.scale3d = _times(first.scale3d, then.scale3d)
    moved = rotate(then.rotation, _times(first.translation, then.scale3d))
    made.translation = moved + then.translation
    return made


def relative(world: Any, parent: Any) -> Any:
    """Return the transform under `parent` whose world transform is `world` (uniform scales)."""
    made = type(world)()
    back = type(world.rotation)(
        x=-parent.rotation.x, y=-parent.rotation.y, z=-parent.rotation.z, w=parent.rotation.w
    )
    made.rotation = multiply(back, world.rotation)
    made.scale3d = type(world.scale3d)(*(a / b for a, b in _pairs(world.scale3d, parent.scale3d)))
    turned = rotate(back, world.translation - parent.translation)
    made.translation = type(turned)(*(a / b for a, b in _pairs(turned, parent.scale3d)))
    return made


def _pairs(a: Any, b: Any) -> tuple:
    return ((a.x, b.x), (a.y, b.y), (a.z, b.z))


def _times(a: Any, b: Any) -> Any:
    return type(a)(*(x * y for x, y in _pairs(a, b)))


def _cross(a: tuple, b: tuple) -> tuple:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _vector(self: Any, values: Any) -> Any:
    return type(self)._gen.type_named("Vector")(*values)


@B.method("Vector", "__add__")
def _add(self, other):
    return type(self)(*(a + b for a, b in _pairs(self, other)))


@B.method("Vector", "__sub__")
def _sub(self, other):
    return type(self)(*(a - b for a, b in _pairs(self, other)))


@B.method("Vector", "__mul__")
def _mul(self, other):
    return _times(self, other)


@B.method("Vector", "length")
def _length(self):
    return math.sqrt(self.x**2 + self.y**2 + self.z**2)


@B.method("Rotator", "get_forward_vector")
def _forward(self):
    return _vector(self, axes(self)[0])


@B.method("Rotator", "get_right_vector")
def _right(self):
    return _vector(self, axes(self)[1])


@B.method("Rotator", "get_up_vector")
def _up(self):
    return _vector(self, axes(self)[2])


@B.method("Rotator", "quaternion")
def _quaternion(self):
    return quaternion_of(type(self)._gen, self)


@B.initialiser("Quat")
def _quat_init(self, x, y, z, w):
    self._values.update(x=x, y=y, z=z, w=w)


@B.method("Quat", "rotate_vector")
def _rotate_vector(self, v):
    return rotate(self, v)


@B.method("Quat", "get_axis_x")
def _axis_x(self):
    return rotate(self, _vector(self, (1.0, 0.0, 0.0)))


@B.method("Quat", "get_axis_y")
def _axis_y(self):
    return rotate(self, _vector(self, (0.0, 1.0, 0.0)))


@B.method("Quat", "get_axis_z")
def _axis_z(self):
    return rotate(self, _vector(self, (0.0, 0.0, 1.0)))


@B.method("Quat", "rotator")
def _rotator(self):
    gen = type(self)._gen
    forward = rotate(self, _vector(self, (1.0, 0.0, 0.0)))
    right = rotate(self, _vector(self, (0.0, 1.0, 0.0)))
    up = rotate(self, _vector(self, (0.0, 0.0, 1.0)))
    pitch = math.atan2(forward.z, math.hypot(forward.x, forward.y))
    yaw = math.atan2(forward.y, forward.x)
    roll = math.atan2(-right.z, up.z)
    return gen.type_named("Rotator")(
        roll=math.degrees(roll), pitch=math.degrees(pitch), yaw=math.degrees(yaw)
    )


@B.initialiser("Transform")
def _transform_init(self, location, rotation, scale):
    gen = type(self)._gen
    quat = quaternion_of(gen, rotation)
    self._values.update(translation=location, rotation=quat, scale3d=scale)


@B.method("Transform", "transform_location")
def _transform_location(self, location):
    return rotate(self.rotation, _times(location, self.scale3d)) + self.translation


@B.method("Transform", "transform_direction")
def _transform_direction(self, direction):
    return rotate(self.rotation, direction)


@B.method("Transform", "multiply")
def _transform_multiply(self, b):
    return compose(self, b)


@B.method("Transform", "__mul__")
def _transform_mul(self, other):
    return compose(self, other)
