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


def refused_offline() -> str:
    """Press the button without a network; what it has made by then stays for the next time."""
    links = os.environ.pop("PIP_NO_INDEX"), os.environ.pop("PIP_FIND_LINKS")
    os.environ.update(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1")
    try:
        return f"not refused: {bpy.ops.syncam.engine_install()}"
    except RuntimeError as error:
        return str(error).removeprefix("Error: ").strip()
    finally:
        os.environ["PIP_NO_INDEX"], os.environ["PIP_FIND_LINKS"] = links


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
    answer["offline"] = refused_offline()
    answer["offline_state"] = state.error.code
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
