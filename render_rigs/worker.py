# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process: renders the scenes it is given and says so in JSON lines on stdout.

``python -m render_rigs.worker JOB.json --scenes 3`` or, for packed sets, ``--shards 0 1``.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from render_rigs import packed
from render_rigs.assemble import assemble
from render_rigs.blender.cast import caster
from render_rigs.blender.stage import Stage
from render_rigs.spec import RenderSpec


def say(**line) -> None:
    print("@" + json.dumps(line), flush=True)


def render_packed(spec: RenderSpec, shard: int, per_shard: int, out: Path) -> None:
    """Render one shard of a packed set, unless it is there."""
    path = packed.shard_path(out, shard)
    if path.exists():
        return
    scenes, clips = [], []
    for number in range(shard * per_shard, min((shard + 1) * per_shard, spec.scenes)):
        started = time.process_time()
        scene = assemble(spec, number, caster)
        with Stage(spec, scene) as stage:
            clip = np.stack([np.stack([view["rgb"] for view in views]) for views in stage.frames()],
                            axis=1)
        scenes.append(scene)
        clips.append(clip)
        say(scene=number, frames=spec.frames * spec.cameras,
            cpu_s=round(time.process_time() - started, 3), caption=scene.caption,
            rejected=dict(scene.rejected))
    packed.write_shard(path, spec, scenes, np.stack(clips))
    say(shard=shard, file=path.name)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="render_rigs.worker", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--scenes", type=int, nargs="*", default=[])
    parser.add_argument("--shards", type=int, nargs="*", default=[])
    parser.add_argument("--per-shard", type=int, default=20)
    args = parser.parse_args(argv)
    spec = RenderSpec.read(args.job)
    for shard in args.shards:
        render_packed(spec, shard, args.per_shard, Path(spec.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
