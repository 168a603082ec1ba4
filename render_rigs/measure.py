# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frame costs, ours against the plain loop, on the same scene in one process.

``python -m render_rigs.measure OUT.json --cameras 36 --frames 2 --size 160x96 --samples 8``.
The plain loop: an object for each thing, one render call a camera, no persistent data, a PNG each,
then encode.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from render_rigs import film
from render_rigs.assemble import Scene, assemble
from render_rigs.blender import build, devices
from render_rigs.blender.cast import caster
from render_rigs.blender.stage import Stage
from render_rigs.spec import RenderSpec


def ours(spec: RenderSpec, scene: Scene, out: Path) -> dict:
    """CPU and wall seconds a frame of our way, without the scene's first call."""
    films = [
        film.Film(out / f"{c.name}.mp4", spec.width_px, spec.height_px, spec.fps)
        for c in scene.cameras
    ]
    with Stage(spec, scene) as stage:
        started = time.process_time()
        for view, one in zip(stage.frame(0), films, strict=True):
            one.add(view["rgb"])
        first = time.process_time() - started
        cpu, wall = time.process_time(), time.monotonic()
        for frame in range(1, spec.frames):
            for view, one in zip(stage.frame(frame), films, strict=True):
                one.add(view["rgb"])
        for one in films:
            one.close()
        count = (spec.frames - 1) * len(films)
        return {
            "cpu_s_per_frame": (time.process_time() - cpu) / count,
            "wall_s_per_frame": (time.monotonic() - wall) / count,
            "first_instant_cpu_s": first,
        }


def plain(spec: RenderSpec, scene: Scene, out: Path, count: int) -> dict:
    """The same frames by a plain loop over ``count`` cameras at one instant.

    The scene is as it would be built by hand, an object for each thing; the settings that are not
    asked for are Blender's own.
    """
    with Stage(spec, scene):
        settings = bpy.context.scene
        bpy.data.objects.remove(bpy.data.objects["place"])
        for number, mesh in enumerate(scene.place.mesh.apart()):
            build.add_mesh(f"thing{number}", mesh)
        settings.render.use_multiview = settings.render.use_persistent_data = False
        settings.world.cycles.sampling_method = "AUTOMATIC"
        settings.cycles.use_light_tree = True
        settings.cycles.denoising_prefilter = "ACCURATE"
        settings.cycles.denoising_quality = "HIGH"
        if hasattr(settings.render.image_settings, "media_type"):
            settings.render.image_settings.media_type = "IMAGE"
        settings.render.image_settings.file_format = "PNG"
        settings.frame_set(1)
        things = [o for o in bpy.data.objects if o.type == "CAMERA"][:count]
        cpu, wall = time.process_time(), time.monotonic()
        for index, thing in enumerate(things):
            settings.camera = thing
            settings.render.filepath = str(out / f"plain{index}.png")
            bpy.ops.render.render(write_still=True)
        for index in range(len(things)):
            one = film.Film(out / f"plain{index}.mp4", spec.width_px, spec.height_px, spec.fps)
            one.add(np.array(Image.open(out / f"plain{index}.png").convert("RGB")))
            one.close()
        return {
            "cpu_s_per_frame": (time.process_time() - cpu) / len(things),
            "wall_s_per_frame": (time.monotonic() - wall) / len(things),
        }


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="render_rigs.measure", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cameras", type=int, default=36)
    parser.add_argument("--plain-cameras", type=int, default=6)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--size", default="160x96")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--denoise", action="store_true")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    width, height = (int(v) for v in args.size.split("x"))
    spec = RenderSpec(
        seed=7,
        scenes=1,
        cameras=args.cameras,
        frames=args.frames,
        width_px=width,
        height_px=height,
        samples=args.samples,
        denoise=args.denoise,
        fast=args.fast,
        bounces=1 if args.fast else 4,
        device=args.device,
    )
    device = devices.use(args.device)
    scene = assemble(spec, 0, caster)
    with tempfile.TemporaryDirectory(prefix="syncam-measure-") as folder:
        figures = {
            "device": device,
            "size": args.size,
            "samples": args.samples,
            "denoise": args.denoise,
            "cameras": args.cameras,
            "caption": scene.caption,
            "faces": len(scene.place.mesh.faces),
            "plain_objects": int(scene.place.mesh.piece.max()) + 1,
            "ours": ours(spec, scene, Path(folder)),
        }
        figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures["plain_loop"] = plain(spec, scene, Path(folder), args.plain_cameras)
    figures["speedup"] = (
        figures["plain_loop"]["cpu_s_per_frame"] / figures["ours"]["cpu_s_per_frame"]
    )
    args.out.write_text(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
