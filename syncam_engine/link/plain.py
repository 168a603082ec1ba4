# SPDX-License-Identifier: Apache-2.0
"""What came over the wire as plain data that a host can show, store and count with.

An engine may be broken, or not be what it says it is: its texts may hold control sequences, its
numbers may be no numbers, its free-form fields may nest without end.
"""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec import Struct

from . import limits
from .errors import SynCamError

_LARGEST = 1e15
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain_text(text: str) -> str:
    """Return a text without control and direction characters, cut at `MAX_TEXT_CHARS`."""
    if len(text) > limits.MAX_TEXT_CHARS:
        text = text[: limits.MAX_TEXT_CHARS]
    return text if text.isprintable() else _UNPRINTABLE.sub("\ufffd", text)


def plain(value: Any) -> Any:
    """Return `value` as plain data; a struct as one of its kind.

    Floats that are not finite, or beyond any use, become 0; types that JSON lacks become text.
    Raises `SynCamError` "message.too_deep", and "message.too_large" for more than `MAX_VALUES`.
    """
    return _Walk().made_plain(value, 0)


class _Walk:
    def __init__(self) -> None:
        self._left = limits.MAX_VALUES

    def made_plain(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise SynCamError(
                "message.too_large",
                f"The message has more than {limits.MAX_VALUES} values.",
                nearest=limits.MAX_VALUES,
            )
        if isinstance(value, str):
            return plain_text(value)
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) and abs(value) <= _LARGEST else 0.0
        if depth > limits.MAX_DEPTH:
            raise SynCamError(
                "message.too_deep",
                f"The message nests deeper than {limits.MAX_DEPTH} levels.",
                nearest=limits.MAX_DEPTH,
            )
        if isinstance(value, (list, tuple)):
            return type(value)([self.made_plain(item, depth + 1) for item in value])
        if isinstance(value, dict):
            return {
                plain_text(key if isinstance(key, str) else repr(key)): self.made_plain(
                    item, depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, Struct):
            fields = value.__struct_fields__
            made = {name: self.made_plain(getattr(value, name), depth + 1) for name in fields}
            return type(value)(**made)
        return plain_text(repr(value)[: limits.MAX_NAME_CHARS])
