# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate for many .blend files, one after the other, without a window.

blender -b --python examples/batch_of_shots.py -- shots.json
python examples/batch_of_shots.py shots.json        (a Python that has the bpy module)

shots.json maps .blend files to prompts: {"shots/010.blend": "a man walks a dog in a plaza"}.
Each file is saved with its clips. A shot that cannot be made is said, and the next one begins.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def enable_addon() -> None:
    """Blender enables its add-ons itself; in the bpy module none is until it is enabled."""
    if hasattr(bpy.types, "SYNCAM_OT_generate"):
        return
    import addon_utils  # which bpy brings

    known = (module.__name__ for module in addon_utils.modules())
    installed = next((name for name in known if name.endswith(".syncam")), None)
    if installed is None:
        # Not as an extension, but the clone that this file is part of has it too.
        sys.path.append(str(Path(__file__).resolve().parents[1]))
    bpy.ops.preferences.addon_enable(module=installed or "blender_addon")


def main() -> int:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        sys.exit("usage: blender -b --python batch_of_shots.py -- SHOTS.json")
    shots = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    enable_addon()
    failed = 0
    for path, prompt in shots.items():
        try:
            bpy.ops.wm.open_mainfile(filepath=str(Path(path).resolve()))
            bpy.ops.syncam.generate(prompt=prompt, seed=7, targets={"PLATES", "SEQUENCER"})
        except (RuntimeError, TypeError, ValueError) as error:
            print(f"{path}: {str(error).removeprefix('Error: ').strip()}", file=sys.stderr)
            failed += 1
            continue
        bpy.ops.wm.save_mainfile()
        print(f"{path}: done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
