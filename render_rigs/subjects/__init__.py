# SPDX-License-Identifier: GPL-3.0-or-later
"""People and animals: built, dressed, skinned and animated from parameters, without Blender."""
