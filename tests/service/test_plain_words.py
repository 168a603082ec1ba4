# SPDX-License-Identifier: Apache-2.0
"""Names and prompts of others that would move a terminal's cursor, colour it or forge its lines."""

from __future__ import annotations

import json
import logging

from rich.console import Console

from syncam_engine.cli import main
from syncam_engine.commands import asking, jobs, status
from syncam_engine.link.engine_facts import EngineStatus, WorkerInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import ErrorInfo, JobInfo, JobList
from syncam_engine.link.printable import printable
from syncam_engine.service.logs import JsonLines, Words

EVIL = "\x1b[2J\x1b]0;owned\x07ann\x9b31ma\r\nroot: fine\u202egpj.exe\u2028"
CONTROLS = ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028")


def is_plain(text):
    return not any(control in text for control in CONTROLS)


def record(text):
    made = logging.LogRecord("syncam.hub", logging.WARNING, "", 0, "%s is cut off", (text,), None)
    made.client = text
    return made


def test_control_characters_are_written_out():
    written = "\\u001b]0;x\\u0007 \\u202egpj.exe\\u2028"
    assert printable("\x1b]0;x\x07 \u202egpj.exe\u2028") == written
    assert printable("a\x9b\r\n") == "a\\u009b\\u000d\\u000a"
    assert printable("Käthe 🦊 [b]") == "Käthe 🦊 [b]"


def test_log_on_a_terminal_and_in_its_file():
    words = Words().format(record(EVIL))
    assert is_plain(words)
    assert "\n" not in words
    line = JsonLines().format(record(EVIL))
    assert is_plain(line)
    assert json.loads(line)["client"] == EVIL


def shown(table):
    console = Console(width=400, record=True, force_terminal=False)
    console.print(table)
    return console.export_text(styles=False)


def evil_job(**changes):
    fields = {"job_id": "ab" * 4, "state": "queued", "client": EVIL, "prompt": EVIL, "phase": EVIL}
    return JobInfo(**{**fields, **changes})


def test_table_of_jobs():
    error = ErrorInfo(code="job.failed", sentence=EVIL)
    said = shown(asking.job_table([evil_job(), evil_job(state="failed", error=error)], 80))
    assert is_plain(said)
    assert "owned" in said


def test_status(capsys):
    found = EngineStatus(
        engine=EVIL,
        instance="x",
        pid=1,
        uptime_s=1.0,
        endpoint=EVIL,
        workers=[WorkerInfo(index=0, state="busy", device=EVIL, preset=EVIL, phase=EVIL)],
        notes=[EVIL],
    )
    status.show(found, JobList(jobs=[evil_job()]))
    assert is_plain(capsys.readouterr().out)


def test_error_of_an_engine(monkeypatch, capsys):
    def refused(args):
        jobs.find_job("zzzz", [evil_job()])

    monkeypatch.setattr(jobs, "run", refused)
    assert main(["jobs"]) == 2
    assert is_plain(capsys.readouterr().err)

    def other(args):
        raise SynCamError("a.b", EVIL, fix=EVIL)

    monkeypatch.setattr(jobs, "run", other)
    assert main(["jobs"]) == 2
    assert is_plain(capsys.readouterr().err)
