# SPDX-License-Identifier: Apache-2.0
"""A client in a process of its own, so that it can be killed: `python -m ...actor FOLDER`.

FOLDER holds `plan.json` (client id, state folder, jobs). It submits job after job, follows them all
and appends each end to `ends.jsonl`, until there are no more or the file `enough` is there. What it
is about to submit is written to `sent.jsonl` first. Started again it does the same again: what it
had submitted is submitted twice, which is one job.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path

import msgspec

from syncam_engine.link.client import EngineClient
from syncam_engine.link.messages import Done, Failed, GenerateRequest


def main(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    requests = msgspec.convert(plan["requests"], list[GenerateRequest])
    told, sent = folder / "ends.jsonl", folder / "sent.jsonl"
    known = {line["job"] for line in read_lines(told)}
    before = {line["job"] for line in read_lines(sent)}
    client = EngineClient(
        state_dir=Path(plan["state_dir"]), client_id=plan["client_id"], client_name=folder.name
    )
    waiting = deque(request for request in requests if request.job_id not in known)
    inside: set[str] = set()
    while True:
        enough = (folder / "enough").exists()
        # A few at a time, in order, as an artist would.
        while waiting and len(inside) < plan["at_once"]:
            request = waiting[0]
            if request.job_id not in before:
                if enough:
                    waiting.clear()
                    break
                _append(sent, {"job": request.job_id})
            client.submit(waiting.popleft())
            inside.add(request.job_id)
        if not inside:
            break
        for event in client.wait(0.5):
            if isinstance(event, (Done, Failed)) and event.job_id in inside:
                inside.discard(event.job_id)
                _append(told, _end(event))
    client.close()


def read_lines(path: Path) -> list[dict]:
    """What was appended; the line that was being written when the client was killed is none."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _append(path: Path, line: dict) -> None:
    # On a line of its own, also after one that was cut short.
    with open(path, "a") as file:
        file.write("\n" + json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _end(event: Done | Failed) -> dict:
    if isinstance(event, Done):
        return {"job": event.job_id, "digests": [clip.digest for clip in event.clips]}
    return {"job": event.job_id, "error": event.error.code}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
