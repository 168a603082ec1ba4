# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to bpy: numpy scenes become Blender data here and nowhere else."""
