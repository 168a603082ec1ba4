# SPDX-License-Identifier: GPL-3.0-or-later
"""Ray casts against a place, for cameras and trajectories."""

import bpy  # noqa: F401  (mathutils comes with it)
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from render_rigs.mesh import MeshData


def caster(mesh: MeshData):
    """Return cast(origin, direction, reach_m) -> distance or None."""
    polygons = [tuple(int(i) for i in face if i >= 0) for face in mesh.faces]
    tree = BVHTree.FromPolygons([tuple(v) for v in mesh.verts_m.tolist()], polygons)

    def cast(origin, direction, reach_m: float) -> float | None:
        hit = tree.ray_cast(
            Vector(np.asarray(origin).tolist()), Vector(np.asarray(direction).tolist()), reach_m
        )
        return hit[3]

    return cast
