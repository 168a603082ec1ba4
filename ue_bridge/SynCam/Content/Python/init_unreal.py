# SPDX-License-Identifier: Apache-2.0
"""Runs when the editor starts: finds SynCam's packages, then starts it on the first frame."""

import os
import sys
from pathlib import Path

import unreal

if str(Path(__file__).resolve().parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
import syncam_paths


def begin() -> None:
    """Make the packages importable and start SynCam; a fault is logged and stops nothing."""
    syncam_paths.make_importable()
    try:
        from syncam_unreal import plugin
    except ImportError as error:
        unreal.log_error(
            f"SynCam: {error}. Install the packaged plugin (syncam package unreal), or switch on "
            "'Run Pip Install on Startup' in Project Settings > Plugins > Python."
        )
        return
    plugin.start()


def on_first_frame(_delta_s: float) -> None:
    unreal.unregister_slate_post_tick_callback(handle)
    begin()


# The level is not ready while this file runs: begin with the first frame. Commandlets have none.
if not os.environ.get("SYNCAM_UNREAL_HEADLESS"):
    handle = unreal.register_slate_post_tick_callback(on_first_frame)
