# SPDX-License-Identifier: Apache-2.0
"""`syncam generate`: one clip for every camera of a rig file, from a terminal."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from syncam_engine.commands.asking import start_fix
from syncam_engine.commands.generate_options import (
    check_options,
    configure,
    folders_of,
)
from syncam_engine.commands.jobs import job_or_none
from syncam_engine.commands.out_folder import (
    check_room,
    digest_of,
    make_room,
    names_of,
    remove,
    write_result,
)
from syncam_engine.commands.request_options import request_of
from syncam_engine.link import rig_json
from syncam_engine.link.client import EngineClient
from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.endpoint import stored_client_id
from syncam_engine.link.engine_facts import Hello
from syncam_engine.link.envelope import said_once
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply
from syncam_engine.link.launch import EngineLauncher
from syncam_engine.link.messages import (
    ClipResult,
    Done,
    ErrorInfo,
    Failed,
    GenerateRequest,
    Phase,
    Progress,
    Queued,
    new_id,
)
from syncam_engine.link.printable import printable

__all__ = ["configure", "connect", "run"]

MOST_RESTARTS = 3
"""How often an engine that ends under a job is started again."""


def run(args: argparse.Namespace) -> int:
    check_options(args)
    rig = rig_json.read_rig(args.rig)
    # Before anything is sampled: clips that have no place would have cost the time for nothing.
    folders = list(folders_of(args).values())
    new = [path for path in dict.fromkeys((args.out, *folders)) if not path.exists()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    client = EngineClient(
        args.engine or None,
        state_dir=args.state_dir,
        client_name="syncam generate",
        client_id=stored_client_id("terminal"),
    )
    launcher = None if args.engine else EngineLauncher(client, state_dir=args.state_dir)
    try:
        return _generate(args, rig, client, launcher)
    finally:
        client.close()
        for folder in reversed(new):
            with suppress(OSError):  # goes only while it is empty
                folder.rmdir()


def _generate(args, rig, client: EngineClient, launcher: EngineLauncher | None) -> int:
    start_s = time.monotonic()
    hello = connect(client, launcher)
    start_seconds = time.monotonic() - start_s
    said = None if args.json else _say_started(launcher)
    request = _request(args, rig, hello)
    if args.job_id:
        known = job_or_none(client, args.job_id)
        if known is not None:
            request = msgspec.structs.replace(request, job_id=known.job_id, prompt=known.prompt)
    folders = folders_of(args)
    takes = [
        msgspec.structs.replace(request, seed=seed, job_id=new_id() if k else request.job_id)
        for k, seed in enumerate(folders)
    ]
    names = names_of(rig_json.rig_from_dict(request.rig), request.outputs)
    for take in takes:
        check_room(folders[take.seed], take.job_id, names)
    texts = []
    for k, take in enumerate(takes):
        label = f"{k + 1} of {len(takes)}: " if len(takes) > 1 else ""
        out = folders[take.seed]
        result = _take(args, take, client, launcher, out, label)
        result["seconds"] = {
            "engine_start": start_seconds,
            **result["seconds"],
            "total": time.monotonic() - start_s,
        }
        texts.append(write_result(out, result))
        said = None if args.json else _say_started(launcher, said)
        if not args.json:
            print(f"{label}{_counted(result['clips'])} in {out}", flush=True)
        start_s, start_seconds = time.monotonic(), 0.0
    if args.json:
        print(texts[0] if len(texts) == 1 else f"[{','.join(texts)}]")
    return 0


def _say_started(launcher: EngineLauncher | None, known: int | None = None) -> int | None:
    """Say which engine was started here, but for the `known` one; return its process."""
    pid = launcher.started_pid if launcher is not None else None
    if pid is None or pid == known:
        return known
    stop = f"taskkill /F /PID {pid}" if os.name == "nt" else f"kill {pid}"
    print(f"started the engine, which stays for the next jobs; to stop it: {stop}", file=sys.stderr)
    return pid


def _take(
    args,
    request: GenerateRequest,
    client: EngineClient,
    launcher: EngineLauncher | None,
    out: Path,
    label: str,
) -> dict[str, Any]:
    """Have one job's clips made and brought to `out`; return what its result.json says."""
    job_id = client.submit(request, args.previz or ([args.reference] if args.reference else []))
    try:
        with _Bar(quiet=args.json, label=label) as bar:
            done = _follow(client, launcher, job_id, bar)
            names = [clip_name(clip.index, clip.camera, clip.kind) for clip in done.clips]
            if moved := make_room(out, job_id, names):
                bar.say(moved)
            fresh = [name for name in names if not (out / name).exists()]
    except KeyboardInterrupt:
        _cancel(client, job_id, _engine_options(args))
        raise
    try:
        clips = [_bring(client, done, clip, out) for clip in done.clips]
    except (KeyboardInterrupt, OSError, SynCamError):
        # Without a result.json they would be taken for somebody's own, and be in the way.
        remove(out, fresh)
        print(_is_done(job_id), file=sys.stderr)
        raise
    for clip in clips:
        clip["digest"] = digest_of(Path(clip["path"])) if clip["path"] else ""
    return {
        "job_id": job_id,
        "model": done.model,
        "device": done.device,
        "weights_digest": done.weights_digest,
        "placement": done.placement,
        "sampling": done.sampling,
        "seed": done.seed,
        "prompt": request.prompt,
        "clips": clips,
        "seconds": done.seconds,
    }


