# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks at first: a contact sheet of a scene and its rig from above."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from render_rigs.assemble import Scene

SHEET_WIDTH_PX = 1280
LEAST_CELL_PX = 150
"""A camera's picture is at least so wide; a sheet of many moments is wider instead."""
TITLE_PX = 22
MASK_COLORS = np.array([(20, 22, 26), (242, 169, 59), (79, 176, 232)], np.uint8)
"""Place, first and second subject: as in the drawing of the rig."""
BACKGROUND, INK, DIM = "#14161a", "#e8e6e0", "#262a31"
START, END = (143, 209, 143), (77, 111, 77)
"""A camera at the first frame and, where it moves, at the last."""

View = dict[str, np.ndarray]
"""Pass -> the array of one camera at one moment, as the renderer gives it."""


def contact_sheet(path: Path, scene: Scene, views: list[list[View]]) -> None:
    """``views`` [cameras][moments]: a block for each camera, moments side by side, a row a pass."""
    passes, moments = list(views[0][0]), len(views[0])
    height, width, _ = views[0][0]["rgb"].shape
    aspect = height / width * len(passes) / moments
    columns = max(1, min(len(views), round(math.sqrt(len(views) * aspect * 1.6))))
    rows = math.ceil(len(views) / columns)
    columns = math.ceil(len(views) / rows)  # the last row as full as the others, or nearly
    cell_w = max(LEAST_CELL_PX, SHEET_WIDTH_PX // (columns * moments))
    cell_h = round(cell_w * height / width)
    block_w, block_h = moments * cell_w, len(passes) * cell_h
    sheet = Image.new("RGB", (columns * block_w, rows * block_h + TITLE_PX), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 5), f"scene {scene.number + 1}: {scene.caption}", fill=INK)
    shown = {p: as_pictures(p, [[view[p] for view in row] for row in views]) for p in passes}
    for number, camera in enumerate(scene.cameras):
        x, y = (number % columns) * block_w, (number // columns) * block_h + TITLE_PX
        for row, name in enumerate(passes):
            for moment, picture in enumerate(shown[name][number]):
                cell = Image.fromarray(picture).resize((cell_w, cell_h), Image.Resampling.LANCZOS)
                sheet.paste(cell, (x + moment * cell_w, y + row * cell_h))
            label = camera.name if len(passes) == 1 else f"{camera.name} {name}"
            at = (x + 4, y + row * cell_h + 2)
            draw.text(at, label, fill="#ffffff", stroke_width=1, stroke_fill="#000000")
        draw.rectangle((x, y, x + block_w - 1, y + block_h - 1), outline=BACKGROUND)
    sheet.save(path, quality=88)


def as_pictures(name: str, arrays: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """A pass of all cameras and moments as uint8 [H,W,3], one scale for them all."""
    convert = {
        "depth": _near_is_bright,
        "normal": lambda all_: lambda n: np.where(n.any(-1, keepdims=True), n * 127.5 + 127.5, 0),
        "mask": lambda all_: lambda m: MASK_COLORS[np.minimum(m, len(MASK_COLORS) - 1)],
        "flow": _direction_as_hue,
    }.get(name, lambda all_: lambda picture: picture)(np.stack([np.stack(row) for row in arrays]))
    return [[np.asarray(convert(one)).astype(np.uint8) for one in row] for row in arrays]


def _near_is_bright(depth_m: np.ndarray):
    """Depth to grey, by its logarithm; nothing (infinite) is black."""
    there = np.log(depth_m[np.isfinite(depth_m) & (depth_m > 0)])
    near, far = np.percentile(there, (1, 99)) if there.size else (0.0, 1.0)

    def convert(one_m: np.ndarray) -> np.ndarray:
        there = np.isfinite(one_m) & (one_m > 0)
        far_share = (np.log(np.where(there, one_m, 1.0)) - near) / max(far - near, 1e-6)
        grey = np.where(there, 255 - 215 * np.clip(far_share, 0, 1), 0)
        return np.repeat(grey[..., None], 3, axis=-1)

    return convert


def _direction_as_hue(flow_px: np.ndarray):
    """Flow to colours: the direction is the hue, the fastest are the brightest."""
    longest = max(float(np.percentile(np.linalg.norm(flow_px, axis=-1), 99.5)), 1e-3)

    def convert(one_px: np.ndarray) -> np.ndarray:
        hue = (np.arctan2(one_px[..., 1], one_px[..., 0]) / (2 * np.pi) % 1.0) * 255
        length = np.clip(np.linalg.norm(one_px, axis=-1) / longest, 0, 1) * 255
        hsv = np.stack([hue, np.full_like(hue, 210), length], axis=-1).astype(np.uint8)
        return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))

    return convert


