# SPDX-License-Identifier: Apache-2.0
"""What the programs of this folder share: the add-on enabled, ticks without a window, an answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

ROOT = Path(__file__).resolve().parents[3]
RUN = {"prompt": "a test pattern", "steps": 2, "frames": 5, "frame_step": 3}


def enable():
    """Enable the add-on of this clone; return its session's module."""
    bpy.ops.preferences.addon_enable(module="blender_addon")
    from blender_addon import session

    return session


def tick_until(state, condition: Callable[[], bool], what: str, limit_s: float = 150.0) -> None:
    """Tick as the timer does until `condition()` holds."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        state.tick()
        if time.monotonic() > deadline_s:
            raise SystemExit(f"not within {limit_s:g} s: {what}; {state.engine}, {state.error}")
        time.sleep(0.01)


def tell(**answer: Any) -> None:
    """Say something to the test that started this program."""
    print("ANSWER " + json.dumps(answer), flush=True)


def sentence_of(call: Callable[..., Any], **arguments: Any) -> str:
    """Return what an operator reports when it refuses."""
    try:
        outcome = call(**arguments)
    except RuntimeError as error:
        return str(error).removeprefix("Error: ").strip()
    return f"not refused: {outcome}"


def plates_of(scene) -> dict[str, str]:
    """Return the file that each camera's plate shows."""
    found = {}
    for thing in scene.objects:
        if thing.type == "MESH" and thing.get("syncam_camera"):
            image = thing.data.materials[0].node_tree.nodes["SynCam"].image
            found[thing["syncam_camera"]] = bpy.path.abspath(image.filepath)
    return found


def arguments() -> list[str]:
    return sys.argv[1:]
