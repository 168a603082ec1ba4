# SPDX-License-Identifier: Apache-2.0
"""A user who has only the zip: install it, press "Install the Engine", generate.

BPY_PYTHON install.py ZIP SHOT.blend        (alone: nothing of the clone is on its path)
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import bpy

MODULE = "bl_ext.user_default.syncam"
# A clone that this Python knows of would be found before the zip's own wheel.
sys.path[:] = [folder for folder in sys.path if not Path(folder, "syncam_engine").is_dir()]


def main() -> None:
    archive, shot = sys.argv[1:]
    bpy.context.preferences.system.use_online_access = True
    bpy.ops.extensions.package_install_files(
        filepath=archive, repo="user_default", enable_on_install=True, overwrite=True
    )
    session = sys.modules[f"{MODULE}.session"]
    bpy.ops.wm.open_mainfile(filepath=shot)
    state = session.get()
    state.connect()
    state.tick()
    answer = {"before": state.engine.state, "link": sys.modules["syncam_engine.link"].__file__}
    answer["installed"] = sorted(bpy.ops.syncam.engine_install())
    answer["log"] = (Path(os.environ["SYNCAM_STATE_DIR"]) / "install.log").read_text()[-1500:]
    answer["generated"] = sorted(
        bpy.ops.syncam.generate(
            prompt="a man walks a dog in a plaza", cameras="Wide", steps=2, seed=5
        )
    )
    record = state.ended()[0]
    answer["model"], answer["device"] = record.model, record.device
    answer["clip_bytes"] = Path(record.clips[0]["local"]).stat().st_size
    answer["applied"], answer["state"] = record.applied, state.engine.state
    print("ANSWER " + json.dumps(answer), flush=True)


main()
