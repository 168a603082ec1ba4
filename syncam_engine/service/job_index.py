# SPDX-License-Identifier: Apache-2.0
"""The database of jobs: its schema, brought up from older ones, and a new one for a damaged one."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from syncam_engine.link.errors import SynCamError

SCHEMA_VERSION = 2
_MIGRATIONS = {
    # from version: statements that lead to the next
    0: (
        "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, place REAL NOT NULL,"
        " state TEXT NOT NULL, attempts INTEGER NOT NULL, deaths INTEGER NOT NULL,"
        " served INTEGER NOT NULL, bytes INTEGER NOT NULL, submitted_unix_s REAL NOT NULL,"
        " ended_unix_s REAL, ticket BLOB NOT NULL, done BLOB, error BLOB)",
        "CREATE INDEX jobs_by_state ON jobs (state)",
    ),
    1: ("CREATE INDEX jobs_by_owner ON jobs (owner)",),
}


def open_index(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the database of jobs. One that is damaged is kept under another name and a new one is
    opened, which the second says; else that is "". Raises `SynCamError` "store.newer"."""
    try:
        return _connect(path), ""
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"jobs.damaged-{time.time_ns()}.sqlite")
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        return _connect(path), f"The job database was damaged ({error}); it is kept as {aside}."


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10.0, isolation_level="IMMEDIATE")
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages contradict each other")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise SynCamError(
                "store.newer",
                f"The jobs in {path.parent} were written by a newer SynCam (schema {version}).",
                value=version,
                nearest=SCHEMA_VERSION,
                fix="Use that version, or another --state-dir.",
            )
        while version < SCHEMA_VERSION:
            with db:
                for statement in _MIGRATIONS[version]:
                    db.execute(statement)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
        db.execute("SELECT * FROM jobs LIMIT 1").fetchone()
    except (sqlite3.Error, SynCamError):
        db.close()
        raise
    os.chmod(path, 0o600)
    return db
