# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panel "SynCam" of the 3-D viewport, and a line in the status bar. Draws only."""

from __future__ import annotations

import textwrap
from pathlib import Path

import bpy

from . import cameras, checks, jobs, preferences, result_ops, session, settings, thumbs, timing
from .generate_ops import waiting_jobs
from .jobs import JobRecord

ENGINE_ICONS = {
    "not found": "QUESTION",
    "stopped": "SNAP_FACE",
    "starting": "SORTTIME",
    "loading": "SORTTIME",
    "ready": "CHECKMARK",
    "version mismatch": "ERROR",
    "refused": "LOCKED",
    "lost": "ERROR",
}
ENGINE_TITLES = {
    "not found": "No Engine",
    "stopped": "Stopped",
    "starting": "Starting",
    "loading": "Loading",
    "ready": "Ready",
    "version mismatch": "Mismatch",
    "refused": "Refused",
    "lost": "Lost",
}
FIX_LABELS = {
    "camera.lens_untrained": "Match Lens",
    "camera.azimuth_untrained": "Nearer Anchor",
    "camera.relative_elevation_untrained": "Nearer Anchor",
    "camera.distance_untrained": "Move Camera",
    "camera.elevation_untrained": "Exclude",
    "camera.roll_untrained": "Exclude",
    "camera.moving_untrained": "Exclude",
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


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "SynCam"


class SYNCAM_PT_main(_Panel, bpy.types.Panel):
    bl_label = "SynCam"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own, state = self.layout, context.scene.syncam, session.get()
        draw_engine(layout, context, state)
        draw_messages(layout, context, state)
        column = layout.column(align=True)
        column.label(text="Prompt")
        column.prop(own, "prompt", text="", placeholder="a man walks a dog in a plaza") if (
            bpy.app.version >= (4, 1, 0)
        ) else column.prop(own, "prompt", text="")
        layout.row(align=True).prop(own, "mode", expand=True)
        draw_mode(layout, own)
        row = layout.row(align=True)
        row.prop(own, "seed")
        row.prop(own, "new_seed", text="", icon="FILE_REFRESH")
        draw_estimate(layout, context, state)
        row = layout.row()
        row.scale_y = 1.7
        row.enabled = bool(own.prompt.strip())
        row.operator("syncam.generate", icon="RENDER_ANIMATION")
        draw_jobs(layout, context, state)


def draw_engine(layout, context, state: session.Session) -> None:
    box = layout.box()
    if state.install is not None:
        told = state.install.progress()
        row = box.row(align=True)
        share = (told.step - 0.5) / told.steps if told.step else 0.0
        row.progress(factor=max(0.02, share), text=f"Installing {told.step}/{told.steps}")
        row.operator("syncam.engine_install_stop", text="", icon="X")
        write(box, context, told.text)
        return
    engine = state.engine
    row = box.row(align=True)
    row.alert = engine.state in ("lost", "version mismatch", "refused")
    title = ENGINE_TITLES[engine.state]
    row.label(text=title, icon=ENGINE_ICONS[engine.state])
    buttons = row.row(align=True)
    buttons.alert = False
    if engine.state in ("stopped",):
        buttons.operator("syncam.engine_start", icon="PLAY")
    elif engine.state in ("lost", "version mismatch"):
        buttons.operator("syncam.engine_restart", icon="FILE_REFRESH")
    elif engine.state == "refused":
        buttons.operator("syncam.copy_public_key", text="Copy Key", icon="COPYDOWN")
    elif engine.state in ("ready", "loading", "starting"):
        buttons.operator("syncam.engine_restart", text="", icon="FILE_REFRESH")
        buttons.operator("syncam.engine_stop", text="", icon="PAUSE" if False else "SNAP_FACE")
    buttons.operator("syncam.engine_log", text="", icon="TEXT")
    if engine.state == "ready":
        hello = state.client.hello if state.client else None
        parts = [state.client.device or (hello.device if hello else ""), memory_text(state)]
        facts = ", ".join(part for part in parts if part)
        if facts:
            box.label(text=facts, icon="BLANK1")
    else:
        write(box, context, engine.sentence)
    if engine.state == "not found":
        column = box.column(align=True)
        column.operator("syncam.engine_install", icon="IMPORT")
        column.operator("syncam.engine_choose", icon="FILE_FOLDER")


def memory_text(state: session.Session) -> str:
    """What the engine's worker uses, from the last status."""
    status = state.engine_status
    if status is None or not status.workers:
        return ""
    used_mb = sum(worker.memory_mb for worker in status.workers)
    return f"{used_mb / 1024:.1f} GB used" if used_mb else ""


def draw_messages(layout, context, state: session.Session) -> None:
    error = state.error
    if error is not None:
        box = layout.box()
        row = box.row()
        column = row.column()
        column.alert = True
        write(column, context, error.sentence, "ERROR")
        row.operator("syncam.dismiss", text="", icon="X", emboss=False)
        draw_fix(box, error.code, None, error.nearest)
        if error.code.startswith("engine."):
            row = box.row(align=True)
            row.operator("syncam.engine_restart", icon="FILE_REFRESH")
            row.operator("syncam.engine_log", icon="TEXT")
    if state.notice:
        box = layout.box()
        row = box.row()
        write(row.column(), context, state.notice, "INFO")
        row.operator("syncam.dismiss", text="", icon="X", emboss=False)
    missing = result_ops.missing_images()
    if missing:
        box = layout.box()
        write(box, context, f"{len(missing)} clips of this file are missing.", "ERROR")
        box.operator("syncam.refetch", icon="IMPORT")


def draw_mode(layout, own) -> None:
    if own.mode == "PREVIZ":
        layout.prop(own, "previz_strength", slider=True)
    elif own.mode == "REFERENCE":
        column = layout.column(align=True)
        column.row(align=True).prop(own, "reference_source", expand=True)
        if own.reference_source == "FILE":
            column.prop(own, "reference_file", text="")
        elif own.reference_source == "IMAGE":
            column.template_ID(own, "reference_image", open="image.open")
        else:
            column.label(text="Of the anchor camera, now", icon="RESTRICT_VIEW_OFF")


def draw_estimate(layout, context, state: session.Session) -> None:
    own, found = context.scene.syncam, checks.findings(context.scene)
    if found.error is not None:
        box = layout.box()
        column = box.column()
        column.alert = True
        write(column, context, found.error.sentence, "ERROR")
        camera = _camera_in(context, found.error.sentence)
        draw_fix(box, found.error.code, camera, found.error.nearest)
        return
    refusals = [issue for issue in found.issues if issue.kind == "refuse"]
    for issue in refusals:
        box = layout.box()
        column = box.column()
        column.alert = True
        write(column, context, issue.sentence, "ERROR")
        draw_fix(box, issue.code, issue.camera, issue.nearest)
    if refusals:
        return
    envelope = state.envelope_or_none(own.preset)
    parts = [f"{found.views} cameras", f"{own.frames} pictures", own.size]
    if envelope is not None:
        width, _, height = own.size.partition("x")
        asked = {
            "views": found.views,
            "width": int(width or 0),
            "height": int(height or 0),
            "frames": own.frames,
            "steps": own.steps,
            "preset": own.preset,
        }
        seconds = timing.estimate_s(state.records.values(), asked)
        if seconds is not None:
            parts.append(f"about {timing.duration_text(seconds * own.variations)}")
        parts.append(f"{envelope.memory_gb:g} GB")
    column = layout.column()
    column.active = False
    write(column, context, ", ".join(parts))


def _camera_in(context, sentence: str) -> str:
    """The camera that a sentence names."""
    for item in context.scene.syncam.rig:
        if item.camera and repr(item.camera.name) in sentence:
            return item.camera.name
    return ""


def draw_jobs(layout, context, state: session.Session) -> None:
    running = [record for record in state.running() if record.state not in ("queued", "paused")]
    for record in running:
        box = layout.box()
        row = box.row(align=True)
        row.progress(factor=record.fraction, text=record.headline)
        row.operator("syncam.cancel", text="", icon="X").job_id = record.job_id
        draw_pictures(box, record)
    waiting = waiting_jobs(state)
    if waiting:
        box = layout.box()
        box.label(text=f"{len(waiting)} waiting", icon="SORTTIME")
        for record in waiting:
            draw_waiting(box, record)


def draw_waiting(layout, record: JobRecord) -> None:
    row = layout.row(align=True)
    row.label(text=f"{record.prompt[:28]}  ({record.headline})")
    icon = "PLAY" if record.state == "paused" else "PAUSE"
    row.operator("syncam.pause", text="", icon=icon).job_id = record.job_id
    for direction, icon in (("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN")):
        button = row.operator("syncam.move_job", text="", icon=icon)
        button.job_id, button.direction = record.job_id, direction
    row.operator("syncam.cancel", text="", icon="X").job_id = record.job_id


def draw_picture(layout, icon: int, scale: float) -> None:
    """A picture in a field of its own shape: an icon's field is a square otherwise."""
    field = layout.column()
    field.scale_y = 0.64
    field.template_icon(icon_value=icon, scale=scale)


def draw_pictures(layout, record: JobRecord) -> None:
    """The live picture of every camera, two in a row."""
    own = preferences.get()
    scale = own.preview_scale if own else 6.0
    grid = layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
    for reference in record.cameras:
        icon = thumbs.icon_id(f"live:{reference['name']}")
        if icon:
            column = grid.column(align=True)
            draw_picture(column, icon, scale)
            column.label(text=reference["name"])


class SYNCAM_UL_rig(bpy.types.UIList):
    bl_idname = "SYNCAM_UL_rig"

    def draw_item(self, context, layout, _data, item, _icon, _active, _property, _index=0) -> None:
        thing = item.camera
        if thing is None:
            layout.label(text="(removed)", icon="ERROR")
            return
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        icon = thumbs.icon_id(f"camera:{thing.name}")
        if icon:
            row.label(text="", icon_value=icon)
        row.label(text=thing.name, icon="NONE" if icon else "CAMERA_DATA")
        found = checks.findings(context.scene)
        own = context.scene.syncam
        anchor = own.anchor or cameras.camera_at_frame(
            context.scene, settings.first_frame(context.scene)
        )
        if item.use and found.of_camera(thing.name):
            row.label(text="", icon="ERROR")
        icon = "PINNED" if thing == anchor else "UNPINNED"
        row.operator("syncam.rig_anchor", text="", icon=icon, emboss=False).camera = thing.name


class SYNCAM_PT_rig(_Panel, bpy.types.Panel):
    bl_label = "Cameras"
    bl_parent_id = "SYNCAM_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own = self.layout, context.scene.syncam
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
                draw_fix(box, issue.code, None, issue.nearest)
        layout.operator_menu_enum("syncam.rig_add", "shape", text="Add Rig", icon="ADD")


def draw_camera(layout, context, own) -> None:
    """The chosen camera: its picture, what is wrong with it, and the buttons that mend it."""
    if not 0 <= own.rig_index < len(own.rig) or own.rig[own.rig_index].camera is None:
        return
    item = own.rig[own.rig_index]
    thing = item.camera
    box = layout.box()
    row = box.row(align=True)
    row.label(text=thing.name, icon="CAMERA_DATA")
    row.operator("syncam.rig_look", text="", icon="HIDE_OFF").camera = thing.name
    icon = thumbs.icon_id(f"camera:{thing.name}")
    if icon:
        draw_picture(box, icon, 9.0)
    for issue in checks.findings(context.scene).of_camera(thing.name):
        column = box.column()
        write(column, context, issue.sentence, "ERROR")
        row = column.row(align=True)
        draw_fix(row, issue.code, issue.camera, issue.nearest)
        if FIX_LABELS.get(issue.code) != "Exclude":
            button = row.operator("syncam.fix", text="Exclude")
            button.code, button.camera = "camera.exclude", thing.name
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


class SYNCAM_PT_request(_Panel, bpy.types.Panel):
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


class SYNCAM_PT_results(_Panel, bpy.types.Panel):
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
        history = [record for record in state.ended() if record.clips or record.sentence]
        if not history:
            layout.label(text="No clips yet", icon="INFO")
        for record in history[:6]:
            draw_record(layout, context, record)


def draw_record(layout, context, record: JobRecord) -> None:
    box = layout.box()
    row = box.row(align=True)
    icon = {"done": "CHECKMARK", "cancelled": "CANCEL"}.get(record.state, "ERROR")
    row.label(text=record.prompt or "(no prompt)", icon=icon)
    row.label(text=jobs.age_text(record))
    shown = [c for c in record.clips if c.get("local") and Path(c["local"]).is_file()]
    if shown:
        pictures = box.row(align=True)
        for clip in shown[:4]:
            draw_picture(pictures, thumbs.movie_icon_id(clip["local"]), 3.4)
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


def draw_status_bar(self, _context: bpy.types.Context) -> None:
    running = session.get().running()
    active = next((r for r in running if r.state not in ("queued", "paused")), None)
    if active is None:
        return
    row = self.layout.row()
    row.ui_units_x = 14
    row.progress(factor=active.fraction, text=f"SynCam: {active.headline}")


CLASSES = (
    SYNCAM_UL_rig,
    SYNCAM_MT_rig,
    SYNCAM_PT_main,
    SYNCAM_PT_rig,
    SYNCAM_PT_request,
    SYNCAM_PT_results,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.STATUSBAR_HT_header.append(draw_status_bar)


def unregister() -> None:
    bpy.types.STATUSBAR_HT_header.remove(draw_status_bar)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
