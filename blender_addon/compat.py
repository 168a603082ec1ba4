# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender versions (4.2 LTS to 5.x), in one place."""

from __future__ import annotations

from typing import Any

import bpy

VERSION: tuple[int, int, int] = tuple(bpy.app.version)

RELATIVE_PATHS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if VERSION >= (4, 5, 0) else set()
"""Options of a path property that takes "//"; older versions take it without saying so."""


def eevee_engine() -> str:
    """Return EEVEE's identifier: renamed in 4.2 and back in 5.0."""
    return "BLENDER_EEVEE" if VERSION >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def enable_nodes(owner: bpy.types.ID) -> bpy.types.NodeTree:
    """Return the node tree of a material or world; since 5.0 it always has one."""
    if VERSION < (5, 0, 0):
        owner.use_nodes = True
    return owner.node_tree


def strips_of(editor: Any) -> Any:
    """Return a sequence editor's strips: `sequences` until 4.3, `strips` since 4.4."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def new_effect_strip(
    strips: Any, *, name: str, kind: str, channel: int, frame_start: int, length: int
) -> Any:
    """Add an effect strip without inputs; 5.0 asks for a length, older ones for an end frame."""
    arguments = {"name": name, "type": kind, "channel": channel, "frame_start": frame_start}
    if VERSION >= (5, 0, 0):
        arguments["length"] = length
    else:
        arguments["frame_end"] = frame_start + length
    return strips.new_effect(**arguments)


def set_tga_output(render: bpy.types.RenderSettings) -> None:
    """Make renders write plain TGA pictures; 5.0 asks for the kind of media first."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "TARGA_RAW"
    render.image_settings.color_mode = "RGB"


# The colour spaces that undo a view transform, so that a plate shows its clip as it is.
_INVERSE_OF_VIEW = {
    "AgX": "AgX Base sRGB",
    "Filmic": "Filmic sRGB",
    "Khronos PBR Neutral": "Khronos PBR Neutral sRGB",
}


def unaltered_colorspace(scene: bpy.types.Scene) -> str:
    """Return the colour space in which an sRGB clip leaves the scene's view transform unchanged.

    The view transform maps some saturated colours nowhere; those come out as near as it can.
    """
    return _INVERSE_OF_VIEW.get(scene.view_settings.view_transform, "sRGB")


def set_colorspace(image: bpy.types.Image, name: str) -> None:
    """Set an image's colour space; a configuration without that name keeps sRGB."""
    if image.colorspace_settings.name == name:
        return
    try:
        image.colorspace_settings.name = name
    except TypeError:
        image.colorspace_settings.name = "sRGB"
