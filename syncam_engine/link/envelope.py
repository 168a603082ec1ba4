# SPDX-License-Identifier: Apache-2.0
"""What a preset was trained on, and what of a rig or a request lies outside it.

Sizes, counts and texts that the model cannot take are refused; cameras it was not trained on are
allowed and said: the pictures may not follow them. Every finding names the nearest valid value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from syncam_engine.link import poses
from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.rig import Rig

Range = tuple[float, float]

TOLERANCE = 0.25
"""Degrees or metres that nobody sees; lenses are typed to a millimetre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The trained range of a preset. Ranges are (lowest, highest), both allowed."""

    sizes: tuple[tuple[int, int], ...]
    """WIDTH, HEIGHT of the pictures it makes."""
    frames: tuple[int, ...]
    """Picture counts it makes (4n + 1)."""
    fps: Range
    """Frames a second it was trained on."""
    views: tuple[int, int]
    """Cameras it takes."""
    trained_views: int
    """Cameras it was trained on together."""
    hfov_deg: Range
    """Horizontal fields of view, after the fit to its size."""
    distance_m: Range
    """From a camera to the point that the rig looks at."""
    elevation_deg: Range
    """How far cameras look down."""
    relative_azimuth_deg: float
    """Largest turn about the vertical between a camera and the anchor."""
    relative_elevation_deg: float
    """Largest difference in elevation between a camera and the anchor."""
    roll_deg: float
    """Largest turn about the viewing axis."""
    moving_cameras: bool
    """Whether it was trained on cameras that move."""
    steps: tuple[int, int]
    prompt_characters: int
    memory_gb: float
    """Device memory of a request at its largest size and trained views."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Envelope:
        """Return the envelope of plain data (lists for tuples); unknown fields are ignored."""

        def frozen(value: Any) -> Any:
            return (
                tuple(frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
            )

        return cls(**{name: frozen(data[name]) for name in cls.__slots__ if name in data})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeIssue:
    """One thing outside the envelope; "refuse" stops the job, "warn" is only said."""

    kind: Literal["warn", "refuse"]
    code: str
    sentence: str
    camera: str | None = None
    value: Any = None
    nearest: Any = None
    fix: str | None = None

    def to_error(self) -> SynCamError:
        return SynCamError(
            self.code, self.sentence, value=self.value, nearest=self.nearest, fix=self.fix
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Said(Protocol):
    """An `EnvelopeIssue`, or the `Notice` that an engine made of one."""

    sentence: str
    camera: str | None


def said_once(found: Iterable[Said]) -> list[str]:
    """Return what to say of a request; one sentence for what holds of several cameras."""
    alike: dict[str, list[Said]] = {}
    for one in found:
        alike.setdefault(one.sentence.replace(repr(one.camera), ""), []).append(one)
    said = []
    for first, *others in alike.values():
        cameras = ", ".join(one.camera or "" for one in others)
        said.append(first.sentence + (f" So it is with {cameras}." if cameras else ""))
    return said


class RequestLike(Protocol):
    """The fields of a request that the envelope speaks of."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    steps: int


def check_request(request: RequestLike, envelope: Envelope) -> list[EnvelopeIssue]:
    """Return what of a request's own numbers and texts the preset does not take."""
    issues = []

    def refuse(code: str, sentence: str, value: Any, nearest: Any, fix: str | None = None) -> None:
        issues.append(
            EnvelopeIssue(
                kind="refuse", code=code, sentence=sentence, value=value, nearest=nearest, fix=fix
            )
        )

    if not request.prompt.strip():
        refuse(
            "prompt.empty",
            "The prompt is empty; say in a few words what happens.",
            "",
            None,
            "Type a prompt",
        )
    limit = envelope.prompt_characters
    for field, label in (("prompt", "prompt"), ("negative_prompt", "negative prompt")):
        length = len(getattr(request, field))
        if length > limit:
            refuse(
                "prompt.long",
                f"The {label} has {length} characters; this preset takes {limit}.",
                length,
                limit,
                f"Shorten the {label}",
            )
    size = (request.width, request.height)
    if size not in envelope.sizes:
        nearest = min(envelope.sizes, key=lambda s: (abs(s[0] * s[1] - size[0] * size[1]), s))
        refuse(
            "size.impossible",
            f"The size {size[0]}x{size[1]} is not one of this preset's; the nearest is "
            f"{nearest[0]}x{nearest[1]}.",
            list(size),
            list(nearest),
            f"Use {nearest[0]}x{nearest[1]}",
        )
    if request.frames not in envelope.frames:
        nearest = min(envelope.frames, key=lambda n: (abs(n - request.frames), n))
        refuse(
            "frames.impossible",
            f"A clip of {request.frames} frames is not one of this preset's; the nearest is "
            f"{nearest}.",
            request.frames,
            nearest,
            f"Use {nearest} frame{'s' * (nearest > 1)}",
        )
    low, high = envelope.steps
    if not low <= request.steps <= high:
        nearest = min(max(request.steps, low), high)
        refuse(
            "steps.impossible",
            f"{request.steps} steps are outside this preset's {low} to {high}; "
            f"the nearest is {nearest}.",
            request.steps,
            nearest,
            f"Use {nearest} step{'s' * (nearest > 1)}",
        )
    return issues


UPSIDE_DOWN_DEG = 135.0
"""A roll that nobody gives to all cameras of a rig: their axes are then others than ours."""


def range_text(low: float, high: float) -> str:
    """Return a trained range in words; one value where there is only one."""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def fov_range_deg(camera: Camera) -> Range:
    """Return the narrowest and the widest horizontal field of view over a camera's pictures."""
    lenses = {camera.K_at(frame): frame for frame in range(camera.frame_count)}
    fields = [camera.fov_x_deg(frame) for frame in lenses.values()]
    return min(fields), max(fields)


def check_rig(rig: Rig, envelope: Envelope) -> list[EnvelopeIssue]:
    """Return what of a rig the preset does not take (too many cameras) or was not trained on.

    The rig's cameras should already be fitted to the preset's size, so that lenses compare. Poses
    are those of the first picture, lenses those of all.
    """
    issues = []
    count, (least, most) = len(rig.cameras), envelope.views
    if not least <= count <= most:
        nearest = min(max(count, least), most)
        issues.append(
            EnvelopeIssue(
                kind="refuse",
                code="rig.views",
                sentence=f"The rig has {count} cameras; this preset takes {least} to {most}.",
                value=count,
                nearest=nearest,
                fix=f"Use {nearest} cameras",
            )
        )
    elif count > envelope.trained_views:
        issues.append(
            EnvelopeIssue(
                kind="warn",
                code="rig.views_untrained",
                sentence=f"The rig has {count} cameras; this preset was trained on "
                f"{envelope.trained_views} together, so they may agree less.",
                value=count,
                nearest=envelope.trained_views,
            )
        )
    if all(abs(poses.roll_deg(c.c2w_cv_m_at(0))) > UPSIDE_DOWN_DEG for c in rig.cameras):
        which = "All cameras of the rig are" if count > 1 else "The rig's camera is"
        issues.append(
            EnvelopeIssue(
                kind="warn",
                code="rig.axes",
                sentence=f"{which} upside down, as poses with OpenGL's axes (y up, z back) are; "
                "c2w_cv_m has x right, y down, z forward.",
                value="y up, z back",
                nearest="y down, z forward",
                fix="Negate the second and the third column of every c2w_cv_m",
            )
        )
    centre = rig.centre_m()
    anchor = rig.anchor_camera.c2w_cv_m_at(0)
    for camera in rig.cameras:
        pose = camera.c2w_cv_m_at(0)
        narrowest_deg, widest_deg = fov_range_deg(camera)
        is_zooming = widest_deg - narrowest_deg > TOLERANCE
        checks = [
            (
                "lens",
                "has a horizontal field of view of",
                camera.fov_x_deg(),
                envelope.hfov_deg,
                "degrees",
                "Match the lens",
            ),
            (
                "elevation",
                "looks down by",
                poses.elevation_deg(pose),
                envelope.elevation_deg,
                "degrees",
                "Exclude the camera",
            ),
            (
                "roll",
                "is rolled by",
                abs(poses.roll_deg(pose)),
                (0.0, envelope.roll_deg),
                "degrees",
                "Exclude the camera",
            ),
            (
                "azimuth",
                "is turned from the anchor by",
                poses.wrapped_difference_deg(poses.azimuth_deg(pose), poses.azimuth_deg(anchor)),
                (0.0, envelope.relative_azimuth_deg),
                "degrees",
                "Pick a nearer anchor",
            ),
            (
                "relative_elevation",
                "differs from the anchor's elevation by",
                abs(poses.elevation_deg(pose) - poses.elevation_deg(anchor)),
                (0.0, envelope.relative_elevation_deg),
                "degrees",
                "Pick a nearer anchor",
            ),
        ]
        if centre is not None:
            distance = math.dist(centre, poses.centre_of(pose))
            checks.append(
                (
                    "distance",
                    "stands from the rig's centre",
                    distance,
                    envelope.distance_m,
                    "m",
                    "Move the camera",
                )
            )
        for code, said, value, (low, high), unit, fix in checks:
            if is_zooming and code == "lens":
                continue  # the zoom's sentence names its lenses
            if low - TOLERANCE <= value <= high + TOLERANCE:
                continue
            nearest = min(max(value, low), high)
            issues.append(
                EnvelopeIssue(
                    kind="warn",
                    code=f"camera.{code}_untrained",
                    camera=camera.name,
                    sentence=f"Camera {camera.name!r} {said} {value:.1f} {unit}; this preset was "
                    f"trained on {range_text(low, high)}, so its picture may not follow it.",
                    value=round(value, 3),
                    nearest=round(nearest, 3),
                    fix=fix,
                )
            )
        if is_zooming:
            low, high = envelope.hfov_deg
            issues.append(
                EnvelopeIssue(
                    kind="warn",
                    code="camera.zoom_untrained",
                    camera=camera.name,
                    sentence=f"Camera {camera.name!r} zooms: its horizontal field of view is "
                    f"{narrowest_deg:.1f} to {widest_deg:.1f} degrees; this preset was trained on "
                    f"lenses that stay, of {range_text(low, high)}, so its picture may not follow "
                    "the zoom.",
                    value=[round(narrowest_deg, 3), round(widest_deg, 3)],
                    nearest=round(min(max(camera.fov_x_deg(), low), high), 3),
                    fix="Keep the lens",
                )
            )
        if camera.is_moving and not envelope.moving_cameras:
            issues.append(
                EnvelopeIssue(
                    kind="warn",
                    code="camera.moving_untrained",
                    camera=camera.name,
                    sentence=f"Camera {camera.name!r} moves; this preset was trained on static "
                    "cameras, so its picture may not follow the move.",
                    value=True,
                    nearest=False,
                )
            )
    return issues
