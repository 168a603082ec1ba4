# SPDX-License-Identifier: Apache-2.0
"""A Blender that sends two jobs and is killed while the second waits or runs.

BPY_PYTHON -m tests.blender_addon.scripts.crash_begin SHOT.blend
"""

from __future__ import annotations

import time

import bpy

from .common import RUN, arguments, enable, tell, tick_until


def main() -> None:
    state = enable().get()
    bpy.ops.wm.open_mainfile(filepath=arguments()[0])
    own = {**RUN, "wait": "NO", "cameras": "Wide\nDolly"}
    # Slow enough that it is not done when this Blender is killed.
    bpy.ops.syncam.generate(
        **{**own, "prompt": "sleep=1 first", "steps": 8}, targets={"PLATES"}, seed=3
    )
    bpy.ops.syncam.generate(
        **{**own, "prompt": "sleep=0.3 second", "steps": 8}, targets={"BACKGROUNDS"}, seed=4
    )
    records = sorted(state.running(), key=lambda record: record.created_unix_s)
    # Sent is not yet accepted: then the engine says that another is before it.
    tick_until(state, lambda: records[1].position > 0, "the second job is accepted")
    tell(jobs=[record.job_id for record in records])
    while True:
        time.sleep(0.05)


main()
