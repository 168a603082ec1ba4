# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the scene is outside the preset's envelope, kept up to date, and how it is mended.

The check reads the rig at the current frame, as it is evaluated already: it moves nothing.
"""

from __future__ import annotations

import math
import time
import traceback
from dataclasses import dataclass, field
from fractions import Fraction

import bpy
from bpy.app.handlers import persistent

from syncam_engine.link.envelope import Envelope, EnvelopeIssue, check_request, check_rig
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.rig import Rig

from . import (
    cameras,
    heartbeat,
    job_request,
    landing,
    lens,
    plates,
    results,
    rig_math,
    session,
    settings,
    tick_work,
)

LOOK_EVERY_S = 0.4


@dataclass
class Findings:
    """The last look at a scene."""

    issues: list[EnvelopeIssue] = field(default_factory=list)
    error: SynCamError | None = None
    views: int = 0
    fps: Fraction = Fraction(24)
    frame_step: int = 1

    def of_camera(self, name: str) -> list[EnvelopeIssue]:
        return [issue for issue in self.issues if issue.camera == name]


_findings: dict[str, Findings] = {}
_is_stale = True


def findings(scene: bpy.types.Scene) -> Findings:
    """Return the last look at a scene; looks are made by the timer, not by drawing."""
    return _findings.get(scene.name, Findings())


@dataclass
class _Asked:
    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    steps: int


def refresh(scene: bpy.types.Scene) -> None:
    """Look at the scene anew."""
    own, state, found = scene.syncam, session.get(), Findings()
    _findings[scene.name] = found
    envelope = state.envelope_or_none(own.preset)
    try:
        used, anchor = job_request.choose_cameras(scene, None)
        found.views = len(used)
        width, height = job_request.parse_size(own.size)
        view_layer = scene.view_layers[0]
        rig = cameras.read_rig(scene, view_layer, used, anchor=anchor)
        fps = cameras.scene_fps(scene)
        found.frame_step = job_request.step_of(scene, envelope)
        found.fps = fps / found.frame_step
        if envelope is None:
            return
        seen = job_request.fitted(rig, width, height, own.fit_rule.lower())
        # An empty prompt is no fault before the button is pressed.
        asked = _Asked(own.prompt or "-", own.negative_prompt, width, height, own.frames, own.steps)
        found.issues = check_request(asked, envelope) + check_rig(seen, envelope)
    except SynCamError as error:
        found.error = error


def mend(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    code: str,
    camera: str,
    nearest: str,
    envelope: Envelope | None,
) -> bool:
    """Do what an issue's button says; False for one that has no remedy here.

    Raises SynCamError when the scene cannot be read.
    """
    own = scene.syncam
    if code == "frames.impossible":
        own.frames = int(nearest)
        return True
    if code == "steps.impossible":
        own.steps = int(nearest)
        return True
    if code == "size.impossible":
        own.size = nearest
        return True
    if code in ("rig.empty",):
        settings.sync_rig(scene)
        for item in own.rig:
            item.use = True
        return True
    settings.sync_rig(scene)
    used, anchor = job_request.choose_cameras(scene, None)
    if code == "camera.exclude" or code in (
        "camera.orthographic",
        "camera.panoramic",
        "camera.custom",
    ):
        return _exclude(scene, [camera])
    rig = cameras.read_rig(scene, view_layer, used, anchor=anchor)
    if code in ("rig.views", "rig.views_untrained") and envelope is not None:
        most = min(envelope.trained_views, envelope.views[1])
        kept = rig_math.nearest_to_anchor(rig, most)
        return _exclude(scene, [c.name for c in rig.cameras if c.name not in kept])
    if code in ("camera.azimuth_untrained", "camera.relative_elevation_untrained"):
        own.anchor = used[rig_math.best_anchor(rig)]
        return True
    index = next((i for i, c in enumerate(rig.cameras) if c.name == camera), None)
    if index is None:
        return False
    if code == "camera.lens_untrained":
        return _match_lens(scene, used[index], rig, index, float(nearest))
    if code == "camera.distance_untrained":
        return _move(scene, used[index], rig, index, float(nearest))
    if code.startswith("camera."):
        return _exclude(scene, [camera])
    return False


def _exclude(scene: bpy.types.Scene, names: list[str]) -> bool:
    for item in scene.syncam.rig:
        if item.camera and cameras.rig_name(item.camera) in names:
            item.use = False
    return True


def _editable(thing: bpy.types.Object, owner: bpy.types.ID) -> None:
    if owner.library is not None or not owner.is_editable:
        raise SynCamError(
            "camera.linked",
            f"Camera {thing.name!r} is linked from another file and cannot be changed here; "
            "exclude it, or make a library override.",
            value=thing.name,
        )


def _match_lens(
    scene: bpy.types.Scene, thing: bpy.types.Object, rig: Rig, index: int, hfov_deg: float
) -> bool:
    _editable(thing, thing.data)
    own = scene.syncam
    width, height = job_request.parse_size(own.size)
    fit = fit_camera(rig.cameras[index], width, height, own.fit_rule.lower())
    frame = cameras.picture_frame(scene)
    # The model's picture in pixels of the camera's own: a crop sees less, bars see more.
    share = rig.cameras[index].K_at(0)[0][0] / fit.camera.K_at(0)[0][0] * width / frame.width_px
    thing.data.lens = lens.focal_for_hfov_mm(
        hfov_deg, cameras.lens_of_camera(thing.data), frame, share
    )
    return True


def _move(
    scene: bpy.types.Scene, thing: bpy.types.Object, rig: Rig, index: int, distance_m: float
) -> bool:
    """Move a camera along the line to the rig's centre until it is at the distance."""
    _editable(thing, thing)
    centre = rig.centre_m()
    if centre is None:
        return False
    unit_m = scene.unit_settings.scale_length
    matrix = thing.matrix_world.copy()
    eye = [x * unit_m for x in matrix.translation]
    away = math.dist(eye, centre)
    if away < 1e-6:
        return False
    matrix.translation = [
        (c + (e - c) * distance_m / away) / unit_m for e, c in zip(eye, centre, strict=True)
    ]
    thing.matrix_world = matrix
    return True


