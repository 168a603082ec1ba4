# SPDX-License-Identifier: Apache-2.0
"""Disks that are full and folders that are read-only, for real: small file systems of their own.

    BPY_PYTHON -m tests.blender_addon.scripts.disks WORKS FULL READ_ONLY SMALL

WORKS, FULL and READ_ONLY hold a shot.blend; FULL gets filled here; SMALL has less room than an
engine keeps free.
"""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from .common import RUN, arguments, enable, plates_of, sentence_of, tell, tick_until


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with open(folder / "filler", "wb", buffering=0) as out:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while out.write(bytes(size)):
                    pass
            except OSError:
                continue


def make_room(folder: Path) -> None:
    (folder / "filler").unlink()


def main() -> None:
    works, full, read_only, small = map(Path, arguments())
    session = enable()
    answer = {}
    for name, folder in (("full", full), ("read_only", read_only)):
        bpy.ops.wm.open_mainfile(filepath=str(folder / "shot.blend"))
        if name == "full":
            fill(full)
        bpy.ops.syncam.generate(**RUN, cameras="Wide")
        state = session.get()
        record = state.ended()[0]
        answer[name] = {
            "notice": state.notice,
            "applied": record.applied,
            "is_there": Path(record.clips[0]["local"]).is_file(),
            "beside": Path(record.clips[0]["local"]).is_relative_to(folder),
            "plates": plates_of(bpy.context.scene),
            "left": [path.name for path in folder.rglob("*.partial")],
        }
        state.notice = ""
    make_room(full)
    bpy.ops.wm.open_mainfile(filepath=str(works / "shot.blend"))
    answer["jobs_full"] = jobs_folder_full(session, full)
    os.environ["SYNCAM_STATE_DIR"] = str(small / "state")
    session.get().reconnect()
    answer["engine_full"] = sentence_of(bpy.ops.syncam.generate, **RUN, cameras="Wide")
    answer["engine_state"] = session.get().engine.state
    tell(**answer)


def jobs_folder_full(session, full: Path) -> dict:
    """The add-on's own folder is on the full disk: before a job, and while one runs."""
    kept = os.environ["SYNCAM_CONFIG_DIR"]
    os.environ["SYNCAM_CONFIG_DIR"] = str(full / "config")
    session.forget()
    state = session.get()
    bpy.ops.syncam.generate(**RUN, wait="NO", cameras="Wide", targets={"PLATES"})
    record = state.running()[0]
    fill(full)
    tick_until(state, lambda: state.is_settled([record.job_id]), "the job's clips")
    said = state.error.sentence if state.error else ""
    before = len(state.records)
    refused = sentence_of(bpy.ops.syncam.generate, **RUN, cameras="Wide")
    answer = {
        "during": said,
        "state": record.state,
        "applied": record.applied,
        "refused": refused,
        "none_more": len(state.records) == before and not state.running(),
    }
    make_room(full)
    os.environ["SYNCAM_CONFIG_DIR"] = kept
    session.forget()
    return answer


main()
