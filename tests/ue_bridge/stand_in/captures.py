# SPDX-License-Identifier: Apache-2.0
"""Scene captures: pictures of a level in which every static mesh actor is a ball.

The balls are projected by the engine's rules (horizontal angle, or a projection matrix of row
vectors), the background's grey follows the playhead, the first pictures are dark until exposure has
settled, colours are linear unless the target's gamma says otherwise, and alpha means nothing.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

from .generator import BEHAVIOURS as B
from .world import add_component, editor_of, root_of, types_of, world_transform

SETTLED_AFTER = 6


def colour_of(label: str) -> tuple[int, int, int]:
    """Return the colour of a ball."""
    tint = zlib.crc32(label.encode())
    return (100 + (tint & 127), 100 + (tint >> 8 & 127), 20 + (tint >> 16 & 63))


def background_of(frame: float) -> int:
    """Return the grey behind the balls at a display frame."""
    return 40 + round(4 * frame) % 160


@B.initialiser("SceneCapture2D")
def _scene_capture_init(self):
    eye = add_component(
        self, "SceneCaptureComponent2D", root_of(self), "NewSceneCaptureComponent2D"
    )
    eye._values.update(fov_angle=90.0, capture_every_frame=True, post_process_blend_weight=1.0)
    # An edited component is registered anew, and forgets what it had settled on.
    eye._edited = lambda: setattr(eye, "_pictures", 0)
    eye._edited()
    self._values["capture_component2d"] = eye


RENDERING = "RenderingLibrary"


@B.method(RENDERING, "create_render_target2d")
def _create_render_target2d(
    cls, world_context_object, width, height, format, clear_color, auto_generate_mip_maps,
    support_ua_vs,
):  # fmt: skip
    target = types_of(cls)["TextureRenderTarget2D"]()
    target._values.update(size_x=width, size_y=height, render_target_format=format)
    target._picture = None
    editor_of(cls).render_targets.append(target)
    return target


@B.method(RENDERING, "release_render_target2d")
def _release_render_target2d(cls, texture_render_target):
    editor_of(cls).render_targets.remove(texture_render_target)


@B.method(RENDERING, "export_render_target")
def _export_render_target(cls, world_context_object, texture_render_target, file_path, file_name):
    editor = editor_of(cls)
    path = Path(file_path) / file_name
    editor.exported.append(path)
    if editor.export_fails:
        return
    if not texture_render_target.render_target_format.name.startswith("RTF_RGBA8"):
        path.write_bytes(b"#?RADIANCE")
        return
    from PIL import Image

    Image.fromarray(texture_render_target._picture).save(path)


@B.method("SceneCaptureComponent2D", "capture_scene")
def _capture_scene(self):
    import numpy as np

    editor, target = editor_of(self), self.texture_target
    self._pictures = self._pictures + 1 if self.always_persist_rendering_state else 1
    light = min(1.0, self._pictures / SETTLED_AFTER)
    if self.capture_source.name != "SCS_FINAL_COLOR_LDR":
        light = 0.0

    def shown(colour: tuple[int, ...]) -> tuple[int, ...]:
        values = [light * value / 255 for value in colour]
        if not target.target_gamma:
            values = [value**2.2 for value in values]
        return (*(round(255 * value) for value in values), 0)

    size = (target.size_x, target.size_y)
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    picture = np.full((*size[::-1], 4), shown((background_of(editor.frame),) * 3), np.uint8)
    balls = [ball for ball in editor.actors if isinstance(ball, types_of(self)["StaticMeshActor"])]
    seen = [_seen(self, ball, size) for ball in balls if ball not in list(self.hidden_actors)]
    for _, u, v, radius, colour in sorted(found for found in seen if found)[::-1]:
        picture[(columns - u) ** 2 + (rows - v) ** 2 <= radius**2] = shown(colour)
    target._picture = picture


def _seen(eye: Any, ball: Any, size: tuple[int, int]) -> tuple | None:
    """Return distance, u, v and radius in px, colour; None for what is not in front."""
    view, placed = world_transform(eye), world_transform(root_of(ball))
    d = placed.translation - view.translation
    axes = (view.rotation.get_axis_y(), view.rotation.get_axis_z(), view.rotation.get_axis_x())
    point = [d.x * axis.x + d.y * axis.y + d.z * axis.z for axis in axes]
    if point[2] <= eye.custom_near_clipping_plane:
        return None
    width, height = size
    if eye.use_custom_projection_matrix:
        matrix = eye.custom_projection_matrix
        rows = (matrix.x_plane, matrix.y_plane, matrix.z_plane)
        scale = rows[0].x
        ndc_x = sum(p * row.x for p, row in zip(point, rows, strict=True)) / point[2]
        ndc_y = sum(p * row.y for p, row in zip(point, rows, strict=True)) / point[2]
    else:
        scale = 1.0 / math.tan(math.radians(eye.fov_angle) / 2)
        ndc_x = point[0] / point[2] * scale
        ndc_y = point[1] / point[2] * scale * width / height
    radius = 50.0 * placed.scale3d.x / point[2] * scale * width / 2
    u, v = (1 + ndc_x) / 2 * width, (1 - ndc_y) / 2 * height
    return point[2], u, v, radius, colour_of(ball._label)
