# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate for many .blend files, one after the other, without a window.

blender -b --python examples/batch_of_shots.py -- shots.json

shots.json maps .blend files to prompts: {"shots/010.blend": "a man walks a dog in a plaza"}.
Each file is saved with its clips. A shot that cannot be made is said, and the next one begins.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def main() -> int:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        sys.exit("usage: blender -b --python batch_of_shots.py -- SHOTS.json")
    shots = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    failed = 0
    for path, prompt in shots.items():
        try:
            bpy.ops.wm.open_mainfile(filepath=str(Path(path).resolve()))
            bpy.ops.syncam.generate(prompt=prompt, seed=7, targets={"PLATES", "SEQUENCER"})
        except RuntimeError as error:
            print(f"{path}: {str(error).removeprefix('Error: ').strip()}", file=sys.stderr)
            failed += 1
            continue
        bpy.ops.wm.save_mainfile()
        print(f"{path}: done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
