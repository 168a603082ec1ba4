# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process: renders the scenes it is given and says so in JSON lines on stdout.

``python -m render_rigs.worker JOB.json --scenes 3`` or, for packed sets, ``--shards 0 1``;
``--check`` only says whether the job can be done and on which device. Lines that start with "@"
are for the parent; all else is Blender's own.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from render_rigs import packed, scene_files, syncamvideo
from render_rigs.assemble import Scene, assemble
from render_rigs.assets import AssetError
from render_rigs.blender import devices, passes
from render_rigs.blender.cast import caster
from render_rigs.blender.stage import Stage
from render_rigs.cameras import NoRoomForCameras
from render_rigs.own import Library
from render_rigs.spec import RenderSpec


def say(**line) -> None:
    print("@" + json.dumps(line), flush=True)


def render_one(spec: RenderSpec, number: int, own: Library) -> None:
    """Render one scene into its folder, unless it is there."""
    folder = syncamvideo.scene_folder(Path(spec.out), number)
    if (folder / "scene.json").exists():
        say(done=number, cameras=0)
        return
    scene = assemble(spec, number, caster, own)
    say(scene=number, caption=scene.caption, rejected=dict(scene.rejected))
    scene_files.render_scene(
        spec,
        scene,
        folder,
        lambda frame: say(scene=number, frame=frame + 1, cpu_s=round(time.process_time(), 2)),
    )
    say(done=number, cameras=len(scene.cameras), cpu_s=round(time.process_time(), 2))


def render_packed(spec: RenderSpec, shard: int, own: Library) -> None:
    """Render one shard of a packed set, unless it is there."""
    path = packed.shard_path(Path(spec.out), shard)
    if path.exists():
        say(done=shard, cameras=0)
        return
    scenes: list[Scene] = []
    taken: dict[str, list[np.ndarray]] = {name: [] for name in spec.passes}
    for number in packed.shard_scenes(spec, shard):
        scene = assemble(spec, number, caster, own)
        with Stage(spec, scene) as stage:
            clip = list(stage.frames())
        scenes.append(scene)
        for name in spec.passes:
            moments = [np.stack([view[name] for view in views]) for views in clip]
            taken[name].append(np.stack(moments, axis=1))
        say(
            scene=number,
            frame=spec.frames,
            caption=scene.caption,
            rejected=dict(scene.rejected),
            cpu_s=round(time.process_time(), 2),
        )
    packed.write_shard(path, spec, scenes, {name: np.stack(one) for name, one in taken.items()})
    say(done=shard, cameras=spec.cameras, cpu_s=round(time.process_time(), 2))


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="render_rigs.worker", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--scenes", type=int, nargs="*", default=[])
    parser.add_argument("--shards", type=int, nargs="*", default=[])
    args = parser.parse_args(argv)
    try:
        spec = RenderSpec.read(args.job)
        passes.check_passes(spec.engine, spec.passes)
        device = devices.use(spec.device)
        say(device=device)
        if args.check:
            return 0
        own = Library(spec, lambda sentence: say(skipped=sentence))
        for shard in args.shards:
            render_packed(spec, shard, own)
        for number in args.scenes:
            render_one(spec, number, own)
    except (ValueError, NoRoomForCameras, AssetError, devices.NoSuchDevice) as error:
        say(error=str(error), kind=type(error).__name__)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
