# SPDX-License-Identifier: GPL-3.0-or-later
"""From an assembled scene to pictures: build it in Blender once, then render instant by instant."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np

from render_rigs.assemble import Scene
from render_rigs.blender import albedo, build, library, render
from render_rigs.spec import RenderSpec

FAST_TEXTURE_PX = 64


class Stage:
    """A scene in Blender. Use as a context manager: its scratch folder goes with it."""

    def __init__(self, spec: RenderSpec, scene: Scene) -> None:
        self.spec, self.scene = spec, scene
        self.scratch = Path(tempfile.mkdtemp(prefix="syncam-render-", dir=build.scratch_folder()))
        self.exposure: float | None = None
        build.new_scene()
        texture_px = FAST_TEXTURE_PX if spec.fast else None
        if scene.place.native:
            library.add_location(scene.place.native)
        else:
            build.add_mesh("place", scene.place.mesh, texture_px)
        for index, actor in enumerate(scene.actors, 1):
            things = (
                library.add_native(actor, spec.fps)
                if actor.native
                else [build.add_actor(actor, self.scratch, texture_px)]
            )
            for thing in things:
                thing.pass_index = index
        if "albedo" in spec.passes:
            albedo.complete(bpy.context.scene.objects)
        build.add_light(scene.place.light)
        for number, lamp in enumerate(scene.place.lamps):
            build.add_lamp(lamp, number)
        build.add_cameras(scene.cameras)
        render.configure(
            render.RenderSettings(
                engine=spec.engine,
                samples=spec.samples,
                denoise=spec.denoise,
                passes=spec.passes,
                bounces=spec.bounces,
                threads=spec.threads,
                seed=scene.number % 2**31,
                device=spec.device,
            )
        )

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def frame(self, frame: int) -> list[dict[str, np.ndarray]]:
        """One dictionary of passes for each camera; "rgb" is sRGB uint8 [H,W,3].

        The exposure is the scene's: made from frame 0 and kept for all cameras and frames.
        """
        views = render.render_frame(frame, self.scratch)
        names = [f"c{i:02d}" for i in range(1, len(self.scene.cameras) + 1)]
        if self.exposure is None:
            first = views if frame == 0 else render.render_frame(0, self.scratch)
            self.exposure = render.auto_exposure(
                [first[n]["Combined"] for n in names], self.scene.place.light.key
            )
        return [
            render.passes_of(views[n], self.exposure, self.spec.passes, camera.far_m)
            for n, camera in zip(names, self.scene.cameras, strict=True)
        ]

    def frames(self) -> Iterator[list[dict[str, np.ndarray]]]:
        for frame in range(self.spec.frames):
            yield self.frame(frame)
