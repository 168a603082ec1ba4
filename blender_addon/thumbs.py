# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures in the panel: live previews, camera thumbnails, history. Uses bpy and numpy.

A live picture is an image datablock that stays the same datablock from run to run, and an icon of
the same pixels for the panel. Pixels go in whole, by `foreach_set`.
"""

from __future__ import annotations

import bpy
import bpy.utils.previews
import numpy as np

from .jobs import JobRecord
from .plates import KEY

SMALL_PX = 32

_live: dict[str, np.ndarray] = {}
"""The last live picture of each camera: 8-bit RGBA, rows from the bottom."""

_tried: set[str] = set()
"""Cameras whose thumbnail was begun since the file was opened."""

_is_looked_at = False

_icons: bpy.utils.previews.ImagePreviewCollection | None = None


def live_name(camera: str) -> str:
    return f"SynCam Live {camera}"


def live_image_or_none(camera: str) -> bpy.types.Image | None:
    for image in bpy.data.images:
        # Not by its source: packing turns a generated image into a file.
        if image.source != "MOVIE" and image.get(KEY) == camera and image.library is None:
            return image
    return None


def show_live(camera: str, width: int, height: int, rgb8: bytes) -> bpy.types.Image:
    """Put a picture (8-bit sRGB, rows from the top) into the camera's live datablock and icon."""
    pixels = np.frombuffer(rgb8, np.uint8).reshape(height, width, 3)
    rgba8 = np.full((height, width, 4), 255, np.uint8)
    # Blender's rows go from the bottom.
    rgba8[..., :3] = pixels[::-1]
    image = live_image_or_none(camera)
    if image is None:
        image = bpy.data.images.new(live_name(camera), width, height, alpha=False)
        image[KEY] = camera
    elif tuple(image.size) != (width, height):
        image.scale(width, height)
    image.pixels.foreach_set(np.multiply(rgba8, np.float32(1.0 / 255.0), dtype=np.float32).ravel())
    _live[camera] = rgba8
    return image


def columns_of(cameras: list[str]) -> list[list[str]]:
    """Return the cameras of each column of the panel, from the top; two where there are several."""
    return [column for column in (cameras[0::2], cameras[1::2]) if column]


def column_key(cameras: list[str]) -> str:
    return "live:" + " / ".join(cameras)


def stack(cameras: list[str]) -> None:
    """Put a column's live pictures above each other into its icon; those that lack are dark."""
    known = [_live[camera] for camera in cameras if camera in _live]
    if not known:
        return
    height, width = known[0].shape[:2]
    stacked = np.full((len(cameras) * height, width, 4), (26, 26, 26, 255), np.uint8)
    for row, camera in enumerate(reversed(cameras)):
        picture = _live.get(camera)
        if picture is not None and picture.shape[:2] == (height, width):
            stacked[row * height : (row + 1) * height - 1] = picture[:-1]
    set_icon(column_key(cameras), stacked)


def settle(record: JobRecord) -> None:
    """Pack the live pictures of a finished job, so that Blender does not ask to save them."""
    for reference in record.cameras:
        image = live_image_or_none(reference["name"])
        if image is not None and image.is_dirty:
            image.pack()


def set_icon(key: str, rgba8: np.ndarray) -> None:
    """Give an icon a picture: 8-bit RGBA [height, width, 4], rows from the bottom."""
    if _icons is None:
        return
    icon = _icons.get(key) or _icons.new(key)
    height, width = rgba8.shape[:2]
    if tuple(icon.image_size) != (width, height):
        icon.image_size = (width, height)
    icon.image_pixels.foreach_set(_packed(rgba8))
    # The small one, for lists: the middle square, every n-th pixel.
    side = min(width, height)
    grid = np.arange(SMALL_PX) * side // SMALL_PX
    small = rgba8[(height - side) // 2 + grid][:, (width - side) // 2 + grid]
    if tuple(icon.icon_size) != (SMALL_PX, SMALL_PX):
        icon.icon_size = (SMALL_PX, SMALL_PX)
    icon.icon_pixels.foreach_set(_packed(small))


def _packed(rgba8: np.ndarray) -> np.ndarray:
    """Return pixels as icons keep them: one 32-bit number each."""
    return np.ascontiguousarray(rgba8).view(np.int32).ravel()


def icon_id(key: str) -> int:
    """Return the icon's number for a layout; 0 when there is none."""
    icon = _icons.get(key) if _icons is not None else None
    return icon.icon_id if icon is not None else 0


def look() -> None:
    """The list of cameras is being drawn."""
    global _is_looked_at
    _is_looked_at = True


def was_looked_at() -> bool:
    """Whether the list of cameras was drawn since this was asked last."""
    global _is_looked_at
    was, _is_looked_at = _is_looked_at, False
    return was


def first_try(camera: str) -> bool:
    """Whether a camera of this name has no picture and none was tried; from now on one was."""
    if camera in _tried:
        return False
    _tried.add(camera)
    return True


def movie_icon_id(path: str) -> int:
    """Return an icon of a movie file's first picture, loaded by Blender when first drawn."""
    if _icons is None:
        return 0
    key = f"file:{path}"
    icon = _icons.get(key)
    if icon is None:
        icon = _icons.load(key, path, "MOVIE")
    return icon.icon_id


def clear() -> None:
    """Forget all icons: another file was opened."""
    _live.clear()
    _tried.clear()
    if _icons is not None:
        _icons.clear()


def register() -> None:
    global _icons
    _icons = bpy.utils.previews.new()


def unregister() -> None:
    global _icons
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
        _icons = None
