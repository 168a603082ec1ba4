# SPDX-License-Identifier: Apache-2.0
"""From the panel's fields and a rig to a request, checked against the preset's envelope."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

from syncam_engine.link import rig_json
from syncam_engine.link.engine_facts import PresetInfo
from syncam_engine.link.envelope import (
    Envelope,
    EnvelopeIssue,
    check_request,
    check_rig,
    said_once,
)
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig import Rig

from .panel_state import MODES, PanelFields

NO_PRESET = (17, Fraction(15), (1280, 720))
"""Pictures, rate and size for a rig that is written to a file while no engine answers."""


def choose_preset(presets: list[PresetInfo], wanted: str) -> PresetInfo:
    """Return the preset of this name, or the engine's default. Raises SynCamError "preset.*"."""
    if wanted:
        for preset in presets:
            if preset.name == wanted:
                return preset
        names = ", ".join(preset.name for preset in presets)
        raise SynCamError(
            "preset.unknown",
            f"The engine has no preset {wanted!r}; it has {names or 'none'}.",
            value=wanted,
            nearest=presets[0].name if presets else None,
        )
    usable = [preset for preset in presets if preset.available] or presets
    if not usable:
        raise SynCamError("preset.none", "The engine has no preset.")
    return next((preset for preset in usable if preset.default), usable[0])


def pictures_of(preset: PresetInfo) -> tuple[int, Fraction, tuple[int, int]]:
    """Return the preset's own picture count, frames a second and WIDTH, HEIGHT."""
    defaults = preset.defaults
    fps = defaults.get("fps", 15)
    fps = Fraction(*fps) if isinstance(fps, (list, tuple)) else Fraction(fps)
    return int(defaults["frames"]), fps, (int(defaults["width"]), int(defaults["height"]))


def whole_number(text: str, what: str) -> int | None:
    """Return the number in a field, None for an empty one. Raises SynCamError "panel.number"."""
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise SynCamError(
            "panel.number",
            f"The {what} is {text!r}; it must be a whole number or empty.",
            value=text,
            fix=f"Empty the {what}",
        ) from None


def distance_of(fields: PanelFields) -> float:
    """Return the planes' distance in metres. Raises SynCamError "panel.number"."""
    try:
        distance = float(fields.distance_m)
    except ValueError:
        distance = 0.0
    if not 0.0 < distance < 10_000.0:
        raise SynCamError(
            "panel.number",
            f"The distance of the planes is {fields.distance_m!r}; it must be metres above zero.",
            value=fields.distance_m,
            nearest=1.0,
            fix="Use 1",
        )
    return distance


def previz_strength_of(fields: PanelFields) -> float | None:
    """Return how far a previz job may leave its clips, None for the preset's own way. Raises
    SynCamError "panel.number"."""
    if not fields.previz_strength.strip():
        return None
    try:
        strength = float(fields.previz_strength)
    except ValueError:
        strength = 0.0
    if not 0.0 < strength <= 1.0:
        raise SynCamError(
            "panel.number",
            f"The previz strength is {fields.previz_strength!r}; it must be above 0 and at most 1.",
            value=fields.previz_strength,
            nearest=1.0 if strength > 1.0 else 0.05,
            fix="Empty the previz strength",
        )
    return strength


def check_fields(fields: PanelFields) -> None:
    """Raise SynCamError for fields that no job can be made of."""
    whole_number(fields.seed, "seed")
    whole_number(fields.steps, "steps")
    whole_number(fields.first_frame, "first frame")
    distance_of(fields)
    previz_strength_of(fields)
    if not fields.prompt.strip():
        raise SynCamError(
            "prompt.empty",
            "The prompt is empty; say in a few words what happens.",
            value="",
            fix="Type a prompt",
        )
    if fields.mode not in MODES:
        raise SynCamError(
            "panel.mode",
            f"The mode is {fields.mode!r}; it must be one of {', '.join(MODES)}.",
            value=fields.mode,
            nearest="text",
        )
    if not fields.take.strip():
        raise SynCamError("panel.take", "The take has no name.", value="", nearest="Take1")


def make_request(
    fields: PanelFields, rig: Rig, scene_frames: list[float], preset: PresetInfo
) -> GenerateRequest:
    """Return the job; what the panel leaves open is the preset's own, the seed is drawn."""
    pictures, fps, (width, height) = pictures_of(preset)
    seed = whole_number(fields.seed, "seed")
    return GenerateRequest(
        rig=rig_json.rig_to_dict(rig),
        prompt=fields.prompt.strip(),
        negative_prompt=fields.negative_prompt.strip(),
        seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
        steps=whole_number(fields.steps, "steps"),
        width=width,
        height=height,
        frames=pictures,
        fps=(fps.numerator, fps.denominator),
        scene_frames=scene_frames,
        mode=fields.mode,
        preset=preset.name,
        fit_rule=fields.fit_rule,
        previz_strength=previz_strength_of(fields),
    )


def fitted_rig(request: GenerateRequest, rig: Rig) -> Rig:
    """Return the rig at the size of the request's clips: what the model is told."""
    return replace(
        rig,
        cameras=tuple(
            fit_camera(camera, request.width, request.height, request.fit_rule).camera
            for camera in rig.cameras
        ),
    )


def check(request: GenerateRequest, rig: Rig, preset: PresetInfo) -> list[str]:
    """Return what is outside the preset's training, in sentences. Raises SynCamError."""
    if not preset.envelope:
        return []
    envelope = Envelope.from_dict(preset.envelope)
    numbers = SimpleNamespace(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width,
        height=request.height,
        frames=request.frames,
        steps=preset.defaults.get("steps", envelope.steps[0])
        if request.steps is None
        else request.steps,
    )
    issues: list[EnvelopeIssue] = check_request(numbers, envelope) + check_rig(
        fitted_rig(request, rig), envelope
    )
    for issue in issues:
        if issue.kind == "refuse":
            raise issue.to_error()
    return said_once(issues)


def given_clips(fields: PanelFields, rig: Rig) -> list[Path] | None:
    """Return the clips that the mode needs and the user gives: none, one reference, or one previz a
    camera; None where the field is empty, and the panel renders them itself."""
    if fields.mode == "text":
        return []
    if not fields.clips.strip():
        return None
    given = Path(fields.clips.strip())
    if fields.mode == "reference":
        if not given.is_file():
            raise SynCamError(
                "input.missing",
                f"The reference clip '{given}' is not a file.",
                value=fields.clips,
                fix="Choose the clip of the anchor camera, or empty the field",
            )
        return [given]
    paths = [given / f"{camera.name}.mp4" for camera in rig.cameras]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SynCamError(
            "input.missing",
            f"The folder '{given}' has no {missing[0]}; previz needs one for each camera.",
            value=missing,
            fix="Render each camera to <camera name>.mp4 in that folder, or empty the field",
        )
    return paths
