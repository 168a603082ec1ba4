# SPDX-License-Identifier: Apache-2.0
"""The engine's log: one JSON object a line, with the job's id where there is one; rotating.

An engine on somebody's terminal says the same there, in words.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from pathlib import Path

from syncam_engine.link.endpoint import private_dir
from syncam_engine.link.printable import printable

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
        return printable(json.dumps(line, ensure_ascii=False))


class Words(logging.Formatter):
    """The same for a person: the time, what happened, and which job."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        job = getattr(record, "job", None)
        return printable(f"{moment} {record.getMessage()}" + (f" ({job[:8]})" if job else ""))


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
    # Hosts start the engine with a file in the terminal's place, and read the log above.
    if sys.stderr is not None and sys.stderr.isatty():
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(Words())
        logger.addHandler(console)
    logger.setLevel(logging.INFO)
    logger.propagate = False
