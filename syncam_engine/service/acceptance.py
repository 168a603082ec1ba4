# SPDX-License-Identifier: Apache-2.0
"""Whether a request can be done: said before it is accepted, with the nearest valid value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec

from syncam_engine.link import limits, rig_json
from syncam_engine.link.envelope import EnvelopeIssue, check_request, check_rig, range_text
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.messages import GenerateRequest, Notice
from syncam_engine.link.rig import Rig
from syncam_engine.model.kinds import kind_of
from syncam_engine.model.presets import Preset

from .catalog import Catalog

FPS = (1, 240)
MOST_IN_FPS = 1_000_000
MOST_AWAY_M = 1e6
"""Beyond it a network's numbers do not tell a camera from its neighbour."""
MOST_FOCAL = 1000
"""Focal lengths and centres, in larger sides of the picture."""
MOST_GUIDANCE = 100.0


def accept(
    request: GenerateRequest, catalog: Catalog, input_path: Callable[[str], Path | None]
) -> tuple[GenerateRequest, list[Notice]]:
    """Return the request with the preset's numbers filled in, and what is allowed but untrained.

    Raises `SynCamError` with the first thing that is impossible. `input_path` finds an input that
    this client has sent, or returns None.
    """
    preset = catalog.get(request.preset)
    request = fill_in(request, preset)
    issues = check_request(request, preset.envelope)
    _raise_first(issues)
    issues += kind_of(preset).prompt_issues(preset, request.prompt)
    if not 0 <= request.guidance_scale <= MOST_GUIDANCE:  # also where it is not a number
        is_number = not math.isnan(request.guidance_scale)
        nearest = (
            min(max(request.guidance_scale, 0.0), MOST_GUIDANCE)
            if is_number
            else preset.sampling.guidance_scale
        )
        raise SynCamError(
            "guidance.impossible",
            f"The guidance scale is {request.guidance_scale:g}; it must be 0 to "
            f"{MOST_GUIDANCE:g}; the nearest is {nearest:g}.",
            value=repr(request.guidance_scale),
            nearest=nearest,
        )
    if not all(map(math.isfinite, request.scene_frames)):
        raise SynCamError("scene_frames.invalid", "A scene frame is not a finite number.")
    fps = _rate(request, preset)
    _check_counts(request, preset)
    rig = rig_json.rig_from_dict(request.rig)
    _check_places(rig)
    # What is kept is what was understood, and nothing that was sent along.
    request = msgspec.structs.replace(request, rig=rig_json.rig_to_dict(rig))
    cameras = tuple(
        fit_camera(camera, request.width, request.height, request.fit_rule).camera
        for camera in rig.cameras
    )
    issues += check_rig(replace(rig, cameras=cameras), preset.envelope)
    low, high = preset.envelope.fps
    if not low - 0.01 <= fps <= high + 0.01:
        nearest = min(max(fps, low), high)
        issues.append(
            EnvelopeIssue(
                kind="warn",
                code="fps.untrained",
                sentence=f"{fps:g} frames a second; this preset was trained on "
                f"{range_text(low, high)}, so motion may look too fast or too slow.",
                value=fps,
                nearest=nearest,
            )
        )
    _check_inputs(request, len(rig.cameras), input_path)
    _raise_first(issues)
    return request, [_notice(issue) for issue in issues]


def fill_in(request: GenerateRequest, preset: Preset) -> GenerateRequest:
    """Return the request with a number wherever it left one to the preset."""
    filled = preset.request_defaults(request.mode)
    given = {key: value for key, value in filled.items() if getattr(request, key) is None}
    return msgspec.structs.replace(request, **given)


def _rate(request: GenerateRequest, preset: Preset) -> float:
    """Return the request's pictures a second; raises for what no video file holds."""
    fps = Fraction(*request.fps)
    least, most = FPS
    if not least <= fps <= most or max(fps.as_integer_ratio()) > MOST_IN_FPS:
        low, high = preset.envelope.fps
        raise SynCamError(
            "fps.impossible",
            f"{request.fps[0]}/{request.fps[1]} pictures a second cannot be written; {least} to "
            f"{most} can, with at most {MOST_IN_FPS} above and below the line.",
            value=list(request.fps),
            nearest=min(max(float(fps), low), high),
        )
    return float(fps)


