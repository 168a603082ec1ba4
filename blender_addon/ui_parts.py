# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces that every panel of the add-on is drawn with."""

from __future__ import annotations

import textwrap

import bpy

FIX_LABELS = {
    "camera.lens_untrained": "Match Lens",
    "camera.azimuth_untrained": "Nearer Anchor",
    "camera.relative_elevation_untrained": "Nearer Anchor",
    "camera.distance_untrained": "Move Camera",
    "camera.elevation_untrained": "Exclude",
    "camera.roll_untrained": "Exclude",
    "camera.moving_untrained": "Exclude",
    "camera.zoom_untrained": "Exclude",
    "camera.orthographic": "Exclude",
    "camera.panoramic": "Exclude",
    "camera.custom": "Exclude",
    "rig.views": "Keep Nearest",
    "rig.views_untrained": "Keep Nearest",
    "rig.empty": "Use All",
    "frames.impossible": "Use Nearest",
    "steps.impossible": "Use Nearest",
    "size.impossible": "Use Nearest",
}


def write(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon="NONE") -> None:
    """Write a sentence over as many lines as the panel's width needs."""
    scale = context.preferences.system.ui_scale
    width = context.region.width if context.region else 300
    column = layout.column(align=True)
    column.scale_y = 0.85
    room = max(18, int((width - 62 * scale) / (6.4 * scale)))
    for index, line in enumerate(textwrap.wrap(text, room) or [""]):
        column.label(text=line, icon=icon if index == 0 else ("BLANK1" if icon != "NONE" else icon))


def draw_fix(layout: bpy.types.UILayout, code: str, camera: str | None, nearest: object) -> None:
    """The button that mends an issue, where there is one."""
    if code in FIX_LABELS:
        button = layout.operator("syncam.fix", text=FIX_LABELS[code], icon="TOOL_SETTINGS")
        button.code, button.camera = code, camera or ""
        if isinstance(nearest, (list, tuple)):
            button.nearest = "x".join(str(n) for n in nearest)
        else:
            button.nearest = "" if nearest is None else str(nearest)


class Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "SynCam"
