# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job is sent with: viewport renders, a reference, or what the job that runs again had.

Uses bpy. The engine keeps what it was sent by content for a week after the last job that used it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from syncam_engine.link import png
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_rig
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig

from . import job_request, landing, references, viewport
from .jobs import JobRecord

if TYPE_CHECKING:
    from .session import Session

RENDERED_ANEW = (
    "The viewport renders that this job started from are gone; the viewports are rendered anew, as "
    "the scene is now."
)


def clips_of(
    scene_name: str,
    values: dict[str, Any],
    rig: Rig,
    request: GenerateRequest,
    record: JobRecord,
    again: JobRecord | None,
) -> Iterator[None]:
    """Make a job's inputs, a step a tick, and return them. Raises SynCamError.

    Of a job that runs again they are its own: nothing is returned where the engine may have kept
    them, and `request.inputs` names them.
    """
    if request.mode == "text":
        return []
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        raise SynCamError("scene.gone", f"The scene {scene_name!r} was removed meanwhile.")
    if request.mode == "previz":
        request.inputs = list(again.request.get("inputs", ())) if again is not None else []
        if request.inputs:
            return []
        return (yield from viewport_clips(scene, rig, request, record, list(rig.cameras)))
    if again is not None:
        return (yield from references.clips_again(again, request))
    source = values.get("reference_source", scene.syncam.reference_source)
    if source == "VIEWPORT":
        return (yield from viewport_clips(scene, rig, request, record, [rig.anchor_camera]))
    clip = job_request.reference_clip(scene, values, source)
    record.reference = str(clip) if isinstance(clip, Path) else ""
    return [clip]


def render_anew(
    state: Session, scene_name: str, rig: Rig, request: GenerateRequest, record: JobRecord
) -> Iterator[None]:
    """Send a previz job that runs again with new viewport renders: the engine lacks its own."""
    state.notice = RENDERED_ANEW
    record.notices.append(RENDERED_ANEW)
    clips = yield from clips_of(scene_name, {}, rig, request, record, None)
    state.send(record, request, clips)


def viewport_clips(
    scene: bpy.types.Scene, rig: Rig, request: GenerateRequest, record: JobRecord, wanted: list
) -> Iterator[None]:
    """Render the wanted cameras' viewports, a picture a tick; return one clip each."""
    seen = fit_rig(
        replace(rig, cameras=tuple(wanted), anchor=0),
        request.width,
        request.height,
        request.fit_rule,
    )
    frames = [int(n) for n in request.scene_frames]
    record.phase, record.step, record.steps = "views", 0, len(frames) * len(wanted)
    pictures: list[list[bytes]] = []
    for made in viewport.render_views(scene, seen, frames):
        if isinstance(made, int):
            record.step = made
            yield
            while not landing.is_quiet():
                yield
        else:
            pictures = made
    record.step, record.steps = 0, request.steps
    fps = Fraction(*request.fps)
    size = request.width, request.height
    return [png.clip([png.picture(rgb8, *size) for rgb8 in view], fps) for view in pictures]
