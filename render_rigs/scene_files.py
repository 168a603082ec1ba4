# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders one scene into its folder. The folder appears whole, by one rename, or not at all."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from render_rigs import film, preview, syncamvideo
from render_rigs.assemble import Scene
from render_rigs.blender.stage import Stage
from render_rigs.spec import RenderSpec
from syncam_engine import __version__

FORMAT = "syncam-scene"
VERSION = 1


def render_scene(
    spec: RenderSpec,
    scene: Scene,
    folder: Path,
    on_frame: Callable[[int], None] = lambda frame: None,
) -> None:
    """Render every frame of every camera and write the files of ``folder``.

    Work is done in a hidden folder beside it and renamed at the end: a folder that exists is
    complete, whatever stopped the run.
    """
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "videos").mkdir(parents=True)
    (partial / "cameras").mkdir()
    names = [camera.name for camera in scene.cameras]
    size = (spec.frames, spec.height_px, spec.width_px)
    films = [
        film.Film(partial / "videos" / f"{name}.mp4", spec.width_px, spec.height_px, spec.fps)
        for name in names
    ]
    arrays = {
        (name, p): film.open_array(partial / p / f"{name}.npy", p, *size)
        for name in names
        for p in spec.passes
        if p != "rgb"
    }
    moments = (
        sorted({0, spec.frames // 2})
        if len(names) > 12
        else sorted({0, spec.frames // 3, 2 * spec.frames // 3})
    )
    kept: list[list[preview.View]] = [[] for _ in names]
    try:
        with Stage(spec, scene) as stage:
            for frame, views in enumerate(stage.frames()):
                for index, (name, view) in enumerate(zip(names, views, strict=True)):
                    films[index].add(view["rgb"])
                    for p in spec.passes:
                        if p != "rgb":
                            arrays[name, p][frame] = view[p]
                    if frame in moments:
                        kept[index].append({p: view[p] for p in spec.passes})
                on_frame(frame)
            exposure = stage.exposure
    finally:
        for one in films:
            one.close()
        for array in arrays.values():
            array.flush()
    syncamvideo.write_json(
        partial / "cameras" / "camera_extrinsics.json",
        syncamvideo.extrinsics(scene.cameras, spec.frames),
    )
    syncamvideo.write_json(
        partial / "cameras" / "rotations.json", syncamvideo.rotations(scene.cameras)
    )
    if spec.preview:
        preview.contact_sheet(partial / "sheet.jpg", scene, kept)
        preview.rig_view(partial / "rig.png", scene)
    description = describe(spec, scene, exposure)
    description["files"] = {
        str(p.relative_to(partial)): digest(p) for p in sorted(partial.rglob("*")) if p.is_file()
    }
    syncamvideo.write_json(partial / "scene.json", description, indent=1)
    try:
        os.replace(partial, folder)
    except OSError:  # on a farm, another machine may have been given the same scene and been first
        if not (folder / "scene.json").exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def describe(spec: RenderSpec, scene: Scene, exposure: float | None) -> dict:
    """All that is known of a scene, as plain data. Matrices are row-major; metres, Z up, OpenCV."""
    light = scene.place.light
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": scene.seed,
        "scene": scene.number + 1,
        "attempt": scene.attempt,
        "caption": scene.caption,
        "place": {
            "kind": scene.place.kind,
            "words": scene.place.words,
            "light": light.words,
            "hdri": light.hdri,
            "indoor": scene.place.indoor,
            "sun_elevation_deg": light.sun_elevation_deg,
            "sun_azimuth_deg": light.sun_azimuth_deg,
        },
        "subjects": [
            {
                "name": a.name,
                "kind": a.kind,
                "caption": a.caption,
                "details": a.info["details"],
                "action": a.action,
                "trajectory": a.trajectory,
                "height_m": round(a.height_m, 4),
                "root_m": np.round(a.root_m, 5).tolist(),
                "heading_rad": np.round(a.heading_rad, 5).tolist(),
                "mask": i,
            }
            for i, a in enumerate(scene.actors, 1)
        ],
        "center_m": [round(float(v), 6) for v in scene.center_m],
        "frames": spec.frames,
        "fps": spec.fps,
        "width_px": spec.width_px,
        "height_px": spec.height_px,
        "cameras": [
            {
                "name": c.name,
                "K": c.K_at(0),
                "c2w_cv_m": c.c2w_cv_m_at(0)
                if not c.is_moving
                else [c.c2w_cv_m_at(k) for k in range(spec.frames)],
                "moving": c.is_moving,
                "near_m": c.near_m,
                "far_m": c.far_m,
            }
            for c in scene.cameras
        ],
        "rejected_cameras": dict(scene.rejected),
        "passes": {
            p: film.PASS_FILES[p][2] if p != "rgb" else "H.264, sRGB transfer, BT.709"
            for p in spec.passes
        },
        "render": {
            "engine": spec.engine,
            "samples": spec.samples,
            "denoise": spec.denoise,
            "bounces": spec.bounces,
            "device": spec.device,
            "fast": spec.fast,
            "exposure": exposure,
        },
        "versions": {
            "syncam": __version__,
            "blender": bpy.app.version_string,
            "numpy": np.__version__,
        },
    }
