# SPDX-License-Identifier: Apache-2.0
"""A client in a process of its own, so that it can be killed: `python -m ...actor FOLDER`.

FOLDER holds `plan.json` (client id, state folder, jobs). It submits every job, follows them all and
appends each end to `ends.jsonl`. Started again it does the same again: what it had submitted is
submitted twice, which is one job.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import msgspec

from syncam_engine.link.client import EngineClient
from syncam_engine.link.messages import Done, Failed, GenerateRequest


def main(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    requests = msgspec.convert(plan["requests"], list[GenerateRequest])
    told = folder / "ends.jsonl"
    known = set()
    if told.exists():
        for line in told.read_text().splitlines():
            try:
                known.add(json.loads(line)["job"])
            except ValueError:
                continue  # the line that was being written when this client was killed
    client = EngineClient(
        state_dir=Path(plan["state_dir"]), client_id=plan["client_id"], client_name=folder.name
    )
    waiting = [request for request in requests if request.job_id not in known]
    left = {request.job_id for request in waiting}
    inside = 0
    with open(told, "a") as log:
        while left:
            # A few at a time, in order, as an artist would.
            while waiting and inside < plan["at_once"]:
                client.submit(waiting.pop(0))
                inside += 1
            for event in client.wait(0.5):
                if isinstance(event, (Done, Failed)) and event.job_id in left:
                    left.discard(event.job_id)
                    inside -= 1
                    log.write(json.dumps(_end(event)) + "\n")
                    log.flush()
                    os.fsync(log.fileno())
    client.close()


def _end(event: Done | Failed) -> dict:
    if isinstance(event, Done):
        return {"job": event.job_id, "digests": [clip.digest for clip in event.clips]}
    return {"job": event.job_id, "error": event.error.code}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
