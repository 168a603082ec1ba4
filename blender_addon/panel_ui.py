# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panel "SynCam" of the 3-D viewport, and a line in the status bar. Draws only."""

from __future__ import annotations

import time

import bpy

from syncam_engine.link.errors import SynCamError

from . import cameras, checks, job_request, preferences, result_ops, session, thumbs, timing
from .generate_ops import waiting_jobs
from .jobs import JobRecord
from .ui_parts import ICON_PX, Panel, draw_fix, write

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


NARROW = "\u00a0"
"""A space that no line breaks at: a number stays with its unit."""


class SYNCAM_PT_main(Panel, bpy.types.Panel):
    bl_label = "SynCam"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own, state = self.layout, context.scene.syncam, session.get()
        draw_engine(layout, context, state)
        draw_messages(layout, context, state)
        column = layout.column(align=True)
        column.label(text="Prompt")
        column.prop(own, "prompt", text="", placeholder="a man walks a dog in a plaza")
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
        buttons.operator("syncam.engine_stop", text="", icon="SNAP_FACE")
    buttons.operator("syncam.engine_log", text="", icon="TEXT")
    if engine.state == "ready":
        hello = state.client.hello if state.client else None
        device = state.client.device or (hello.device if hello else "")
        parts = [device, preset_text(state), memory_text(state)]
        facts = ", ".join(part for part in parts if part)
        if facts:
            row = box.row(align=True)
            row.label(text=facts, icon="BLANK1")
            row.operator("syncam.yield_device", text="", icon="MEMORY", emboss=False)
    elif engine.state in ("starting", "loading"):
        # Nobody knows how long it takes: the bar runs round.
        box.progress(factor=time.monotonic() / 3 % 1.0, text=engine.sentence)
    else:
        write(box, context, engine.sentence)
    if engine.state == "not found":
        column = box.column(align=True)
        column.operator("syncam.engine_install", icon="IMPORT")
        column.operator("syncam.engine_choose", icon="FILE_FOLDER")


def preset_text(state: session.Session) -> str:
    """The preset that is loaded, from the last status."""
    workers = state.engine_status.workers if state.engine_status else []
    return next((worker.preset for worker in workers if worker.preset), "")


def memory_text(state: session.Session) -> str:
    """What the engine's device has left, from the last status; an old engine tells what it uses."""
    workers = state.engine_status.workers if state.engine_status else []
    free_mb = max((worker.memory_free_mb for worker in workers), default=0.0)
    if free_mb:
        return f"{free_mb / 1024:.1f}{NARROW}GB free"
    used_mb = sum(worker.memory_mb for worker in workers)
    return f"{used_mb / 1024:.1f}{NARROW}GB used" if used_mb else ""


def draw_messages(layout, context, state: session.Session) -> None:
    error = state.error
    if error is not None:
        box = layout.box()
        row = box.row()
        column = row.column()
        column.alert = True
        write(column, context, error.sentence, "ERROR")
        row.operator("syncam.dismiss", text="", icon="X", emboss=False)
        draw_fix(box, error, None)
        if error.code.startswith("engine."):
            row = box.row(align=True)
            row.operator("syncam.engine_restart", icon="FILE_REFRESH")
            row.operator("syncam.engine_log", icon="TEXT")
    if state.notice:
        box = layout.box()
        row = box.row()
        write(row.column(), context, state.notice, "INFO", beside_px=ICON_PX)
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
        draw_fix(box, found.error, camera)
        return
    refusals = [issue for issue in found.issues if issue.kind == "refuse"]
    for issue in refusals:
        box = layout.box()
        column = box.column()
        column.alert = True
        write(column, context, issue.sentence, "ERROR")
        draw_fix(box, issue, issue.camera)
    if refusals:
        return
    envelope = state.envelope_or_none(own.preset)
    parts = [f"{found.views} cameras", f"{own.frames} pictures", own.size]
    if envelope is not None:
        try:
            width, height = job_request.parse_size(own.size)
        except SynCamError:
            return  # Just typed: the next look says what is wrong with it.
        asked = {
            "views": found.views,
            "width": width,
            "height": height,
            "frames": own.frames,
            "steps": own.steps,
            "preset": own.preset,
        }
        seconds = timing.estimate_s(state.records.values(), asked)
        if seconds is not None:
            parts.append(
                f"about {timing.duration_text(seconds * own.variations)}".replace(" ", NARROW)
            )
        parts.append(f"{envelope.memory_gb:g}{NARROW}GB needed")
    column = layout.column()
    column.active = False
    write(column, context, ", ".join(parts))


def _camera_in(context, sentence: str) -> str:
    """The camera that a sentence names."""
    for item in context.scene.syncam.rig:
        if item.camera and repr(cameras.rig_name(item.camera)) in sentence:
            return cameras.rig_name(item.camera)
    return ""


def draw_jobs(layout, context, state: session.Session) -> None:
    running = [record for record in state.running() if record.state not in ("queued", "paused")]
    for record in running:
        box = layout.box()
        row = box.row(align=True)
        row.progress(factor=record.fraction, text=record.headline)
        row.operator("syncam.cancel", text="", icon="X").job_id = record.job_id
        if has_pictures(state, record):
            draw_pictures(box, record)
    waiting = waiting_jobs(state)
    if waiting:
        box = layout.box()
        box.label(text=f"{len(waiting)} waiting", icon="SORTTIME")
        for record in waiting:
            draw_waiting(box, record)


def has_pictures(state: session.Session, record: JobRecord) -> bool:
    """Whether a job's live pictures are shown: it is being done, by an engine that answers.

    Blender moves the panels below in the drawing after the one in which this one grew, and until
    then the two overlap: where a message comes, the pictures must be gone.
    """
    is_done_now = record.state == "running" and record.phase in ("sample", "decode", "write")
    return is_done_now and state.engine.state == "ready"


def draw_waiting(layout, record: JobRecord) -> None:
    row = layout.row(align=True)
    row.label(text=f"{record.prompt[:28]}  ({record.headline})")
    icon = "PLAY" if record.state == "paused" else "PAUSE"
    row.operator("syncam.pause", text="", icon=icon).job_id = record.job_id
    for direction, icon in (("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN")):
        button = row.operator("syncam.move_job", text="", icon=icon)
        button.job_id, button.direction = record.job_id, direction
    row.operator("syncam.cancel", text="", icon="X").job_id = record.job_id


def draw_pictures(layout, record: JobRecord) -> None:
    """The live picture of every camera: two columns, each one icon of stacked pictures.

    An icon's field is square, so that single wide pictures would leave half of it empty.
    """
    own = preferences.get()
    scale = own.preview_scale if own else 7.0
    row = layout.row(align=True)
    for names in thumbs.columns_of([reference["name"] for reference in record.cameras]):
        icon = thumbs.icon_id(thumbs.column_key(names))
        if icon:
            column = row.column(align=True)
            column.template_icon(icon_value=icon, scale=scale)
            column.label(text=" / ".join(names))


def draw_status_bar(self, _context: bpy.types.Context) -> None:
    running = session.get().running()
    active = next((r for r in running if r.state not in ("queued", "paused")), None)
    if active is None:
        return
    row = self.layout.row()
    row.ui_units_x = 14
    row.progress(factor=active.fraction, text=f"SynCam: {active.headline}")


CLASSES = (SYNCAM_PT_main,)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.STATUSBAR_HT_header.append(draw_status_bar)


def unregister() -> None:
    bpy.types.STATUSBAR_HT_header.remove(draw_status_bar)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
