# SPDX-License-Identifier: GPL-3.0-or-later
"""`syncam.generate` and what acts on a running job: cancel, pause, resume, reorder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from syncam_engine.link.envelope import Envelope, said_once
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig

from . import (
    compat,
    heartbeat,
    job_inputs,
    job_request,
    landing,
    preferences,
    session,
    settings,
)
from .jobs import JobRecord
from .waiting import settle

WAIT_FOR_ENGINE_S = 90.0
OVER_TIME = ("camera.moving_untrained", "camera.zoom_untrained")
"""What the panel's look at one frame cannot see: said when a job is asked for."""


def read_later(
    state: session.Session,
    scene_name: str,
    overrides: dict[str, Any],
    chosen: list[str] | None,
    record: JobRecord,
    variation: int,
) -> Iterator[None]:
    """Like `prepare`, for a job asked for before the engine told what its presets take.

    The cameras are read anew once it has: their frames follow from the preset's speed.
    """
    yield from wait_for_engine(state)
    # Reading moves the scene's frame, which a render that began meanwhile counts with.
    while not landing.is_quiet():
        yield
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        raise SynCamError("scene.gone", f"The scene {scene_name!r} was removed meanwhile.")
    rig, request, fresh = job_request.build(
        scene,
        scene.view_layers[0],
        overrides={**overrides, "seed": record.seed},
        camera_names=chosen,
        envelope=checked_envelope_or_none(state, record.request["preset"]),
        variation=variation,
    )
    request.job_id = record.job_id
    record.request = {**fresh.request, "job_id": record.job_id}
    record.cameras, record.frame_start = fresh.cameras, fresh.frame_start
    record.frame_step, record.steps = fresh.frame_step, fresh.steps
    yield from prepare(state, scene_name, overrides, rig, request, record)


def prepare(
    state: session.Session,
    scene_name: str,
    overrides: dict[str, Any],
    rig: Rig,
    request: GenerateRequest,
    record: JobRecord,
    again: JobRecord | None = None,
) -> Iterator[None]:
    """Wait for the engine, check what it takes, make the inputs, send. A step a tick.

    `again` is the job that runs again: a reference or viewport renders are then its own.
    """
    yield from wait_for_engine(state)
    envelope = checked_envelope_or_none(state, request.preset)
    if envelope is not None:
        issues = job_request.issues_of(rig, request, envelope)
        for issue in issues:
            if issue.kind == "refuse":
                raise issue.to_error()
        said = said_once(issues)
        record.notices += [sentence for sentence in said if sentence not in record.notices]
        state.notice = " ".join(said_once(i for i in issues if i.code in OVER_TIME)) or state.notice
    clips = yield from job_inputs.clips_of(scene_name, overrides, rig, request, record, again)
    instead = None
    if request.mode == "previz" and not clips:
        instead = job_inputs.render_anew(state, scene_name, rig, request, record)
    state.send(record, request, clips, instead)


def checked_envelope_or_none(state: session.Session, preset: str) -> Envelope | None:
    """Return a preset's envelope, None before the engine told. Raises SynCamError for a preset that
    the engine lacks."""
    envelope = state.envelope_or_none(preset)
    if preset and envelope is None and state.presets():
        names = ", ".join(info.name for info in state.presets())
        raise SynCamError(
            "preset.unknown",
            f"The engine has no preset {preset!r}; it has {names}.",
            value=preset,
            nearest=state.presets()[0].name,
        )
    return envelope


def wait_for_engine(state: session.Session) -> Iterator[None]:
    """Yield until the engine answers. Raises SynCamError when it cannot be had."""
    deadline_s = time.monotonic() + WAIT_FOR_ENGINE_S
    own = preferences.get()
    if own is None or own.start_engine:
        state.start_engine()
    if state.client is None and state.error is not None:
        # An address or a key that is none, in the preferences.
        raise state.error
    while state.client is None or state.client.hello is None or state.client.state == "lost":
        status = state.engine
        if status.state in ("not found", "version mismatch", "refused") or (
            status.state == "lost" and state.client is not None and state.client.hello is None
        ):
            raise SynCamError(f"engine.{status.state}", status.sentence, fix=status.fix)
        if time.monotonic() > deadline_s:
            raise SynCamError(
                "engine.silent",
                f"No engine answered within {WAIT_FOR_ENGINE_S:g} s; its log is "
                f"{status.log_path or 'not written yet'}.",
                fix="Open the log",
            )
        yield


