# SPDX-License-Identifier: Apache-2.0
"""Tests of the extension: pure ones here; each Blender version's Python runs those in `inside/`."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("bpy") else ["inside"]