def _check_places(rig: Rig) -> None:
    """Refuse cameras whose numbers cannot be computed with, although each is finite."""
    if max(rig.fps.as_integer_ratio()) > 2**53:
        raise SynCamError(
            "rig.fps",
            f"The rig has {float(rig.fps):g} frames a second, which is no fraction of numbers of "
            "16 digits.",
            value=float(rig.fps),
            nearest=float(rig.fps.limit_denominator(1001)),
        )
    for camera in rig.cameras:
        if len(camera.name) > limits.MAX_NAME_CHARS:
            raise SynCamError(
                "camera.name",
                f"The camera {camera.name[:40]!r}... has a name of {len(camera.name)} characters; "
                f"{limits.MAX_NAME_CHARS} are the most.",
                value=len(camera.name),
                nearest=limits.MAX_NAME_CHARS,
                fix="Give it a shorter name",
            )
        for frame in range(camera.frame_count):
            away_m = max(abs(row[3]) for row in camera.c2w_cv_m_at(frame)[:3])
            if away_m > MOST_AWAY_M:
                raise SynCamError(
                    "camera.away",
                    f"Camera {camera.name!r} is {away_m:g} m from the world's origin at frame "
                    f"{frame}; {MOST_AWAY_M:g} m is the most.",
                    value=away_m,
                    nearest=MOST_AWAY_M,
                    fix="Move the scene to the world's origin",
                )
            (fx, skew, cx), (_, fy, cy), _ = camera.K_at(frame)
            sides = max(camera.width_px, camera.height_px)
            largest = max(fx, fy, abs(skew), abs(cx), abs(cy))
            if largest > MOST_FOCAL * sides or min(fx, fy) * MOST_FOCAL < sides:
                raise SynCamError(
                    "camera.intrinsics",
                    f"Camera {camera.name!r} has focal lengths {fx:g} and {fy:g} px and the centre "
                    f"({cx:g}, {cy:g}) px at frame {frame}, for a picture of "
                    f"{camera.width_px}x{camera.height_px}; {MOST_FOCAL} times its larger side is "
                    "the most, and that part of it the least focal length.",
                    value=[fx, fy, cx, cy],
                    nearest=[sides, sides, camera.width_px / 2, camera.height_px / 2],
                )


def _check_counts(request: GenerateRequest, preset: Preset) -> None:
    """Refuse a rig that is too long before its cameras are looked at one by one, which takes time
    that the server does not have. What is not even a list is left to the rig's own reader."""
    cameras = request.rig.get("cameras")
    if not isinstance(cameras, list):
        return
    if len(cameras) > limits.MAX_VIEWS:
        least, most = preset.envelope.views
        raise SynCamError(
            "rig.views",
            f"The rig has {len(cameras)} cameras; this preset takes {least} to {most}.",
            value=len(cameras),
            nearest=most,
            fix=f"Use {most} cameras",
        )
    for camera in cameras:
        for field in ("c2w_cv_m", "K"):
            count = _poses(camera.get(field)) if isinstance(camera, dict) else 1
            if count not in (1, request.frames):
                raise SynCamError(
                    "rig.frames",
                    f"The rig's moving cameras have {count} poses; the clip has "
                    f"{request.frames} frames.",
                    value=count,
                    nearest=request.frames,
                    fix=f"Export the rig with {request.frames} poses",
                )


def _poses(matrices: object) -> int:
    """How many matrices there are; 1 for one matrix, and for what is none."""
    value = matrices
    for _ in range(2):
        if not isinstance(value, (list, tuple)) or not value:
            return 1
        value = value[0]
    return len(matrices) if isinstance(value, (list, tuple)) else 1


def _check_inputs(
    request: GenerateRequest, views: int, input_path: Callable[[str], Path | None]
) -> None:
    wanted = {"text": 0, "previz": views, "reference": 1}[request.mode]
    if len(request.inputs) != wanted:
        raise SynCamError(
            "input.count",
            f'The mode "{request.mode}" of {views} cameras takes {wanted} input clips; '
            f"{len(request.inputs)} came.",
            value=len(request.inputs),
            nearest=wanted,
        )
    if not (math.isfinite(request.previz_strength) and 0 < request.previz_strength <= 1):
        raise SynCamError(
            "previz.strength",
            f"The previz strength is {request.previz_strength:g}; it must be above 0 and at "
            "most 1.",
            value=repr(request.previz_strength),
            nearest=1.0 if request.previz_strength > 1 else 0.05,
        )
    missing = [digest for digest in request.inputs if input_path(digest) is None]
    if missing:
        raise SynCamError(
            "input.missing",
            f"{len(missing)} of the {wanted} input clips have not been sent, or were deleted a "
            "week after the last job that used them.",
            value=missing,
            fix="Send them first",
        )


def _raise_first(issues: list[EnvelopeIssue]) -> None:
    for issue in issues:
        if issue.kind == "refuse":
            raise issue.to_error()


def _notice(issue: EnvelopeIssue) -> Notice:
    return Notice(
        code=issue.code,
        sentence=issue.sentence,
        camera=issue.camera or "",
        value=issue.value,
        nearest=issue.nearest,
        fix=issue.fix,
    )
