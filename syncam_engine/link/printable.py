# SPDX-License-Identifier: Apache-2.0
"""Text of others for a terminal: what would move its cursor, colour it or turn its lines around is
written out instead."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return `text` in one line with each control character as `\\u001b`, which is also how JSON
    writes it."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
