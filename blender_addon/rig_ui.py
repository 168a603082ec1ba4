# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's cameras: the rig's list, the chosen camera, what is wrong with it. Draws only."""

from __future__ import annotations

import bpy

from . import cameras, checks, settings, thumbs
from .ui_parts import EXCLUDE, Panel, draw_fix, write


class SYNCAM_UL_rig(bpy.types.UIList):
    bl_idname = "SYNCAM_UL_rig"

    def draw_item(self, context, layout, _data, item, _icon, _active, _property, _index=0) -> None:
        thing = item.camera
        if thing is None:
            layout.label(text="(removed)", icon="ERROR")
            return
        name = cameras.rig_name(thing)
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        icon = thumbs.icon_id(f"camera:{name}")
        if icon:
            row.label(text="", icon_value=icon)
        row.label(text=name, icon="NONE" if icon else "CAMERA_DATA")
        found = checks.findings(context.scene)
        own = context.scene.syncam
        anchor = own.anchor or cameras.camera_at_frame(
            context.scene, settings.first_frame(context.scene)
        )
        if item.use and found.of_camera(name):
            row.label(text="", icon="ERROR")
        icon = "PINNED" if thing == anchor else "UNPINNED"
        row.operator("syncam.rig_anchor", text="", icon=icon, emboss=False).camera = name


class SYNCAM_PT_rig(Panel, bpy.types.Panel):
    bl_label = "Cameras"
    bl_parent_id = "SYNCAM_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own = self.layout, context.scene.syncam
        thumbs.look()
        row = layout.row()
        row.template_list("SYNCAM_UL_rig", "", own, "rig", own, "rig_index", rows=4)
        side = row.column(align=True)
        side.operator("syncam.rig_move", text="", icon="TRIA_UP").direction = "UP"
        side.operator("syncam.rig_move", text="", icon="TRIA_DOWN").direction = "DOWN"
        side.separator()
        side.operator("syncam.rig_thumbnails", text="", icon="FILE_REFRESH")
        side.menu("SYNCAM_MT_rig", text="", icon="DOWNARROW_HLT")
        draw_camera(layout, context, own)
        found = checks.findings(context.scene)
        for issue in found.issues:
            if issue.kind == "warn" and issue.camera is None:
                box = layout.box()
                write(box, context, issue.sentence, "ERROR")
                draw_fix(box, issue, None)
        layout.operator_menu_enum("syncam.rig_add", "shape", text="Add Rig", icon="ADD")


def draw_camera(layout, context, own) -> None:
    """The chosen camera: its picture, what is wrong with it, and the buttons that mend it."""
    if not 0 <= own.rig_index < len(own.rig) or own.rig[own.rig_index].camera is None:
        return
    item = own.rig[own.rig_index]
    name = cameras.rig_name(item.camera)
    box = layout.box()
    row = box.row(align=True)
    row.label(text=name, icon="CAMERA_DATA")
    row.operator("syncam.rig_look", text="", icon="HIDE_OFF").camera = name
    icon = thumbs.icon_id(f"camera:{name}")
    if icon:
        box.template_icon(icon_value=icon, scale=7.0)
    for issue in checks.findings(context.scene).of_camera(name):
        column = box.column()
        write(column, context, issue.sentence, "ERROR")
        row = column.row(align=True)
        draw_fix(row, issue, issue.camera)
        if issue.fix != EXCLUDE:
            button = row.operator("syncam.fix", text=EXCLUDE)
            button.code, button.camera = "camera.exclude", name
    if "MATERIAL" in own.targets:
        box.prop(item, "screen")


class SYNCAM_MT_rig(bpy.types.Menu):
    bl_label = "Cameras"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_enum("syncam.rig_use", "which")
        layout.separator()
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("syncam.rig_import", icon="IMPORT")
        layout.operator("syncam.rig_export", icon="EXPORT")


CLASSES = (SYNCAM_UL_rig, SYNCAM_MT_rig, SYNCAM_PT_rig)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
