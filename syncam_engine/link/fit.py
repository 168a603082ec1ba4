# SPDX-License-Identifier: Apache-2.0
"""Fitting a camera's picture into the model's one size.

`crop` keeps the model's whole picture and loses the edges of the camera's; `letterbox` keeps the
camera's whole picture and adds bars. Either way the model's pixels are square in the scene (a
camera with another pixel aspect is stretched to it), `K` is adjusted, and `plate` says which part
of the model's picture the camera's own frame is, so that a host shows that part and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from syncam_engine.link.camera import Camera
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.poses import Matrix3
from syncam_engine.link.rig import Rig

FitRule = Literal["crop", "letterbox"]
FIT_RULES: tuple[str, ...] = ("crop", "letterbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCamera:
    """A camera at the model's size, and where the two pictures lie in each other.

    Both rectangles are (left, top, right, bottom) as fractions, origin at the top-left corner.
    """

    camera: Camera
    """The camera at the model's size, `K` adjusted."""
    rule: FitRule
    source: tuple[float, float, float, float]
    """The part of the camera's own picture that the model's picture shows."""
    plate: tuple[float, float, float, float]
    """The part of the model's picture that belongs to the camera's own frame."""


def fit_camera(
    camera: Camera, width_px: int, height_px: int, rule: FitRule = "crop"
) -> FittedCamera:
    """Return the camera fitted to `width_px` x `height_px`, centred.

    Raises SynCamError ("fit.rule") for an unknown rule.
    """
    if rule not in FIT_RULES:
        raise SynCamError(
            "fit.rule",
            f"The fit rule is {rule!r}; it must be one of {', '.join(FIT_RULES)}.",
            value=rule,
            nearest="crop",
        )
    pixel_aspect = camera.K_at(0)[0][0] / camera.K_at(0)[1][1]
    ratios = (width_px / camera.width_px, height_px / (camera.height_px * pixel_aspect))
    scale_x = max(ratios) if rule == "crop" else min(ratios)
    scale_y = scale_x * pixel_aspect
    # The camera's picture, scaled, lies centred over the model's: negative offsets are cropped.
    scaled = (camera.width_px * scale_x, camera.height_px * scale_y)
    offset = ((width_px - scaled[0]) / 2.0, (height_px - scaled[1]) / 2.0)

    def fitted(K: Matrix3) -> Matrix3:
        return (
            (K[0][0] * scale_x, K[0][1] * scale_x, K[0][2] * scale_x + offset[0]),
            (0.0, K[1][1] * scale_y, K[1][2] * scale_y + offset[1]),
            K[2],
        )

    stacked = isinstance(camera.K[0][0], tuple)
    source = _overlap(-offset[0], -offset[1], width_px, height_px, *scaled)
    plate = _overlap(offset[0], offset[1], *scaled, width_px, height_px)
    return FittedCamera(
        camera=replace(
            camera,
            width_px=width_px,
            height_px=height_px,
            K=tuple(fitted(K) for K in camera.K) if stacked else fitted(camera.K),
        ),
        rule=rule,
        source=source,
        plate=plate,
    )


def fit_rig(rig: Rig, width_px: int, height_px: int, rule: FitRule = "crop") -> Rig:
    """Return the rig as the model sees it, each camera fitted. Raises SynCamError ("fit.rule")."""
    fitted = (fit_camera(camera, width_px, height_px, rule).camera for camera in rig.cameras)
    return replace(rig, cameras=tuple(fitted))


def _overlap(
    left: float, top: float, width: float, height: float, in_width: float, in_height: float
) -> tuple[float, float, float, float]:
    """Return the part of a picture in_width x in_height that a rectangle covers, as fractions."""

    def fraction(value: float, size: float) -> float:
        return min(1.0, max(0.0, value / size))

    return (
        fraction(left, in_width),
        fraction(top, in_height),
        fraction(left + width, in_width),
        fraction(top + height, in_height),
    )
