# SPDX-License-Identifier: Apache-2.0
"""Odd, asymmetric cameras, so that a swap of axes, sizes or signs shows."""

from __future__ import annotations

import pytest

from syncam_engine.link.camera import Camera, intrinsics
from syncam_engine.link.poses import look_at_c2w_cv_m
from syncam_engine.link.rig import Rig


def make_camera(name="north", eye=(4.1, -2.3, 1.7), target=(0.3, 0.2, 0.9), **changes):
    values = {
        "name": name,
        "width_px": 161,
        "height_px": 97,
        "K": intrinsics(163.0, 159.0, 77.5, 51.25),
        "c2w_cv_m": look_at_c2w_cv_m(eye, target),
    }
    return Camera(**{**values, **changes})


@pytest.fixture
def rig():
    return Rig(
        cameras=(
            make_camera(),
            make_camera("east", (-3.3, 3.9, 2.6)),
            make_camera('süd/3 "x"', (0.7, 5.2, 0.95)),
        ),
        anchor=1,
        fps="24000/1001",
        source="shot.blend",
    )
