# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces that every panel of the add-on is drawn with."""

from __future__ import annotations

import textwrap

import bpy

from syncam_engine.link.envelope import EnvelopeIssue
from syncam_engine.link.errors import SynCamError

from . import checks

EXCLUDE = "Exclude the camera"


ICON_PX = 20


def write(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    icon="NONE",
    *,
    beside_px: int = 0,
) -> None:
    """Write a sentence over as many lines as the panel's width needs; `beside_px` of it are taken
    by a button."""
    scale = context.preferences.system.ui_scale
    width = context.region.width if context.region else 300
    column = layout.column(align=True)
    column.scale_y = 0.85
    taken_px = 62 + beside_px + (ICON_PX if icon != "NONE" else 0)
    room = max(18, int((width - taken_px * scale) / (6.4 * scale)))
    for index, line in enumerate(textwrap.wrap(text, room) or [""]):
        column.label(text=line, icon=icon if index == 0 else ("BLANK1" if icon != "NONE" else icon))


def draw_fix(
    layout: bpy.types.UILayout, fault: EnvelopeIssue | SynCamError, camera: str | None
) -> None:
    """The button that does what a fault's `fix` says, where it can be done here."""
    if fault.fix is None or fault.code not in checks.MENDED:
        return
    button = layout.operator("syncam.fix", text=fault.fix, icon="TOOL_SETTINGS")
    button.code, button.camera = fault.code, camera or ""
    if isinstance(fault.nearest, (list, tuple)):
        button.nearest = "x".join(str(n) for n in fault.nearest)
    else:
        button.nearest = "" if fault.nearest is None else str(fault.nearest)


class Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "SynCam"
