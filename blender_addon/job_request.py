# SPDX-License-Identifier: GPL-3.0-or-later
"""From the scene and its settings to a rig, a checked request, and the job's record. Uses bpy."""

from __future__ import annotations

import random
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import msgspec

from syncam_engine.link.envelope import Envelope, EnvelopeIssue, check_request, check_rig
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_rig
from syncam_engine.link.limits import MAX_PROMPT_CHARS
from syncam_engine.link.messages import GenerateRequest, new_id
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import rig_to_dict

from . import cameras, settings, timing
from .jobs import JobRecord

OVERRIDES = (
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance",
    "size",
    "frames",
    "frame_step",
    "mode",
    "preset",
    "previz_strength",
    "reference_file",
    "fit_rule",
    "targets",
)
"""Settings that the operator's keywords may replace for one run."""


RANGES = {
    "seed": (0, 2**31 - 1),
    "guidance": (0.0, 100.0),
    "frame_step": (0, 100),
    "previz_strength": (0.05, 1.0),
}


def effective(scene: bpy.types.Scene, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of one run: the scene's, with the overrides in their place."""
    own = scene.syncam
    values = {name: getattr(own, name) for name in OVERRIDES}
    values["frame_start"] = settings.first_frame(scene)
    values["reference_source"] = own.reference_source
    values.update(overrides)
    if "reference_file" in overrides:
        values["reference_source"] = "FILE"
    return values


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of "WIDTHxHEIGHT". Raises SynCamError."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*", text)
    if match is None:
        raise SynCamError(
            "size.impossible",
            f"The size {text!r} is not WIDTHxHEIGHT; 160x96 is.",
            value=text,
            nearest="160x96",
        )
    return int(match[1]), int(match[2])


def choose_cameras(
    scene: bpy.types.Scene, names: list[str] | None
) -> tuple[list[bpy.types.Object], int]:
    """Return the cameras of the run and the anchor's place. Raises SynCamError for a wrong name."""
    if names is None:
        used = settings.used_cameras(scene)
        if not used and cameras.scene_cameras(scene):
            raise SynCamError(
                "rig.empty",
                f"No camera of the scene {scene.name!r} is ticked; tick at least one.",
                value=0,
                nearest=1,
                fix="Use all cameras",
            )
    else:
        found = [cameras.find_camera(scene, name) for name in names]
        for name, thing in zip(names, found, strict=True):
            if thing is None:
                present = map(cameras.rig_name, cameras.scene_cameras(scene))
                known = ", ".join(map(repr, present)) or "none"
                raise SynCamError(
                    "rig.camera_unknown",
                    f"The scene {scene.name!r} has no camera {name!r}; it has {known}.",
                    value=name,
                )
        used = [thing for thing in found if thing is not None]
    return used, settings.anchor_index(scene, used)


def issues_of(rig: Rig, request: GenerateRequest, envelope: Envelope) -> list[EnvelopeIssue]:
    """Return all that is outside the preset's envelope, refusals first."""
    seen = fit_rig(rig, request.width, request.height, request.fit_rule)
    found = check_request(request, envelope) + check_rig(seen, envelope)
    return sorted(found, key=lambda issue: issue.kind != "refuse")


def step_of(scene: bpy.types.Scene, envelope: Envelope | None) -> int:
    """Return the scene frames from one picture to the next."""
    return timing.frame_step(
        scene.syncam.frame_step, cameras.scene_fps(scene), envelope.fps if envelope else None
    )


def frames_of(scene: bpy.types.Scene, envelope: Envelope | None) -> list[int]:
    """Return the scene frame of each picture that the settings ask for."""
    return timing.scene_frames(
        settings.first_frame(scene), step_of(scene, envelope), scene.syncam.frames
    )


