# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's settings of a request, where results go, and the history. Draws only."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import checks, jobs, session, thumbs
from .jobs import JobRecord
from .ui_parts import Panel, write

SHOWN = 6
"""Jobs of the history in the panel."""


class SYNCAM_PT_request(Panel, bpy.types.Panel):
    bl_label = "Settings"
    bl_parent_id = "SYNCAM_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        row = self.layout.row(align=True)
        row.menu("SYNCAM_MT_presets", text="", icon="PRESET")
        row.operator("syncam.preset_add", text="", icon="ADD", emboss=False)

    def draw(self, context: bpy.types.Context) -> None:
        layout, own = self.layout, context.scene.syncam
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(own, "preset")
        layout.prop(own, "negative_prompt")
        column = layout.column(align=True)
        column.prop(own, "steps")
        column.prop(own, "guidance")
        column.prop(own, "variations")
        column = layout.column(align=True)
        column.prop(own, "size")
        column.prop(own, "fit_rule")
        column = layout.column(align=True)
        column.prop(own, "frames")
        column.prop(own, "start_at")
        if own.start_at == "FRAME":
            column.prop(own, "frame_start", text="Frame")
        column.prop(own, "frame_step")
        found = checks.findings(context.scene)
        every = "every frame" if found.frame_step == 1 else f"every {found.frame_step} frames"
        layout.label(text=f"{float(found.fps):.4g} pictures a second, {every}")


class SYNCAM_PT_results(Panel, bpy.types.Panel):
    bl_label = "Results"
    bl_parent_id = "SYNCAM_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own, state = self.layout, context.scene.syncam, session.get()
        column = layout.column(align=True)
        row = column.row(align=True)
        row.prop_enum(own, "targets", "PLATES")
        row.prop_enum(own, "targets", "BACKGROUNDS")
        row = column.row(align=True)
        row.prop_enum(own, "targets", "SEQUENCER")
        row.prop_enum(own, "targets", "MATERIAL")
        if "PLATES" in own.targets:
            layout.prop(own, "plate_distance")
        shading = getattr(context.space_data, "shading", None)
        has_plates = any(child.get("syncam") for child in context.scene.collection.children)
        if has_plates and shading is not None and shading.type in ("SOLID", "WIREFRAME"):
            layout.operator("syncam.show_clips", icon="SHADING_TEXTURE")
        history = [record for record in state.ended() if record.clips or record.sentence]
        if not history:
            layout.label(text="No clips yet", icon="INFO")
        for record in history[:SHOWN]:
            draw_record(layout, context, record)
        if len(history) > SHOWN:
            layout.label(text=f"and {len(history) - SHOWN} older")


def draw_record(layout, context, record: JobRecord) -> None:
    box = layout.box()
    row = box.split(factor=0.72)
    icon = {"done": "CHECKMARK", "cancelled": "CANCEL"}.get(record.state, "ERROR")
    row.label(text=record.prompt or "(no prompt)", icon=icon)
    age = row.row()
    age.alignment, age.active = "RIGHT", False
    age.label(text=jobs.age_text(record))
    shown = [c for c in record.clips if c.get("local") and Path(c["local"]).is_file()]
    if shown:
        pictures = box.row(align=True)
        for clip in shown[:4]:
            pictures.template_icon(icon_value=thumbs.movie_icon_id(clip["local"]), scale=3.0)
    if record.state == "failed":
        write(box, context, record.sentence)
    row = box.row(align=True)
    if record.clips:
        row.operator("syncam.apply", icon="CHECKMARK").job_id = record.job_id
    row.operator("syncam.again", text="Again", icon="FILE_REFRESH").job_id = record.job_id
    button = row.operator("syncam.again", text="New Seed")
    button.job_id, button.new_seed = record.job_id, True
    if record.clips:
        row.operator("syncam.reveal", text="", icon="FILE_FOLDER").job_id = record.job_id
    row.operator("syncam.forget", text="", icon="TRASH").job_id = record.job_id
    if record.clips:
        line = box.row()
        line.active = False
        line.label(text=f"seed {record.seed}, {record.headline}")


CLASSES = (SYNCAM_PT_request, SYNCAM_PT_results)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
