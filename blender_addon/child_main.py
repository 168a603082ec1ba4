# SPDX-License-Identifier: GPL-3.0-or-later
"""What the child Blender of `child_render.py` runs: a scene's cameras into pictures in a folder.

The extension may be off here, or be an older one: its modules are loaded from beside this file,
under a name of their own and without registering anything.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
import traceback
from pathlib import Path

import bpy

PACKAGE = "syncam_views"


def load_beside(name: str):
    """Return a module of this folder."""
    if PACKAGE not in sys.modules:
        spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(Path(__file__).parent)]
        sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{PACKAGE}.{name}")


def end_with_parent() -> None:
    """Stop at once when the other end of standard input is closed: nobody waits any more."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def main(folder: Path) -> int:
    end_with_parent()
    order = json.loads((folder / "order.json").read_text("utf-8"))
    sys.path += [entry for entry in order["path"] if entry not in sys.path]
    stage, child_render = load_beside("stage"), load_beside("child_render")
    from syncam_engine.link.errors import SynCamError
    from syncam_engine.link.rig_json import rig_from_dict

    bpy.ops.wm.open_mainfile(
        filepath=str(folder / "scene.blend"), load_ui=False, use_scripts=order["scripts"]
    )
    try:
        rig = rig_from_dict(order["rig"])
        for number, rgb8 in enumerate(stage.render_workbench(order["scene"], rig, order["frames"])):
            path = child_render.picture_path(folder, number)
            half = path.with_suffix(".part")
            half.write_bytes(rgb8)
            half.replace(path)
    except SynCamError as error:
        (folder / "error.json").write_text(json.dumps(error.to_dict()), "utf-8")
        return 1
    return 0


if __name__ == "__main__":
    # Blender's own end can take long, or crash, and its pictures are written.
    code = 1
    try:
        code = main(Path(sys.argv[sys.argv.index("--") + 1]))
    except Exception:  # noqa: BLE001 (shown; then the end is skipped)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