def rig_view(path: Path, scene: Scene, size_px: int = 720) -> None:
    """The rig from above: each camera, its angle of view and the line along which it looks.

    Subjects' paths are lines, obstacles circles; a moving camera has its path and its last place.
    """
    center = np.array(scene.center_m[:2], float)
    places = np.array(
        [c.c2w_cv_m_at(k) for c in scene.cameras for k in range(c.frame_count)], float
    )[:, :2, 3]
    reach = max(4.0, float(np.linalg.norm(places - center, axis=1).max())) * 1.15
    scale = size_px / 2 / reach

    def at(x: float, y: float) -> tuple[float, float]:
        return size_px / 2 + (x - center[0]) * scale, size_px / 2 - (y - center[1]) * scale

    image = Image.new("RGB", (size_px, size_px), BACKGROUND)
    draw = ImageDraw.Draw(image, "RGBA")
    for metres in range(1, math.ceil(reach)):
        draw.ellipse(_circle(at(*center), metres * scale), outline=DIM)
    for ob in scene.place.obstacles:
        draw.ellipse(_circle(at(ob.x_m, ob.y_m), ob.radius_m * scale), outline="#5a5f68")
    for camera in scene.cameras:
        frames = [0, camera.frame_count - 1] if camera.is_moving else [0]
        if camera.is_moving:
            path_m = [np.array(camera.c2w_cv_m_at(k))[:2, 3] for k in range(camera.frame_count)]
            draw.line([at(*p) for p in path_m], fill=END, width=2)
        for frame, color in zip(frames, (START, END), strict=False):
            _draw_camera(draw, at, camera, frame, color, center, reach)
    for actor, color in zip(scene.actors, MASK_COLORS[1:], strict=False):
        points = [at(*p[:2]) for p in actor.root_m]
        if len(points) > 1:
            draw.line(points, fill=tuple(color), width=3)
        draw.ellipse(_circle(points[0], 4), fill=tuple(color))
    x, y = at(*center)
    draw.line((x - 6, y, x + 6, y), fill=INK)
    draw.line((x, y - 6, x, y + 6), fill=INK)
    for camera in scene.cameras:
        eye = np.array(camera.c2w_cv_m_at(0))[:3, 3]
        # Outside of the ring of cameras, where their lines of sight are not.
        away = (eye[:2] - center) / max(np.linalg.norm(eye[:2] - center), 1e-6)
        x, y = at(*(eye[:2] + away * 0.06 * reach))
        name = f"{camera.name.removeprefix('cam')}\n{eye[2]:.1f} m"
        draw.multiline_text((x, y), name, fill="#cfd3da", anchor="mm", align="center", spacing=0)
    title = f"scene {scene.number + 1} from above: rings 1 m apart around what the rig looks at (+)"
    draw.text((6, 5), title, fill=INK)
    draw.text((6, 19), "camera and its height; its angle of view and line of sight", fill="#9aa0a8")
    image.save(path)


def _draw_camera(draw, at, camera, frame: int, color, center, reach: float) -> None:
    """A wedge as wide as the picture sees, and an arrow to where the view passes the centre."""
    c2w = np.array(camera.c2w_cv_m_at(frame))
    eye, ahead = c2w[:2, 3], c2w[:2, 2]
    level = float(np.linalg.norm(ahead))
    draw.ellipse(_circle(at(*eye), 3), fill=color)
    if level < 1e-3:  # straight down, or up: no direction in this drawing
        return
    ahead = ahead / level
    half, yaw = math.radians(camera.fov_x_deg(frame) / 2), math.atan2(ahead[1], ahead[0])
    side = 0.14 * reach / max(math.cos(half), 0.2)
    corners = [eye + side * np.array([math.cos(yaw + s), math.sin(yaw + s)]) for s in (half, -half)]
    wedge = [at(*eye), *(at(*corner) for corner in corners)]
    draw.polygon(wedge, fill=(*color, 60), outline=(*color, 255))
    # As far as the centre is along the view; a camera that looks away has an arrow all the same.
    far = float((center - eye) @ ahead)
    tip = eye + ahead * (far if far > 0.2 * reach else 0.35 * reach)
    draw.line([at(*eye), at(*tip)], fill=(*color, 120), width=1)
    head = 0.035 * reach
    barbs = [tip - head * np.array([math.cos(yaw + s), math.sin(yaw + s)]) for s in (0.4, -0.4)]
    draw.polygon([at(*tip), *(at(*barb) for barb in barbs)], fill=(*color, 200))


def _circle(middle: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = middle
    return x - radius, y - radius, x + radius, y + radius
