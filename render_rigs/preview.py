# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks at first: a contact sheet of a scene and its rig from above."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from render_rigs.assemble import Scene

SHEET_WIDTH_PX = 1280


def contact_sheet(path: Path, scene: Scene, pictures: list[list[np.ndarray]]) -> None:
    """``pictures`` [cameras][moments] of uint8 [H,W,3]: moments side by side."""
    moments = len(pictures[0])
    height, width, _ = pictures[0][0].shape
    columns = max(1, round(math.sqrt(len(pictures) * height / width / moments * 1.6)))
    cell_w = SHEET_WIDTH_PX // (columns * moments)
    cell_h = round(cell_w * height / width)
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * moments * cell_w, rows * cell_h + 22), "#14161a")
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 5), f"scene {scene.number + 1}: {scene.caption}", fill="#e8e6e0")
    for number, row in enumerate(pictures):
        x, y = (number % columns) * moments * cell_w, (number // columns) * cell_h + 22
        for moment, picture in enumerate(row):
            cell = Image.fromarray(picture).resize((cell_w, cell_h), Image.Resampling.LANCZOS)
            sheet.paste(cell, (x + moment * cell_w, y))
        draw.text(
            (x + 4, y + 2),
            scene.cameras[number].name,
            fill="#ffffff",
            stroke_width=1,
            stroke_fill="#000000",
        )
    sheet.save(path, quality=88)


def rig_view(path: Path, scene: Scene, size_px: int = 560) -> None:
    """The rig from above: cameras as wedges, trajectories as lines, obstacles as circles."""
    reach = (
        max(
            [math.hypot(c.c2w_cv_m_at(0)[0][3], c.c2w_cv_m_at(0)[1][3]) for c in scene.cameras]
            + [4.0]
        )
        * 1.15
    )
    scale = size_px / 2 / reach

    def at(x, y):
        return size_px / 2 + x * scale, size_px / 2 - y * scale

    image = Image.new("RGB", (size_px, size_px), "#14161a")
    draw = ImageDraw.Draw(image)
    for metres in range(1, math.ceil(reach)):
        x0, y0 = at(-metres, metres)
        x1, y1 = at(metres, -metres)
        draw.ellipse((x0, y0, x1, y1), outline="#262a31")
    for ob in scene.place.obstacles:
        (x0, y0), (x1, y1) = (
            at(ob.x_m - ob.radius_m, ob.y_m + ob.radius_m),
            at(ob.x_m + ob.radius_m, ob.y_m - ob.radius_m),
        )
        draw.ellipse((x0, y0, x1, y1), outline="#5a5f68")
    for actor, color in zip(scene.actors, ("#f2a93b", "#4fb0e8"), strict=False):
        points = [at(*p[:2]) for p in actor.root_m]
        if len(points) > 1:
            draw.line(points, fill=color, width=3)
        x, y = points[0]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=color)
    for camera in scene.cameras:
        for frame in (0, camera.frame_count - 1):
            c2w = np.array(camera.c2w_cv_m_at(frame))
            half = math.radians(camera.fov_x_deg(0) / 2)
            yaw = math.atan2(c2w[1, 2], c2w[0, 2])
            x, y = c2w[0, 3], c2w[1, 3]
            wedge = [at(x, y)] + [
                at(x + 0.6 * math.cos(yaw + s * half), y + 0.6 * math.sin(yaw + s * half))
                for s in (-1, 1)
            ]
            draw.polygon(wedge, outline="#8fd18f" if frame == 0 else "#4d6f4d")
        x, y = at(*np.array(camera.c2w_cv_m_at(0))[:2, 3])
        draw.text((x + 4, y - 5), camera.name[3:], fill="#cfd3da")
    draw.text((6, 5), f"scene {scene.number + 1}, from above; rings 1 m apart", fill="#e8e6e0")
    image.save(path)
