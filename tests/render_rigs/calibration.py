# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in Blender's Python: a scene of known points, rendered by the same code as every scene.

Dark floor, nine white balls at known places (the static points) and a red ball that jumps to a
known, different place each frame (the subject). Writes the scene's folder and ``points.npz``.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from render_rigs import moves, scene_files
from render_rigs.assemble import Scene
from render_rigs.mesh import MeshBuilder
from render_rigs.scene import Actor, Light, Place
from render_rigs.spec import RenderSpec
from syncam_engine.link.camera import Camera, intrinsics
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m

BALLS = np.array(
    [
        (-1.1, -0.6, 0.2),
        (0.2, -0.9, 0.5),
        (1.0, -0.4, 0.3),
        (-0.8, 0.3, 0.9),
        (0.1, 0.2, 1.3),
        (0.9, 0.4, 0.8),
        (-0.5, 1.0, 0.4),
        (0.5, 1.1, 1.1),
        (-1.2, 0.9, 1.4),
    ]
)
RADIUS_M = 0.07
FRAMES = 5


def subject_path() -> np.ndarray:
    """[T+2,3] centres of the red ball, one before and one after the clip: smooth but uneven."""
    t = np.arange(-1, FRAMES + 1)
    return np.stack([0.17 * t - 0.3, 0.05 * t**2 - 0.4, 1.7 - 0.11 * t], -1)


def cameras() -> list[Camera]:
    """Odd lenses, off-centre principal points, one moving camera."""
    rng = random.Random(5)
    made = []
    for i, (r, az, el) in enumerate(((3.6, 20, 12), (4.1, 145, 31), (5.2, 260, 3)), 1):
        K = intrinsics(151.0 + 9 * i, 151.0 + 9 * i, 88.0 + 4 * i, 48.0 - 3 * i)
        made.append(
            Camera(
                name=f"cam{i:02d}",
                width_px=176,
                height_px=96,
                K=K,
                c2w_cv_m=hemisphere_pose_c2w_cv_m((0.0, 0.1, 0.9), r, az, el),
            )
        )
    made[2] = moves.moved(rng, made[2], "orbit", FRAMES, 5, (0.0, 0.1, 0.9))
    return made


def scene() -> Scene:
    place = MeshBuilder()
    place.plane((0, 0, -0.4), (40, 40), "#0c0c0c", "plain")
    for ball in BALLS:
        place.ball(ball, RADIUS_M, "#ffffff", "plain", segments=20, rings=14)
    moving = MeshBuilder()
    moving.ball((0, 0, 0), RADIUS_M * 1.4, "#ff0000", "plain", segments=20, rings=14)
    mesh, path = moving.build(), subject_path()
    actor = Actor(
        "subject1",
        "ball",
        "fly",
        mesh,
        (mesh.verts_m[None] + path[:, None]).astype(np.float32),
        path[1:-1],
        np.zeros(FRAMES),
        0.2,
        0.1,
        "a red ball",
        "arc",
        {"details": "a red ball", "verb": "flies"},
    )
    light = Light("at noon", "forest", 1.0, 0, 60, 30, 0.0, sky_color=(0.0, 0.0, 0.0))
    return Scene(
        1,
        0,
        Place("plaza", "a floor", "over", place.build(), light),
        [actor],
        cameras(),
        np.zeros(3),
        "a red ball flies over a floor",
        Counter(),
        0,
    )


def main() -> None:
    out = Path(sys.argv[1])
    spec = RenderSpec(
        width_px=176,
        height_px=96,
        cameras=3,
        frames=FRAMES,
        fps=5,
        samples=24,
        denoise=False,
        bounces=1,
        passes=("rgb", "depth", "normal", "mask", "flow", "albedo"),
        preview=True,
        out=str(out),
    )
    scene_files.render_scene(spec, scene(), out / "scene1")
    np.savez(out / "points.npz", balls=BALLS, radius=RADIUS_M, path=subject_path())


if __name__ == "__main__":
    main()