def _counted(clips: list[dict]) -> str:
    films = sum(clip["kind"] == "video/mp4" for clip in clips)
    text = f"{films} clip{'s' * (films > 1)}"
    return text if films == len(clips) else f"{text}, also as PNG pictures,"


def connect(client: EngineClient, launcher: EngineLauncher | None, limit_s: float = 60.0) -> Hello:
    """Wait for the engine, starting a local one if none runs. Raises `SynCamError` "engine.*"."""
    if launcher is not None:
        launcher.ensure_started()
    end_s = time.monotonic() + limit_s
    said = ""
    while client.hello is None or client.state not in ("ready", "loading"):
        for event in client.wait(0.2):
            if isinstance(event, Lost):
                raise event.error.to_error()
        if launcher is not None:
            status = launcher.status()
            said = status.sentence
            if status.state in ("not found", "lost", "version mismatch"):
                raise SynCamError("engine.unavailable", status.sentence, fix=status.fix)
        if time.monotonic() > end_s:
            where = client.address or "this machine"
            raise client.problem or SynCamError(
                "engine.unavailable",
                said or f"No engine answers at {where}.",
                fix=start_fix(client),
            )
    return client.hello


def _request(args, rig, hello: Hello) -> GenerateRequest:
    default = next((p.name for p in hello.presets if p.default), "preview")
    preset = next((p for p in hello.presets if p.name == (args.preset or default)), None)
    negative = args.negative_prompt
    if negative is None:
        negative = preset.defaults.get("negative_prompt", "") if preset else ""
    return request_of(
        args,
        rig,
        preset.defaults if preset else {},
        job_id=args.job_id or new_id(),
        negative_prompt=negative,
        preset=args.preset or default,
        outputs=["mp4", "png"] if args.png else ["mp4"],
        priority=args.priority,
    )


def _follow(client: EngineClient, launcher: EngineLauncher | None, job_id: str, bar: _Bar) -> Done:
    """Wait for the job's end. A local engine that ends meanwhile is started again, a few times."""
    restarts = 0
    while True:
        stands = launcher.status() if launcher is not None else None
        if stands is not None and stands.state == "lost":
            if restarts == MOST_RESTARTS:
                raise SynCamError(
                    "engine.unavailable",
                    f"{stands.sentence} The job {job_id} is kept and runs once an engine does.",
                    value=job_id,
                    fix=f"Read {stands.log_path}, then: syncam serve",
                )
            restarts += 1
            launcher.ensure_started()
        for event in client.wait(0.25):
            if isinstance(event, Done) and event.job_id == job_id:
                return event
            if isinstance(event, Failed) and event.job_id == job_id:
                raise event.error.to_error()
            bar.show(event)


