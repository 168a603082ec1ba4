# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewport renders where no 3-D viewport is to be drawn: a child Blender makes them. Uses bpy.

What a crash or a heavy scene does there, it does not do here: this process only writes the scene
down, looks for pictures, and may end the child at any moment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict

CHILD = Path(__file__).with_name("child_main.py")
ENDS_S = 20.0
"""A child that was told to end has this long."""


def render_views(
    scene: bpy.types.Scene, rig: Rig, frames: list[int]
) -> Iterator[list[list[bytes]] | int]:
    """Like `viewport.render_views`, by a child process; a step looks how far it is.

    Raises SynCamError when the scene cannot be written down or the child stops early.
    """
    count = len(frames) * len(rig.cameras)
    with tempfile.TemporaryDirectory(prefix="syncam-views-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _write_scene(scene, folder / "scene.blend")
        order = json.dumps(_order_of(scene, rig, frames))
        (folder / "order.json").write_text(order, "utf-8")
        with (folder / "log.txt").open("wb") as log:
            child = subprocess.Popen(
                [*_blender(), str(CHILD), "--", name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            made = 0
            while made < count:
                ended = child.poll() is not None
                while made < count and picture_path(folder, made).exists():
                    made += 1
                if ended and made < count:
                    raise _stopped(child.returncode, folder)
                yield made
        finally:
            # It ends by itself when nobody holds the other end, as when this process is killed.
            child.stdin.close()
            try:
                child.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        pictures = [picture_path(folder, number).read_bytes() for number in range(count)]
    yield [pictures[row :: len(rig.cameras)] for row in range(len(rig.cameras))]


def picture_path(folder: Path, number: int) -> Path:
    """Where the child puts its picture `number`, camera by camera in each frame."""
    return folder / f"{number:06d}.rgb"


def _blender() -> list[str]:
    """The command that runs a script as this Blender would."""
    if not bpy.app.binary_path:
        return [sys.executable]
    same = ["--factory-startup"] if "--factory-startup" in sys.argv else []
    return [bpy.app.binary_path, "-b", *same, "--python-exit-code", "1", "--python"]


def _order_of(scene: bpy.types.Scene, rig: Rig, frames: list[int]) -> dict[str, Any]:
    return {
        "scene": scene.name,
        "rig": rig_to_dict(rig),
        "frames": frames,
        # What the artist let run here, runs there too.
        "scripts": not bpy.app.autoexec_fail,
        "path": sys.path,
    }


def _write_scene(scene: bpy.types.Scene, path: Path) -> None:
    """Write the scene with all that it uses; saving the file would call everybody's handlers."""
    scripts = {text for text in bpy.data.texts if text.use_module}
    try:
        bpy.data.libraries.write(str(path), {scene, *scripts}, path_remap="ABSOLUTE")
    except (OSError, RuntimeError) as error:
        raise SynCamError(
            "views.disk",
            f"The scene {scene.name!r} cannot be written down to render its cameras: {error}.",
            fix="Free space in the folder for temporary files",
        ) from error


def _stopped(code: int, folder: Path) -> SynCamError:
    told = folder / "error.json"
    if told.exists():
        return SynCamError.from_dict(json.loads(told.read_text("utf-8")))
    lines = (folder / "log.txt").read_text("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return SynCamError(
        "views.stopped",
        f"Blender stopped ({code}) while it rendered the cameras; its last words: {last[:300]}",
        value=code,
        fix="Open a 3-D viewport, or render the views yourself and use them as a reference",
    )
