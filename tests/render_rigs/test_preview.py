# SPDX-License-Identifier: GPL-3.0-or-later
"""What `--preview` draws: a row a pass, and where the cameras look."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from render_rigs import preview
from syncam_engine.link.camera import Camera, intrinsics
from syncam_engine.link.poses import look_at_c2w_cv_m

SIZE_PX = (32, 20)


def scene_of(*targets, center=(1.5, -0.5, 1.0)):
    width, height = SIZE_PX
    cameras = [
        Camera(
            name=f"cam{number:02d}",
            width_px=width,
            height_px=height,
            K=intrinsics(40.0, 40.0, width / 2, height / 2),
            c2w_cv_m=look_at_c2w_cv_m((1.5, 3.5 - 8 * (number - 1), 2.0), target),
        )
        for number, target in enumerate(targets, 1)
    ]
    actor = SimpleNamespace(root_m=np.array([[1.2, -0.5, 0.0], [1.8, -0.5, 0.0]]))
    return SimpleNamespace(
        number=2,
        caption="a box",
        cameras=cameras,
        actors=[actor],
        center_m=center,
        place=SimpleNamespace(obstacles=[]),
    )


def view(near_m: float) -> preview.View:
    width, height = SIZE_PX
    depth = np.full((height, width), np.inf, np.float32)
    depth[:, width // 2 :] = near_m
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2] = 2
    flow = np.zeros((height, width, 2), np.float32)
    flow[:, : width // 2, 0] = 3.0
    normal = np.zeros((height, width, 3), np.float16)
    normal[height // 2 :, :, 2] = 1
    rgb = np.full((height, width, 3), 90, np.uint8)
    return {"rgb": rgb, "depth": depth, "normal": normal, "mask": mask, "flow": flow}


def test_a_sheet_has_a_row_for_each_pass(tmp_path):
    path = tmp_path / "sheet.jpg"
    views = [[view(2.0), view(3.0)], [view(4.0), view(8.0)]]
    preview.contact_sheet(path, scene_of((1.5, -0.5, 1), (1.5, -0.5, 1)), views)
    sheet = np.asarray(Image.open(path)).astype(int)[preview.TITLE_PX :]
    cells = sheet.reshape(5, sheet.shape[0] // 5, 4, sheet.shape[1] // 4, 3)
    low, right = round(cells.shape[1] * 0.75), round(cells.shape[3] * 0.75)
    rgb, depth, normal, mask, flow = (cells[row, low, :, right] for row in range(5))
    assert np.abs(rgb - 90).max() < 12
    assert (np.diff(depth[:, 0]) < -20).all()  # farther is darker, on one scale for all cameras
    assert np.abs(normal - (127, 127, 255)).max() < 14
    assert np.abs(mask - preview.MASK_COLORS[0]).max() < 14
    assert flow.max() < 20
    left, high = round(cells.shape[3] * 0.25), round(cells.shape[1] * 0.4)
    assert cells[1, low, :, left].max() < 20  # nothing is there
    assert np.abs(cells[3, high, :, right] - preview.MASK_COLORS[2]).max() < 20
    red, green, _ = cells[4, low, :, left].T
    assert (red > green + 100).all()


@pytest.mark.parametrize("away", [False, True])
def test_the_drawing_of_a_rig_shows_where_a_camera_looks(tmp_path, away):
    """The first camera stands 4 m north of the centre (up in the picture) and looks south."""
    scene = scene_of((1.5, 9.0 if away else -0.5, 1.0), (1.5, -0.5, 1.0))
    preview.rig_view(tmp_path / "rig.png", scene, size_px=460)
    drawn = np.asarray(Image.open(tmp_path / "rig.png")).astype(int)
    green = (drawn[..., 1] > drawn[..., 0] + 12) & (drawn[..., 1] > drawn[..., 2] + 12)
    eye, middle = 30, 230  # 4 m of the 4.6 m from the middle to the edge
    between = green[eye + 6 : middle - 10, middle - 1 : middle + 2].any(axis=1)
    assert between.mean() == pytest.approx(0.0 if away else 1.0, abs=0.12)
    assert (
        green[middle + 10 : 2 * middle - eye - 6, middle - 1 : middle + 2].any(axis=1).mean() > 0.9
    )
