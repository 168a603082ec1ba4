# SPDX-License-Identifier: Apache-2.0
"""Takes back what a step that failed had made."""

from __future__ import annotations

from collections.abc import Callable

import unreal


class Undo:
    """Calls to make, last added first."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []

    def on_undo(self, call: Callable[[], object]) -> None:
        self._calls.append(call)

    def undo(self) -> None:
        """Make every call, newest first; one that fails is logged and keeps none of the others."""
        while self._calls:
            try:
                self._calls.pop()()
            except Exception as error:  # noqa: BLE001 - the editor raises what it likes
                unreal.log_warning(f"SynCam: something could not be taken back: {error}")
