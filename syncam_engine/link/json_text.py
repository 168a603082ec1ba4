# SPDX-License-Identifier: Apache-2.0
"""JSON that somebody else wrote: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Like `json.loads`, whose parser ends in a `RecursionError` where text is nested deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
