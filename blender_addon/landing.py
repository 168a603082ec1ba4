# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished job comes home: its files go beside the .blend, then into the scene. Uses bpy.

`land` is advanced one step a tick. It waits while a render runs or a tool is in the middle of a
drag, and leaves a scene alone that the job does not belong to.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from syncam_engine.link.errors import SynCamError

from . import compat, names, results, thumbs
from .jobs import JobRecord
from .plates import KEY

if TYPE_CHECKING:
    from .session import Session

TOOL_S = 15.0
"""A modal operator of an add-on that is older is no tool in the middle of a drag."""
_first_seen_s: dict[int, float] = {}
"""Of each modal operator that runs, by its address."""


def belongs_here(session: Session, record: JobRecord) -> bool:
    """Whether the open file is the one that the job was started in."""
    if record.job_id in session.made_here:
        return True
    return bool(record.blend) and _same(record.blend, bpy.data.filepath)


def _same(a: str, b: str) -> bool:
    return (
        bool(a)
        and bool(b)
        and os.path.normcase(os.path.abspath(a)) == os.path.normcase(os.path.abspath(b))
    )


def home_folder(record: JobRecord, store_folder: Path) -> Path:
    """Return where the clips go: `syncam/` beside the saved .blend, else the add-on's folder."""
    if bpy.data.filepath:
        beside = Path(bpy.data.filepath).parent
        if os.access(beside, os.W_OK):
            return beside / "syncam" / record.job_id[:8]
    return store_folder


def is_quiet() -> bool:
    """Whether the scene may be changed now without disturbing a render or a tool in use."""
    if any(bpy.app.is_job_running(kind) for kind in ("RENDER", "OBJECT_BAKE")):
        return False
    windows = bpy.context.window_manager.windows
    return not tools_in_use(tool for window in windows for tool in window.modal_operators)


def tools_in_use(operators: Iterable[bpy.types.Operator]) -> bool:
    """Whether one of the modal operators is a tool in use.

    Some add-ons (key displays, asset bars) run one for as long as Blender is open: one written in
    Python counts for a while only. Blender's own are drags.
    """
    global _first_seen_s
    now_s = time.monotonic()
    kinds = {tool.as_pointer(): _is_python(tool) for tool in operators}
    _first_seen_s = {key: _first_seen_s.get(key, now_s) for key in kinds}
    return any(not python or now_s - _first_seen_s[key] < TOOL_S for key, python in kinds.items())


def _is_python(tool: bpy.types.Operator) -> bool:
    return any("modal" in vars(cls) for cls in type(tool).__mro__)


def land(session: Session, record: JobRecord) -> Iterator[None]:
    """Bring a job's files, then its clips into its scene, as one undo step."""
    here, blend = belongs_here(session, record), bpy.data.filepath
    fallback = session.store.clips_folder(record.job_id)
    folder = home_folder(record, fallback) if here else fallback
    yield from bring_files(session, record, folder, fallback)
    session.save(record)
    while not is_quiet():
        yield
    # Asked again: another file may have been opened while the files came or a render ran.
    if not belongs_here(session, record):
        return
    if here and blend and any(Path(c["local"]).is_relative_to(fallback) for c in record.clips):
        beside = Path(blend).parent
        said = f"The folder {beside} cannot be written, so the clips are in {fallback}."
        record.notices.append(said)
        session.notice = said
    scene = bpy.data.scenes.get(record.scene)
    if record.job_id in session.made_here:
        scene = next((s for s in bpy.data.scenes if s.session_uid == record.scene_uid), None)
    if scene is None:
        session.notice = (
            f"The scene {record.scene!r} is not in the file any more; its clips are in the history."
        )
        return
    notes = results.apply(record, scene, same_session=record.job_id in session.made_here)
    record.applied = True
    record.notices += [note for note in notes if note not in record.notices]
    session.save(record)
    if notes:
        session.notice = notes[0]
    thumbs.settle(record)
    push_undo(f"SynCam: {len(record.clips)} clips")


