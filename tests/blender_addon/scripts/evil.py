# SPDX-License-Identifier: Apache-2.0
"""The add-on with a remote engine that lies (`syncam soak --only evil-engine`).

BPY_PYTHON -m tests.blender_addon.scripts.evil ADDRESS KEY SHOT.blend {"LIE": "HOW IT MUST END"}
"""

from __future__ import annotations

import json
from pathlib import Path

import bpy

from syncam_engine.devtools.soak.evil_lies import SECRET
from syncam_engine.link import mp4

from .common import RUN, arguments, enable, tell

CAMERAS = ("Wide", "Dolly")
TIMES_OPENED = 6


def main() -> None:
    address, key, shot, asked = arguments()
    state = enable().get()
    make_shot(Path(shot))
    preferences = bpy.context.preferences.addons["blender_addon"].preferences
    preferences.use_remote = True
    preferences.remote_address, preferences.remote_key = address, key
    bpy.ops.syncam.engine_reconnect()
    faults = []
    for lie, wanted in json.loads(asked).items():
        ended = run(state, lie)
        if ended != wanted:
            faults.append(f"{lie}: ended {ended}, not {wanted}; {state.error}")
        if state.error is not None and state.error.code == "addon.fault":
            faults.append(f"{lie}: {state.error}")
        state.error = None
    folder = Path(shot).parent / "syncam"
    faults += [f"{path} is not a clip" for path in folder.rglob("*") if not is_clip(path)]
    # A picture and a movie for each camera.
    images = list(bpy.data.images.keys())
    if len(images) > 2 * len(CAMERAS):
        faults.append(f"{len(images)} image datablocks: {images[:9]}")
    faults += look_again(state)
    if len(state.presets()) > 64:
        faults.append(f"{len(state.presets())} presets were believed")
    tell(faults=faults, jobs=len(state.records), images=len(images))


def make_shot(path: Path) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.fps = 320, 192, 24
    for k, name in enumerate(CAMERAS):
        camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        camera.location, camera.rotation_euler = (k * 0.8 - 0.3, -6.0, 1.5), (1.4, 0.0, 0.1 * k)
        scene.collection.objects.link(camera)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def run(state, lie: str) -> str:
    """Run a job as an artist's script does; whatever the tick raises ends this program."""
    before = set(state.records)
    try:
        bpy.ops.syncam.generate(**{**RUN, "prompt": lie, "cameras": "\n".join(CAMERAS)})
    except RuntimeError as error:
        if "Traceback" in str(error):
            return f"an exception: {error}"
    (job_id,) = set(state.records) - before
    record = state.records[job_id]
    if record.state != "done":
        return record.state
    return "whole" if record.applied else "not fetched"


def is_clip(path: Path) -> bool:
    if path.is_dir():
        return True
    try:
        mp4.video_shape(path)
    except mp4.NotVideo:
        return False
    return SECRET not in path.read_bytes()


def look_again(state) -> list[str]:
    """Open the file again and again: what could not be had is not asked for without end."""
    from blender_addon import heartbeat

    for _ in range(TIMES_OPENED):
        bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
        for _ in range(2000):
            heartbeat.tick()
            if state.is_settled(list(state.records)):
                break
        else:
            return ["clips that cannot be had are still being asked for"]
    due = [record.prompt for record in state.records.values() if record.is_landing_due]
    return [f"asked for whenever a file is opened: {due}"] if due else []


main()
