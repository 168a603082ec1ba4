# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own presets for a request: a menu with names, add and remove."""

from __future__ import annotations

import bpy
from bl_operators.presets import AddPresetBase

SUBFOLDER = "syncam"
SAVED = (
    "preset",
    "prompt",
    "negative_prompt",
    "seed",
    "new_seed",
    "variations",
    "steps",
    "guidance",
    "size",
    "frames",
    "start_at",
    "frame_start",
    "frame_step",
    "fit_rule",
    "mode",
    "previz_strength",
    "reference_source",
    "reference_file",
    "targets",
    "plate_distance_m",
)


class SYNCAM_MT_presets(bpy.types.Menu):
    bl_label = "Request Presets"
    preset_subdir = SUBFOLDER
    preset_operator = "script.execute_preset"
    draw = bpy.types.Menu.draw_preset


class SYNCAM_OT_preset_add(AddPresetBase, bpy.types.Operator):
    """Save these settings under a name, or remove the chosen ones"""

    bl_idname = "syncam.preset_add"
    bl_label = "Add Request Preset"
    preset_menu = "SYNCAM_MT_presets"
    preset_subdir = SUBFOLDER
    preset_defines: tuple[str, ...] = ("own = bpy.context.scene.syncam",)
    preset_values: tuple[str, ...] = tuple(f"own.{name}" for name in SAVED)


CLASSES = (SYNCAM_MT_presets, SYNCAM_OT_preset_add)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
