# SPDX-License-Identifier: Apache-2.0
"""The engine's log: one JSON object a line, with the job's id where there is one; rotating."""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path

from syncam_engine.link.endpoint import private_dir

FIELDS = (
    "job",
    "client",
    "worker",
    "pid",
    "code",
    "preset",
    "attempt",
    "seconds",
    "key",
    "details",
)


class JsonLines(logging.Formatter):
    """{"time", "level", "from", "text", and of FIELDS those that the record has}."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "from": record.name.removeprefix("syncam."),
            "text": record.getMessage(),
        }
        for field in FIELDS:
            value = getattr(record, field, None)
            if value is not None:
                line[field] = value
        if record.exc_info:
            line["details"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Rotating(logging.handlers.RotatingFileHandler):
    """A log that cannot be written (a full disk) is no reason to stop."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def start_logging(path: Path, *, megabytes: int = 10, files: int = 5) -> None:
    """Send the `syncam` loggers to `path`, at most `files` older files beside it."""
    private_dir(path.parent)
    handler = _Rotating(
        path, maxBytes=megabytes * 1_000_000, backupCount=files, encoding="utf-8", delay=False
    )
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("syncam")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
