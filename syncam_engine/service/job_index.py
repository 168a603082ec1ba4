# SPDX-License-Identifier: Apache-2.0
"""The database of jobs: its schema, brought up from older ones, and a new one for a damaged one.

A page of jobs is read without what is large: requests are in a table of their own, and only while
their jobs are open. The engine holds the database's lock as long as it runs, so that no other
program's lock ever makes it wait.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from syncam_engine.link.errors import SynCamError

from .files import not_written
from .jobs import OPEN, Summary, Ticket

SCHEMA_VERSION = 3
START_WAIT_S = 5.0
"""So long a start waits for another program that has the database locked."""


def _split_tickets(db: sqlite3.Connection) -> None:
    for job_id, state, ticket in db.execute("SELECT id, state, ticket FROM old_jobs"):
        try:
            summary = Summary.of(msgspec.msgpack.decode(ticket, type=Ticket))
        except msgspec.DecodeError as error:
            raise sqlite3.DatabaseError(f"job {job_id} cannot be read: {error}") from error
        db.execute(
            "UPDATE jobs SET client = ?, views = ?, summary = ? WHERE id = ?",
            (summary.client_name, summary.views, msgspec.msgpack.encode(summary), job_id),
        )
        if state in OPEN:
            db.execute("INSERT INTO tickets VALUES (?, ?)", (job_id, ticket))


_MIGRATIONS: dict[int, tuple[str | Callable[[sqlite3.Connection], None], ...]] = {
    # from version: what leads to the next
    0: (
        "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, place REAL NOT NULL,"
        " state TEXT NOT NULL, attempts INTEGER NOT NULL, deaths INTEGER NOT NULL,"
        " served INTEGER NOT NULL, bytes INTEGER NOT NULL, submitted_unix_s REAL NOT NULL,"
        " ended_unix_s REAL, ticket BLOB NOT NULL, done BLOB, error BLOB)",
        "CREATE INDEX jobs_by_state ON jobs (state)",
    ),
    1: ("CREATE INDEX jobs_by_owner ON jobs (owner)",),
    2: (
        "ALTER TABLE jobs RENAME TO old_jobs",
        "DROP INDEX jobs_by_state",
        "DROP INDEX jobs_by_owner",
        # The row's number is the order in which jobs came; the clock is for people.
        "CREATE TABLE jobs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
        " owner TEXT NOT NULL, place REAL NOT NULL, state TEXT NOT NULL,"
        " attempts INTEGER NOT NULL, deaths INTEGER NOT NULL, served INTEGER NOT NULL,"
        " bytes INTEGER NOT NULL, submitted_unix_s REAL NOT NULL, ended_unix_s REAL,"
        " client TEXT NOT NULL, views INTEGER NOT NULL, summary BLOB NOT NULL, done BLOB,"
        " error BLOB)",
        "CREATE TABLE tickets (id TEXT PRIMARY KEY, ticket BLOB NOT NULL)",
        "CREATE INDEX jobs_by_state ON jobs (state)",
        "CREATE INDEX jobs_by_owner ON jobs (owner, bytes)",
        "INSERT INTO jobs SELECT rowid, id, owner, place, state, attempts, deaths, served, bytes,"
        " submitted_unix_s, ended_unix_s, '', 0, x'', done, error FROM old_jobs",
        _split_tickets,
        "DROP TABLE old_jobs",
    ),
}


def open_index(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the database of jobs. One that is damaged is kept under another name and a new one is
    opened, which the second says; else that is "".

    Raises `SynCamError` "store.newer"; "disk.*" where it is another's or the disk's fault.
    """
    try:
        return _connect(path), ""
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise not_written(error) from error
        aside = path.with_name(f"jobs.damaged-{time.time_ns()}.sqlite")
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        return _connect(path), f"The job database was damaged ({error}); it is kept as {aside}."


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Not so where it is locked, cannot be opened, or has no room."""
    code = getattr(error, "sqlite_errorcode", None)
    damages = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return code is None or code & 0xFF in damages or code == sqlite3.SQLITE_IOERR_SHORT_READ


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=START_WAIT_S, isolation_level="IMMEDIATE")
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
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
                for step in _MIGRATIONS[version]:
                    if isinstance(step, str):
                        db.execute(step)
                    else:
                        step(db)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
        db.execute("SELECT * FROM jobs LIMIT 1").fetchone()
        # From here on the lock is the engine's own: nothing is waited for.
        db.execute("PRAGMA busy_timeout = 0")
    except (sqlite3.Error, SynCamError):
        db.close()
        raise
    os.chmod(path, 0o600)
    return db