def _cancel(client: EngineClient, job_id: str, options: str, limit_s: float = 10.0) -> None:
    """Ctrl-C: cancel the job, wait for its end, and say what became of it. A second Ctrl-C only
    waits no longer."""
    said = (
        f"The engine has not answered, so the job {job_id} may go on. "
        f"`syncam jobs list{options}` shows it, `syncam jobs cancel {job_id}{options}` stops it."
    )
    client.cancel(job_id)
    end_s = time.monotonic() + limit_s
    try:
        while time.monotonic() < end_s:
            for event in client.wait(0.25):
                if isinstance(event, Done) and event.job_id == job_id:
                    said = _is_done(job_id)
                    return
                if isinstance(event, Failed) and event.job_id == job_id:
                    said = event.error.sentence.replace("The job", f"The job {job_id}", 1)
                    return
    finally:
        print(printable(said), file=sys.stderr)


def _is_done(job_id: str) -> str:
    return f"The job {job_id} is done; the same command with --job-id {job_id} brings its clips."


def _engine_options(args: argparse.Namespace) -> str:
    """What names the same engine to another verb."""
    given = (("--engine", args.engine), ("--state-dir", args.state_dir))
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given if value)


def _bring(client: EngineClient, done: Done, clip: ClipResult, out: Path) -> dict:
    """Bring a clip into `out`. PNG sequences are copied from this machine's engine only."""
    target = out / clip_name(clip.index, clip.camera, clip.kind)
    if clip.kind == "video/mp4":
        _await_file(client, client.fetch(done.job_id, clip, target))
    else:
        folder = client.local_file(done.job_id, clip)
        if folder is None:
            return {"camera": clip.camera, "path": "", "kind": clip.kind}
        target.mkdir(exist_ok=True)
        for picture in sorted(folder.glob("frame_*.png")):
            shutil.copyfile(picture, target / picture.name, follow_symlinks=False)
    return {
        "camera": clip.camera,
        "path": str(target.absolute()),
        "kind": clip.kind,
        "frames": clip.frames,
        "fps": clip.fps[0] / clip.fps[1],
        "width": clip.width,
        "height": clip.height,
        "plate_crop": list(clip.plate_crop),
    }


def _await_file(client: EngineClient, message_id: str) -> None:
    while True:
        for event in client.wait(1.0):
            if isinstance(event, Fetched) and event.message_id == message_id:
                return
            failed = isinstance(event, Reply) and event.message_id == message_id
            if failed and isinstance(event.body, ErrorInfo):
                raise event.body.to_error()


class _Bar:
    """A progress bar on a terminal, plain lines elsewhere, nothing when `quiet`."""

    def __init__(self, *, quiet: bool, label: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._label = label
        self._console = Console(stderr=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn(f"{label}{{task.description}}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("sending", total=None, note="")
        self._noted: set[str] = set()

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, event: object) -> None:
        update = self._progress.update
        if isinstance(event, Queued):
            if not self._noted:  # one that was refused has no job
                self._noted.add(event.job_id)
                self.say(f"{self._label}job {event.job_id}")
            for text in said_once(event.warnings):
                # It comes with each change of place.
                if text not in self._noted:
                    self._noted.add(text)
                    self.say(f"note: {text}")
            place = f"{event.position} before it" if event.position else "next"
            update(self._task, description="waiting", note=place)
        elif isinstance(event, Phase):
            update(self._task, description=printable(event.phase), note="")
            if not self._live:
                print(event.phase, file=sys.stderr) if not self._console.quiet else None
        elif isinstance(event, Progress):
            eta = f", {event.eta_s:.0f} s left" if event.eta_s is not None else ""
            note = f"step {event.step} of {event.steps}{eta}"
            update(self._task, total=event.steps, completed=event.step, note=note)
        elif isinstance(event, Lost):
            self.say(event.error.sentence)
            update(self._task, description="engine lost", note="waiting for it")