def build(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    *,
    overrides: dict[str, Any],
    camera_names: list[str] | None,
    envelope: Envelope | None,
    variation: int = 0,
    rig: Rig | None = None,
) -> tuple[Rig, GenerateRequest, JobRecord]:
    """Read the scene and return the rig, the request and its record.

    `rig` is what was read for another variation: reading evaluates the scene once a picture.
    Raises SynCamError with the camera's or field's name for what cannot be asked.
    """
    values = effective(scene, overrides)
    used, anchor = choose_cameras(scene, camera_names)
    for thing in used:
        cameras.check_kind(thing)
    for name, (low, high) in RANGES.items():
        settings.check_range(name, values[name], low, high)
    check_screens(scene, used, values["targets"])
    width, height = parse_size(values["size"])
    for name in ("prompt", "negative_prompt"):
        if len(values[name]) > MAX_PROMPT_CHARS:
            raise SynCamError(
                "prompt.long",
                f"The {name.replace('_', ' ')} has {len(values[name])} characters; "
                f"{MAX_PROMPT_CHARS} are the most.",
                value=len(values[name]),
                nearest=MAX_PROMPT_CHARS,
            )
    if not values["prompt"].strip():
        raise SynCamError(
            "prompt.empty",
            "The prompt is empty; say in a few words what happens.",
            value="",
            fix="Type a prompt",
        )
    pictures = values["frames"]
    if envelope is None:
        # Before the engine has told, only what no preset can do is refused.
        nearest = max(1, 4 * round((pictures - 1) / 4) + 1)
        if pictures < 1 or pictures > 1001 or (pictures - 1) % 4:
            raise SynCamError(
                "frames.impossible",
                f"A clip of {pictures} frames is impossible; the nearest is {min(nearest, 1001)}.",
                value=pictures,
                nearest=min(nearest, 1001),
            )
    elif pictures not in envelope.frames:
        nearest = min(envelope.frames, key=lambda n: (abs(n - pictures), n))
        raise SynCamError(
            "frames.impossible",
            f"A clip of {pictures} frames is not one of this preset's; the nearest is {nearest}.",
            value=pictures,
            nearest=nearest,
            fix=f"Use {nearest} frames",
        )
    fps = cameras.scene_fps(scene)
    step = timing.frame_step(values["frame_step"], fps, envelope.fps if envelope else None)
    shown = timing.scene_frames(values["frame_start"], step, pictures)
    if rig is None:
        read = cameras.read_rig(scene, view_layer, used, anchor=anchor, frames=shown)
        rig = replace(read, fps=fps / step)
    seed = values["seed"]
    if scene.syncam.new_seed and "seed" not in overrides:
        seed = random.SystemRandom().randrange(2**31)
    request = GenerateRequest(
        job_id=new_id(),
        rig=rig_to_dict(rig),
        prompt=values["prompt"],
        negative_prompt=values["negative_prompt"] or None,
        seed=seed,
        variation=variation,
        steps=values["steps"],
        guidance_scale=values["guidance"] or None,
        width=width,
        height=height,
        frames=pictures,
        fps=(rig.fps.numerator, rig.fps.denominator),
        scene_frames=[float(n) for n in shown],
        mode=values["mode"].lower(),
        preset=values["preset"],
        previz_strength=values["previz_strength"],
        fit_rule=values["fit_rule"].lower(),
    )
    if envelope is not None:
        for issue in issues_of(rig, request, envelope):
            if issue.kind == "refuse":
                raise issue.to_error()
    record = JobRecord(
        job_id=request.job_id,
        created_unix_s=time.time(),
        blend=bpy.data.filepath,
        scene=scene.name,
        scene_uid=scene.session_uid,
        cameras=[
            {
                "name": camera.name,
                "object": thing.name_full,
                "uid": thing.session_uid,
                "screen": screen.name if (screen := settings.screen_of(scene, thing)) else "",
            }
            for camera, thing in zip(rig.cameras, used, strict=True)
        ],
        request=msgspec.to_builtins(request),
        frame_start=values["frame_start"],
        frame_step=step,
        targets=sorted(values["targets"]),
        plate_distance=scene.syncam.plate_distance_m,
        steps=request.steps,
    )
    return rig, request, record


def check_screens(scene: bpy.types.Scene, used: list[bpy.types.Object], targets: set[str]) -> None:
    """Refuse clips on materials where no camera has an object to show its clip. Raises
    SynCamError."""
    if "MATERIAL" not in targets or any(settings.screen_of(scene, thing) for thing in used):
        return
    names = ", ".join(repr(cameras.rig_name(thing)) for thing in used)
    raise SynCamError(
        "targets.material",
        f"The target Material has no object to show a clip on: none is chosen for {names}. Choose "
        "one in the rig's box (in a script: syncam.rig_screen).",
        value="MATERIAL",
        fix="Choose an object",
    )


def check_inputs(
    scene: bpy.types.Scene, request: GenerateRequest, overrides: dict[str, Any]
) -> None:
    """Refuse a reference that is not there, before anything is started. Raises SynCamError."""
    if request.mode != "reference":
        return
    values = effective(scene, overrides)
    if values["reference_source"] != "VIEWPORT":
        reference_clip(scene, values, values["reference_source"])


def reference_clip(scene: bpy.types.Scene, values: dict[str, Any], source: str) -> Path | bytes:
    """Return the reference's file, or the bytes of a picture that is only in the .blend."""
    if source == "FILE":
        text = values.get("reference_file") or scene.syncam.reference_file
        path = Path(bpy.path.abspath(text)) if text else None
        if path is None or not path.is_file():
            raise SynCamError(
                "reference.file",
                f"The reference {text!r} is not a file; choose a movie."
                if text
                else "No reference is chosen; choose a movie.",
                value=text,
                fix="Choose a movie",
            )
        return path
    image = scene.syncam.reference_image
    if image is None:
        raise SynCamError(
            "reference.image", "No reference image is chosen; choose one.", fix="Choose an image"
        )
    path = Path(bpy.path.abspath(image.filepath)) if image.filepath else None
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    if path is not None and path.is_file():
        return path
    raise SynCamError(
        "reference.image",
        f"The image {image.name!r} has no file and is not packed; save or pack it.",
        value=image.name,
        fix="Pack the image",
    )
