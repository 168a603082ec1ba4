# SPDX-License-Identifier: Apache-2.0
"""The Blender that is started after one was killed: it finds the jobs by id and lands them.

BPY_PYTHON -m tests.blender_addon.scripts.crash_return SHOT.blend
"""

from __future__ import annotations

import bpy

from .common import arguments, enable, plates_of, tell, tick_until


def main() -> None:
    state = enable().get()
    bpy.ops.wm.open_mainfile(filepath=arguments()[0])
    # Other objects have the ids now that the job's cameras had in the Blender that was killed.
    uids = {thing.name: thing.session_uid for thing in bpy.data.objects}
    state.connect()
    was = {job_id: record.state for job_id, record in state.records.items()}
    tick_until(state, lambda: state.is_settled(list(was)), "the jobs' clips")
    records = sorted(state.records.values(), key=lambda record: record.created_unix_s)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=arguments()[0])
    backgrounds = {
        name: bpy.path.abspath(bpy.data.objects[name].data.background_images[0].image.filepath)
        for name in ("Wide", "Dolly")
    }
    tell(
        jobs=[record.job_id for record in records],
        was=[was[record.job_id] for record in records],
        now=[record.state for record in records],
        applied=[record.applied for record in records],
        same_ids=all(r["uid"] == uids[r["object"]] for r in records[0].cameras),
        plates=plates_of(bpy.context.scene),
        backgrounds=backgrounds,
    )


main()
