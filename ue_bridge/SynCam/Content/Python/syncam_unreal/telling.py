# SPDX-License-Identifier: Apache-2.0
"""What went wrong in an action of the panel, in words for the user. Knows no `unreal`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from syncam_engine.link.errors import SynCamError


class ToldToUser:
    """Ends an action that failed, in words: SynCamError as it is, whatever else the editor raised
    with its traceback in the log. The bridge goes on."""

    def __init__(
        self,
        title: str,
        log: Callable[[str, str], None],
        report: Callable[[str, SynCamError], None],
    ) -> None:
        self._title, self._log, self._report = title, log, report

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        if not isinstance(error, SynCamError):
            self._log("error", "".join(traceback.format_exception(kind, error, trace)))
            error = SynCamError("panel.unexpected", f"{kind.__name__}: {error}.".replace("..", "."))
        self._report(self._title, error)
        return True