@persistent
def _scene_changed(_scene, graph) -> None:
    global _is_stale
    if (
        graph.id_type_updated("OBJECT")
        or graph.id_type_updated("CAMERA")
        or (graph.id_type_updated("SCENE"))
    ):
        _is_stale = True


_looked_at: tuple = ()


def _watch() -> float:
    """A timer: look again at the scene that is shown when it, the engine or settings changed.

    Blender drops a timer that raises: what a look stumbles over is printed, and it looks again.
    """
    try:
        return _look()
    except tick_work.FAULTS:
        traceback.print_exc()
        return 10 * LOOK_EVERY_S


def _look() -> float:
    global _is_stale, _looked_at
    scene = bpy.context.scene
    if scene is None or scene.get("syncam_stage"):
        return LOOK_EVERY_S
    own, state = scene.syncam, session.get()
    now = (
        scene.name,
        scene.frame_current,
        own.preset,
        own.size,
        own.frames,
        own.steps,
        own.fit_rule,
        own.frame_step,
        len(own.prompt),
        len(own.negative_prompt),
        tuple(item.use for item in own.rig),
        own.anchor.name if own.anchor else "",
        state.client.hello.instance if state.client and state.client.hello else "",
        scene.view_settings.view_transform,
    )
    if not _is_stale and now == _looked_at:
        return LOOK_EVERY_S
    started_s = time.perf_counter()
    _is_stale, _looked_at = False, now
    settings.sync_rig(scene)
    refresh(scene)
    plates.keep_unaltered(scene)
    if landing.is_quiet():
        for note in results.follow_cameras(scene):
            state.notice = note
    else:
        _is_stale = True
    heartbeat.redraw()
    # A heavy scene is looked at less often.
    return max(LOOK_EVERY_S, 20 * (time.perf_counter() - started_s))


@persistent
def _render_begins(scene, _graph=None) -> None:
    """Without a window there is no timer, and a render would show what a deleted camera left."""
    for note in results.follow_cameras(scene):
        print(f"SynCam: {note}")


def register() -> None:
    if bpy.app.background:
        bpy.app.handlers.render_init.append(_render_begins)
    bpy.app.handlers.depsgraph_update_post.append(_scene_changed)
    if not bpy.app.background:
        bpy.app.timers.register(_watch, first_interval=0.3, persistent=True)


def unregister() -> None:
    _findings.clear()
    if _render_begins in bpy.app.handlers.render_init:
        bpy.app.handlers.render_init.remove(_render_begins)
    if _scene_changed in bpy.app.handlers.depsgraph_update_post:
        bpy.app.handlers.depsgraph_update_post.remove(_scene_changed)
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
