# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless rendering of multi-camera training rigs with bpy.

The scene itself (places, subjects, motion, cameras, captions) is plain numpy and knows no Blender;
``render_rigs.blender`` is the one folder that imports bpy.
"""
