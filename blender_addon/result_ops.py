# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on finished jobs: apply, run again, reveal, fetch again, forget."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import bpy
import msgspec
from bpy.props import BoolProperty, EnumProperty, StringProperty

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest, new_id
from syncam_engine.link.rig_json import rig_from_dict

from . import generate_ops, heartbeat, plates, results, session, settings
from .jobs import JobRecord
from .waiting import settle


class _OnEndedJob:
    """Operators on one job of the history; without an id the newest that has clips."""

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def record_or_report(self) -> JobRecord | None:
        state = session.get()
        state.connect()
        if self.job_id:
            record = state.records.get(self.job_id)
        else:
            record = next((r for r in state.ended() if r.clips), None)
        if record is None:
            said = f"There is no job {self.job_id!r} in the history."
            self.report({"ERROR"}, said if self.job_id else "The history has no job with clips.")
        return record


def _finish(operator: bpy.types.Operator, record: JobRecord) -> set[str]:
    """In background mode, tick until the job's files are there."""
    state = session.get()
    if bpy.app.background:
        try:
            settle(state, [record.job_id])
        except SynCamError as error:
            state.error = error
        if state.error is not None:
            operator.report({"ERROR"}, state.error.sentence)
            return {"CANCELLED"}
    return {"FINISHED"}