def bring_files(
    session: Session, record: JobRecord, folder: Path, fallback: Path
) -> Iterator[None]:
    """Bring each clip into `folder`, or `fallback` where that cannot be written.

    Sets "local" of each clip, which is checked by then to be the video of that camera.
    Raises SynCamError for a clip that cannot be had.
    """
    for index, clip in enumerate(record.clips):
        if clip.get("local") and _is_whole(Path(clip["local"]), clip):
            continue
        name = f"{names.file_stem(clip['camera'])}.mp4"
        while not session.fetches.may_ask(session.client, record, index):
            yield
        clip.pop("local", None)  # The file that it named is gone.
        for target in dict.fromkeys((folder / name, fallback / name)):
            try:
                session.fetches.ask(session.client, record, index, target)
            except OSError:
                continue
            while session.fetches.is_open(record):
                yield
            if clip.get("local"):
                if session.error is not None and session.error.code == "fetch.write":
                    session.error = None  # The first place was full or read-only; this one is not.
                break
            fault = session.fetches.fault
            if fault is not None and fault.code != "fetch.write":
                raise fault  # It is not the clip; another place would not make it one.
        if not clip.get("local"):
            raise SynCamError(
                "fetch.failed",
                f"The clip of camera {clip['camera']!r} could not be fetched from the engine.",
                value=clip["camera"],
                fix="Fetch again from the history",
            )


def _is_whole(path: Path, clip: dict) -> bool:
    try:
        return path.stat().st_size == clip["bytes"] or not clip["bytes"]
    except OSError:
        return False


def bring_along(session: Session, blend: str) -> None:
    """Bring the clips that the scene shows beside the file that it is being saved as, where that is
    in another folder than they are.

    Called before the file is written: the datablocks then hold paths relative to it. `settle_along`
    or `put_back` follows: only then is it known whether the file became the scene's, or is a copy.
    """
    put_back(session)
    own, beside = bpy.data.filepath, Path(blend).parent
    if own and _same(str(Path(own).parent), str(beside)):
        return
    roots = [session.store.folder, *([Path(own).parent / "syncam"] if own else [])]
    for owner in _movies():
        before = owner.filepath
        path = Path(os.path.normpath(bpy.path.abspath(before)))
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is None or not path.is_file():
            continue
        place = Path("syncam", path.parent.name[:8], path.name)
        try:
            _copy_whole(path, beside / place)
        except OSError:
            session.notice = (
                f"The folder {beside / 'syncam'} cannot be written, so clips of "
                f"{Path(blend).name} are in {root}."
            )
            continue
        moved = f"//{place.as_posix()}"
        owner.filepath = _before_remapping(beside / place) if own else moved
        session.brought.append((owner, before, moved))


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a file under its new name or not at all. Raises OSError."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
        raise


def _before_remapping(path: Path) -> str:
    """Return a path such that Blender, which writes what is relative to the old file relative to
    the new one, writes this path."""
    try:
        return bpy.path.relpath(str(path))
    except ValueError:
        return str(path)  # on another drive


def settle_along(session: Session, blend: str) -> None:
    """The file is written: it is the scene's own from now on, or a copy."""
    if not _same(blend, bpy.data.filepath):
        put_back(session)
        return
    for owner, _, moved in session.brought:
        if bpy.path.abspath(owner.filepath) != bpy.path.abspath(moved):
            owner.filepath = moved
            # In the file itself it is not, without "Remap Relative"; `find_beside` mends that.
    session.brought.clear()
    for record in session.records.values():
        if record.job_id in session.made_here and not record.blend:
            record.blend = blend
            session.save(record)


def put_back(session: Session) -> None:
    """The file is a copy, or could not be written: the scene here goes on with its own clips."""
    for owner, before, _ in session.brought:
        owner.filepath = before
    session.brought.clear()


def _movies() -> Iterator[bpy.types.Image | bpy.types.Strip]:
    """Whatever shows a clip in the open file."""
    for image in bpy.data.images:
        if image.get(KEY) and image.source == "MOVIE" and image.library is None:
            yield image
    for scene in bpy.data.scenes:
        if scene.get("syncam_edit") and scene.sequence_editor:
            for strip in compat.strips_of(scene.sequence_editor):
                if strip.type == "MOVIE":
                    yield strip


def find_beside() -> None:
    """Have what lost its clip show the one that lies in its place beside the open file: the two may
    have been moved together."""
    beside = Path(bpy.data.filepath).parent
    for owner in _movies() if bpy.data.filepath else ():
        path = Path(bpy.path.abspath(owner.filepath))
        place = Path("syncam", path.parent.name[:8], path.name)
        if not path.is_file() and (beside / place).is_file():
            owner.filepath = f"//{place.as_posix()}"


def push_undo(message: str) -> None:
    """Make what was just done one undo step. Background mode has no undo stack."""
    windows = bpy.context.window_manager.windows
    if bpy.app.background or not windows:
        return
    with bpy.context.temp_override(window=windows[0]):
        bpy.ops.ed.undo_push(message=message)
