# SPDX-License-Identifier: Apache-2.0
"""Plays UnrealEditor-Cmd for tests: a build step on the stand-in, a render step that paints PNGs.

    fake_editor.py PROJECT.uproject -run=pythonscript -script=SCRIPT
    fake_editor.py PROJECT.uproject MAP -game -LevelSequence=... -MoviePipelineConfig=...

FAKE_UNREAL is a JSON file: maps, meshes and animations (path -> skeleton), and optional faults:
most_cameras (more at once fail as if memory ran out), same_picture, die_at_camera.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import zlib
from pathlib import Path


def main(argv: list[str]) -> int:
    project = Path(argv[1])
    world = json.loads(Path(os.environ["FAKE_UNREAL"]).read_text("utf-8"))
    options = dict(a.lstrip("-").partition("=")[::2] for a in argv[2:] if a.startswith("-"))
    if "game" in options:
        return render(project, options, world)
    script = options.get("script") or options["ExecutePythonScript"]
    return build(project, script, world)


def build(project: Path, script: str, world: dict) -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import stand_in
    from stand_in.assets import add_asset

    (project.parent / "Content").mkdir(exist_ok=True)
    module = stand_in.make_unreal(world.get("version", "5.5"), project.parent)
    editor = module._editor
    editor.saved |= set(world["maps"])
    editor.read_only_content = world.get("read_only", False)
    skeletons = {}
    for kind, table in (("SkeletalMesh", "meshes"), ("AnimSequence", "animations")):
        for path, skeleton in world[table].items():
            bones = skeletons.setdefault(skeleton, add_asset(editor, "Skeleton", skeleton))
            add_asset(editor, kind, path, skeleton=bones)
    stand_in.install(module)
    runpy.run_path(script, run_name="__main__")
    state = {"sequences": {}, "configs": {}}
    for path, asset in editor.assets.items():
        if type(asset).__name__ == "LevelSequence":
            names = [b.name for b in asset._bindings if isinstance(b.thing, module.CameraActor)]
            state["sequences"][path] = names
        elif type(asset).__name__ == "MoviePipelinePrimaryConfig":
            output = asset._settings[2]
            state["configs"][path] = {
                "folder": output.output_directory.path,
                "format": output.file_name_format,
                "size": [output.output_resolution.x, output.output_resolution.y],
                "frames": output.custom_end_frame - output.custom_start_frame,
                "digits": output.zero_pad_frame_numbers,
            }
    (project.parent / "fake_state.json").write_text(json.dumps(state))
    return 0


def render(project: Path, options: dict, world: dict) -> int:
    from PIL import Image

    state = json.loads((project.parent / "fake_state.json").read_text())
    cameras = state["sequences"][options["LevelSequence"].split(".")[0]]
    config = state["configs"][options["MoviePipelineConfig"].split(".")[0]]
    (project.parent / "renders.log").open("a").write(f"{len(cameras)}\n")
    short = len(cameras) > world.get("most_cameras", 99)
    for camera in cameras:
        if camera == world.get("die_at_camera"):
            os.abort()
        shown = cameras[0] if world.get("same_picture") else camera
        for frame in range(config["frames"] // 2 if short else config["frames"]):
            name = config["format"].format(
                camera_name=camera, frame_number_rel=f"{frame:0{config['digits']}d}"
            )
            path = Path(config["folder"]) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            tint = zlib.crc32(f"{shown}{frame}".encode())
            colour = (tint & 255, tint >> 8 & 255, tint >> 16 & 255)
            Image.new("RGB", tuple(config["size"]), colour).save(path)
    return 3 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