class SYNCAM_OT_apply(_OnEndedJob, bpy.types.Operator):
    """Bring this job's clips into the scene, each to its own camera"""

    bl_idname = "syncam.apply"
    bl_label = "Apply"
    bl_options = {"REGISTER", "UNDO"}

    targets: EnumProperty(
        name="Put Results On", items=settings.TARGETS, options={"ENUM_FLAG", "SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        if record is None:
            return {"CANCELLED"}
        if not record.clips:
            self.report({"ERROR"}, "This job has no clips.")
            return {"CANCELLED"}
        state = session.get()
        targets = sorted(self.targets or context.scene.syncam.targets)
        if all(Path(clip.get("local", "")).is_file() for clip in record.clips):
            same = record.job_id in state.made_here
            try:
                notes = results.apply(record, context.scene, targets=targets, same_session=same)
            except SynCamError as error:
                self.report({"ERROR"}, error.sentence)
                return {"CANCELLED"}
            record.applied = True
            state.save(record)
            for note in notes:
                self.report({"WARNING"}, note)
            return {"FINISHED"}
        # Files that are gone come from the engine first.
        record.targets = targets
        adopt(state, record, context.scene)
        state.start_engine()
        state.land(record)
        return _finish(self, record)


class SYNCAM_OT_again(_OnEndedJob, bpy.types.Operator):
    """Run this job again, with its own cameras, prompt, settings and inputs"""

    bl_idname = "syncam.again"
    bl_label = "Run Again"
    bl_description = (
        "Run this job again with its own cameras, prompt and settings, and with the reference or "
        "the viewport renders that it started from. Renders that the engine has not kept are made "
        "anew from the scene as it is now"
    )

    new_seed: BoolProperty(name="New Seed", default=False, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        if record is None:
            return {"CANCELLED"}
        state = session.get()
        request = msgspec.convert(record.request, GenerateRequest)
        request.job_id = new_id()
        request.inputs = []
        if self.new_seed:
            request.seed = random.SystemRandom().randrange(2**31)
        rig = rig_from_dict(request.rig)
        again = JobRecord(
            job_id=request.job_id,
            created_unix_s=time.time(),
            blend=bpy.data.filepath,
            scene=context.scene.name,
            scene_uid=context.scene.session_uid,
            cameras=references_here(state, record, context.scene),
            request=msgspec.to_builtins(request),
            frame_start=record.frame_start,
            frame_step=record.frame_step,
            targets=list(record.targets),
            plate_distance=record.plate_distance,
            reference=record.reference,
            steps=request.steps,
        )
        try:
            task = generate_ops.prepare(
                state, context.scene.name, {}, rig, request, again, again=record
            )
            state.run(again, task, reads_scene=request.mode != "text")
        except (SynCamError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not bpy.app.background:
            return {"FINISHED"}
        finished = _finish(self, again)
        for notice in again.notices:
            self.report({"WARNING"}, notice)
        return finished if again.state == "done" else {"CANCELLED"}


class SYNCAM_OT_reveal(_OnEndedJob, bpy.types.Operator):
    """Show this job's files in the system's file browser"""

    bl_idname = "syncam.reveal"
    bl_label = "Reveal Files"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        if record is None:
            return {"CANCELLED"}
        folder = next(
            (Path(c["local"]).parent for c in record.clips if Path(c.get("local", "")).is_file()),
            None,
        )
        if folder is None:
            self.report({"ERROR"}, "This job's files are not here; apply it to fetch them.")
            return {"CANCELLED"}
        if not bpy.app.background:
            bpy.ops.wm.path_open(filepath=str(folder))
        self.report({"INFO"}, str(folder))
        return {"FINISHED"}


class SYNCAM_OT_forget(_OnEndedJob, bpy.types.Operator):
    """Take this job out of the history; clips beside the .blend stay"""

    bl_idname = "syncam.forget"
    bl_label = "Forget"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        if record is None:
            return {"CANCELLED"}
        if record.is_running:
            self.report({"ERROR"}, "The job is still running; cancel it first.")
            return {"CANCELLED"}
        session.get().forget(record.job_id)
        heartbeat.redraw()
        return {"FINISHED"}


class SYNCAM_OT_refetch(bpy.types.Operator):
    """Fetch clips of this scene again whose files are missing"""

    bl_idname = "syncam.refetch"
    bl_label = "Fetch Missing Clips"

    def execute(self, context: bpy.types.Context) -> set[str]:
        state = session.get()
        targets: dict[str, set[str]] = {}
        for image in missing_images():
            shown = targets.setdefault(image.get("syncam_job", ""), set())
            shown.add(image.get(plates.TARGET, "PLATES"))
        if not targets:
            self.report({"INFO"}, "No clip is missing.")
            return {"FINISHED"}
        state.start_engine()
        records = [state.records[job_id] for job_id in targets if job_id in state.records]
        if not records:
            self.report({"ERROR"}, "The missing clips' jobs are not in the history any more.")
            return {"CANCELLED"}
        for record in records:
            # What shows another job's clip by now keeps it.
            record.targets = sorted(targets[record.job_id])
            adopt(state, record, bpy.data.scenes.get(record.scene) or context.scene)
            state.land(record)
        outcomes = [_finish(self, record) for record in records]
        return {"CANCELLED"} if {"CANCELLED"} in outcomes else {"FINISHED"}


class SYNCAM_OT_show_clips(bpy.types.Operator):
    """Shade the 3-D viewports with materials, so that plates show their clips"""

    bl_idname = "syncam.show_clips"
    bl_label = "Show Clips in the Viewport"

    def execute(self, context: bpy.types.Context) -> set[str]:
        for area in context.screen.areas if context.screen else ():
            if area.type == "VIEW_3D":
                area.spaces.active.shading.type = "MATERIAL"
        return {"FINISHED"}


def references_here(
    state: session.Session, record: JobRecord, scene: bpy.types.Scene
) -> list[dict[str, Any]]:
    """Return a job's camera references with the ids that the cameras have in this session.

    Ids of another session name other objects here: such a job's cameras are found by their names.
    """
    is_ours = record.job_id in state.made_here
    found = [results.find_camera(scene, r, same_session=is_ours) for r in record.cameras]
    return [
        {**reference, "uid": thing.session_uid if thing is not None else 0}
        for reference, thing in zip(record.cameras, found, strict=True)
    ]


def adopt(state: session.Session, record: JobRecord, scene: bpy.types.Scene) -> None:
    """Make a job of the history one of the open file, to land in `scene`."""
    record.cameras = references_here(state, record, scene)
    record.scene, record.scene_uid = scene.name, scene.session_uid
    state.made_here.add(record.job_id)


def missing_images() -> list[bpy.types.Image]:
    """Return the movie datablocks whose clip is not on the disk."""
    return [
        image
        for image in bpy.data.images
        if image.library is None
        and image.source == "MOVIE"
        and image.get(plates.KEY)
        and not Path(bpy.path.abspath(image.filepath)).is_file()
    ]


CLASSES = (
    SYNCAM_OT_apply,
    SYNCAM_OT_again,
    SYNCAM_OT_reveal,
    SYNCAM_OT_forget,
    SYNCAM_OT_refetch,
    SYNCAM_OT_show_clips,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