class SYNCAM_OT_generate(bpy.types.Operator):
    """Generate one clip for each camera of the rig"""

    bl_idname = "syncam.generate"
    bl_label = "Generate from Cameras"
    bl_options = {"REGISTER"}

    scene: StringProperty(name="Scene", description="Empty: the current one")
    cameras: StringProperty(
        name="Cameras", description="Names, one a line, in order; empty: the ticked ones"
    )
    prompt: StringProperty(name="Prompt")
    negative_prompt: StringProperty(name="Negative Prompt")
    seed: IntProperty(name="Seed")
    variations: IntProperty(name="Variations", default=1)
    steps: IntProperty(name="Steps", default=10)
    guidance: FloatProperty(name="Guidance", default=0.0)
    size: StringProperty(name="Size")
    frames: IntProperty(name="Pictures", default=17)
    frame_start: IntProperty(name="First Frame", default=1)
    frame_step: IntProperty(name="Every", default=0)
    mode: EnumProperty(name="Mode", items=settings.MODES)
    preset: StringProperty(name="Preset")
    previz_strength: FloatProperty(name="Strength", default=0.4)
    reference_file: StringProperty(name="Movie", subtype="FILE_PATH", options=compat.RELATIVE_PATHS)
    fit_rule: EnumProperty(name="Fit", items=settings.FIT_RULES)
    targets: EnumProperty(
        name="Put Results On", items=settings.TARGETS, options={"ENUM_FLAG"}, default={"PLATES"}
    )
    wait: EnumProperty(
        name="Wait",
        description="Return when the clips are in the scene, or at once",
        items=(
            ("AUTO", "Auto", "Wait in background mode only"),
            ("YES", "Yes", "Wait for the clips"),
            ("NO", "No", "Return at once"),
        ),
        default="AUTO",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = bpy.data.scenes.get(self.scene) if self.scene else context.scene
        if scene is None:
            names = get_close_matches(self.scene, bpy.data.scenes.keys(), 1, cutoff=0.0)
            nearest = names[0] if names else context.scene.name
            self.report({"ERROR"}, f"There is no scene {self.scene!r}; the nearest is {nearest!r}.")
            return {"CANCELLED"}
        if scene.library is not None:
            self.report(
                {"ERROR"},
                f"The scene {scene.name!r} is linked from another file and cannot be changed here; "
                "generate in that file, or make a library override.",
            )
            return {"CANCELLED"}
        state = session.get()
        names = (*job_request.OVERRIDES, "frame_start")
        overrides = {
            name: getattr(self, name) for name in names if self.properties.is_property_set(name)
        }
        chosen = [line.strip() for line in self.cameras.splitlines() if line.strip()] or None
        own = scene.syncam
        variations = (
            self.variations if self.properties.is_property_set("variations") else own.variations
        )
        view_layer = context.view_layer if scene == context.scene else scene.view_layers[0]
        started: list[JobRecord] = []
        try:
            settings.check_range("variations", variations, 1, 16)
            envelope = checked_envelope_or_none(state, overrides.get("preset", own.preset))
            rig = None
            for variation in range(variations):
                rig, request, record = job_request.build(
                    scene,
                    view_layer,
                    overrides=overrides,
                    camera_names=chosen,
                    envelope=envelope,
                    variation=variation,
                    rig=rig,
                )
                job_request.check_inputs(scene, request, overrides)
                if envelope is None:
                    task = read_later(state, scene.name, overrides, chosen, record, variation)
                else:
                    task = prepare(state, scene.name, overrides, rig, request, record)
                reads_scene = envelope is None or request.mode != "text"
                state.run(record, task, reads_scene=reads_scene)
                started.append(record)
        except SynCamError as error:
            state.error = error
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        except OSError as error:
            # The record is written before the job is sent; without a place for it nothing is.
            folder = state.store.folder
            said = f"The job cannot be written down: {error.strerror} ({folder})."
            state.error = SynCamError("jobs.folder", said, fix="Free disk space")
            self.report({"ERROR"}, said)
            return {"CANCELLED"}
        if started and own.new_seed and "seed" not in overrides:
            own.seed = started[-1].seed
        if self.wait == "NO" or (self.wait == "AUTO" and not bpy.app.background):
            return {"FINISHED"}
        return self._wait(state, started)

    def _wait(self, state: session.Session, started: list[JobRecord]) -> set[str]:
        """Keep ticking until every job ended and its clips are in the scene."""
        try:
            settle(state, [record.job_id for record in started])
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        for record in started:
            for notice in record.notices:
                self.report({"WARNING"}, notice)
        failed = [record for record in started if record.state != "done" or not record.applied]
        for record in failed:
            said = record.sentence or (state.error.sentence if state.error else "No clips came.")
            self.report({"ERROR"}, said)
        return {"CANCELLED"} if failed else {"FINISHED"}


class _OnJob:
    """Operators on one job; without an id the one that runs, or the newest."""

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def record_or_report(self) -> JobRecord | None:
        state = session.get()
        running = state.running()
        record = state.records.get(self.job_id) if self.job_id else (running or [None])[0]
        if record is None:
            self.report(
                {"ERROR"},
                f"There is no job {self.job_id!r}." if self.job_id else "No job is running.",
            )
        return record


class SYNCAM_OT_cancel(_OnJob, bpy.types.Operator):
    """Stop this job, within one step"""

    bl_idname = "syncam.cancel"
    bl_label = "Cancel"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        if record is None:
            return {"CANCELLED"}
        session.get().cancel(record.job_id)
        heartbeat.redraw()
        return {"FINISHED"}


class SYNCAM_OT_pause(_OnJob, bpy.types.Operator):
    """Hold this waiting job, or let it go on"""

    bl_idname = "syncam.pause"
    bl_label = "Pause or Resume"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        client = session.get().client
        if record is None:
            return {"CANCELLED"}
        if client is None:
            self.report({"ERROR"}, "No engine is connected.")
            return {"CANCELLED"}
        if record.state not in ("queued", "paused"):
            self.report({"ERROR"}, "Only a waiting job can be paused; cancel a running one.")
            return {"CANCELLED"}
        (client.resume if record.state == "paused" else client.pause)(record.job_id)
        return {"FINISHED"}


class SYNCAM_OT_move_job(_OnJob, bpy.types.Operator):
    """Let this waiting job run earlier or later"""

    bl_idname = "syncam.move_job"
    bl_label = "Move in the Queue"
    direction: EnumProperty(items=(("UP", "Earlier", ""), ("DOWN", "Later", "")))

    def execute(self, _context: bpy.types.Context) -> set[str]:
        record = self.record_or_report()
        state = session.get()
        if record is None:
            return {"CANCELLED"}
        if state.client is None:
            self.report({"ERROR"}, "No engine is connected.")
            return {"CANCELLED"}
        waiting = waiting_jobs(state)
        if record not in waiting:
            self.report({"ERROR"}, "Only a waiting job can be moved.")
            return {"CANCELLED"}
        at = waiting.index(record)
        to = at - 1 if self.direction == "UP" else at + 2
        if to < 0 or to > len(waiting):
            return {"CANCELLED"}
        before = waiting[to].job_id if to < len(waiting) else ""
        state.client.reorder(record.job_id, before)
        return {"FINISHED"}


def waiting_jobs(state: session.Session) -> list[JobRecord]:
    """Return the jobs that wait, in the order in which they will run."""
    waiting = [r for r in state.running() if r.state in ("queued", "paused")]
    return sorted(waiting, key=lambda r: (r.position, r.created_unix_s))


CLASSES = (SYNCAM_OT_generate, SYNCAM_OT_cancel, SYNCAM_OT_pause, SYNCAM_OT_move_job)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
