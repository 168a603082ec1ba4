# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the real Blender of the window test: arranges the screen, tells what happens.

It presses nothing. Three times a second it writes status.json (engine, jobs, redraws, plates) and
does what order.py holds, which is for what has no button.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy

FOLDER = Path(os.environ["SYNCAM_WINDOW_FOLDER"])
ADDON = "bl_ext.user_default.syncam"
counts = {"redraws": 0, "panels": 0, "undos": 0}
drawn: dict = {}
"""How the 3-D viewport was drawn last."""


def count_redraw() -> None:
    counts["redraws"] += 1


def note_view() -> None:
    scene = bpy.context.scene
    shown = bpy.context.space_data.shading.type
    times = drawn["times"] + 1 if drawn.get("as") == [shown, scene.frame_current] else 1
    drawn.update({"as": [shown, scene.frame_current], "times": times})


@bpy.app.handlers.persistent
def count_undo(_scene) -> None:
    counts["undos"] += 1


def count_panel(_panel, _context) -> None:
    counts["panels"] += 1


def arrange() -> None:
    """The 3-D viewport through the camera, the sidebar on the SynCam tab."""
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.system.use_online_access = True
    for area in bpy.context.window.screen.areas:
        if area.type == "VIEW_3D":
            space = area.spaces.active
            space.show_region_ui = True
            space.shading.type = "SOLID"
            space.region_3d.view_perspective = "PERSP"
            space.region_3d.view_location = (0, 0, 1.2)
            space.region_3d.view_distance = 17
            space.region_3d.view_rotation = (0.83, 0.42, 0.15, 0.33)


def regions() -> dict:
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "VIEW_3D":
            return {
                region.type: [region.x, region.y, region.width, region.height]
                for region in area.regions
            }
    return {}


def tell() -> float:
    session = sys.modules[f"{ADDON}.session"].get()
    scene = bpy.context.scene
    told = {
        "time": time.time(),
        "redraws": counts["redraws"],
        "panels": counts["panels"],
        "undos": counts["undos"],
        "drawn": drawn,
        "ticks": session.tick_count,
        "engine": session.engine.state,
        "device": session.client.device if session.client else "",
        "instance": session.client.hello.instance
        if session.client and session.client.hello
        else "",
        "mode": scene.syncam.mode,
        "notice": session.notice,
        "error": session.error.sentence if session.error else "",
        "prompt": scene.syncam.prompt,
        "jobs": [
            {"id": r.job_id, "state": r.state, "step": r.step, "applied": r.applied}
            for r in session.records.values()
        ],
        "plates": [o.name for o in scene.objects if o.get("syncam_camera")],
        "window": [
            bpy.context.window_manager.windows[0].width,
            bpy.context.window_manager.windows[0].height,
        ],
        "regions": regions(),
    }
    partial = FOLDER / "status.partial"
    partial.write_text(json.dumps(told))
    partial.replace(FOLDER / "status.json")
    order = FOLDER / "order.py"
    if order.exists():
        text = order.read_text()
        order.unlink()
        try:
            exec(compile(text, "order", "exec"), {"bpy": bpy, "session": session})
        except Exception as error:  # noqa: BLE001  (told to the test, which fails on it)
            (FOLDER / "order.error").write_text(repr(error))
    return 0.3


def main() -> None:
    arrange()
    bpy.types.SpaceView3D.draw_handler_add(count_redraw, (), "UI", "POST_PIXEL")
    bpy.types.SpaceView3D.draw_handler_add(note_view, (), "WINDOW", "POST_PIXEL")
    bpy.types.SYNCAM_PT_main.append(count_panel)
    bpy.app.handlers.undo_post.append(count_undo)
    bpy.app.timers.register(tell, first_interval=0.5, persistent=True)


bpy.app.timers.register(main, first_interval=1.0)
