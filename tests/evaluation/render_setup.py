# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in Blender's Python: a street seen by the cameras of the paper's set-ups, one picture each.

`python -m tests.evaluation.render_setup OUT.npz WIDTH HEIGHT SAMPLES NAME...` writes `NAME/frames`
uint8 VTHW3, `NAME/K` V33 and `NAME/c2w` V44 for every set-up.
"""

import sys
from dataclasses import replace

import numpy as np

from render_rigs.assemble import assemble
from render_rigs.blender.cast import caster
from render_rigs.blender.stage import Stage
from render_rigs.spec import RenderSpec
from syncam_engine.evaluation.setups import setup_rig


def main(out: str, width: str, height: str, samples: str, *names: str) -> None:
    spec = RenderSpec(
        seed=31,
        scenes=1,
        cameras=4,
        frames=1,
        width_px=int(width),
        height_px=int(height),
        samples=int(samples),
        bounces=2,
        subjects=(1, 1),
        places=("street",),
        radius_m=(4.0, 6.0),
    )
    scene = assemble(spec, 0, caster)
    arrays = {}
    for name in names:
        rig = setup_rig(
            name,
            width_px=spec.width_px,
            height_px=spec.height_px,
            center_m=tuple(float(x) for x in scene.center_m),
        )
        with Stage(spec, replace(scene, cameras=list(rig.cameras))) as stage:
            (views,) = stage.frames()
        arrays[f"{name}/frames"] = np.stack([view["rgb"] for view in views])[:, None]
        arrays[f"{name}/K"] = np.array([camera.K for camera in rig.cameras])
        arrays[f"{name}/c2w"] = np.array([camera.c2w_cv_m for camera in rig.cameras])
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
