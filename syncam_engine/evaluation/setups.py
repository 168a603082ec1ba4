# SPDX-License-Identifier: Apache-2.0
"""The paper's five camera set-ups (App. C): four views, neighbours a fixed angle apart."""

from __future__ import annotations

from pathlib import Path

from syncam_engine.link.camera import Camera, intrinsics_from_lens
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m
from syncam_engine.link.rig import Rig
from syncam_engine.link.rig_json import write_rig

VIEWS = 4
SETUPS = {
    "azimuth-10": (10.0, 0.0),
    "azimuth-20": (20.0, 0.0),
    "azimuth-30": (30.0, 0.0),
    "elevation-10": (0.0, 10.0),
    "elevation-15": (0.0, 15.0),
}
"""Name -> step in azimuth and in elevation from view to view, degrees."""
FOCAL_MM, SENSOR_MM = 24.0, 23.76


def setup_rig(
    name: str,
    *,
    width_px: int,
    height_px: int,
    radius_m: float = 5.0,
    center_m: tuple[float, float, float] = (0.0, 0.0, 1.0),
    elevation_deg: float = 10.0,
) -> Rig:
    """A set-up's rig; azimuth steps stand at `elevation_deg`, elevation steps start at 0.

    The paper does not state radius and height: 5 m and 10 degrees are this project's choice.
    Raises `KeyError` for a name that is not in `SETUPS`.
    """
    azimuth_step, elevation_step = SETUPS[name]
    K = intrinsics_from_lens(FOCAL_MM, SENSOR_MM, width_px, height_px)
    first_elevation = 0.0 if elevation_step else elevation_deg
    cameras = tuple(
        Camera(
            name=f"cam{k + 1:02d}",
            width_px=width_px,
            height_px=height_px,
            K=K,
            c2w_cv_m=hemisphere_pose_c2w_cv_m(
                center_m, radius_m, k * azimuth_step, first_elevation + k * elevation_step
            ),
        )
        for k in range(VIEWS)
    )
    return Rig(cameras=cameras, source=f"paper set-up {name}")


def write_setups(folder: Path, width_px: int, height_px: int) -> list[Path]:
    """Write the five rigs as FOLDER/NAME.json."""
    return [
        write_rig(setup_rig(name, width_px=width_px, height_px=height_px), folder / f"{name}.json")
        for name in SETUPS
    ]
