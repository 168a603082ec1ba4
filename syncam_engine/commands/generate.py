# SPDX-License-Identifier: Apache-2.0
"""`syncam generate`: one clip for every camera of a rig file, from a terminal."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import sys
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from syncam_engine.commands.asking import start_fix
from syncam_engine.commands.parsing import whole
from syncam_engine.link import rig_json
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import stored_client_id
from syncam_engine.link.engine_facts import Hello
from syncam_engine.link.envelope import said_once
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Lost, Reply
from syncam_engine.link.launch import EngineLauncher
from syncam_engine.link.limits import ID_PATTERN
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
from syncam_engine.link.rig import Rig

MOST_RESTARTS = 3
"""How often an engine that ends under a job is started again."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rig", type=Path, required=True, help="a rig file, or a rendered scene.json")
    add("--cameras", nargs="+", metavar="NAME", help="only these cameras of the rig (all)")
    add("--prompt", required=True, help="what happens in the scene")
    add("--negative-prompt", default=None, help="what must not be seen")
    add("--out", type=Path, required=True, help="folder for the clips and result.json")
    add("--seed", type=whole(0, 2**53), default=0, help="the same seed, the same clips (0)")
    own = "(the preset's own)"
    add("--steps", type=int, help=f"sampling steps {own}")
    add("--guidance", type=float, help=f"how strongly the prompt is followed {own}")
    add("--size", metavar="WIDTHxHEIGHT", help=f"of each clip {own}")
    add("--frames", type=int, help=f"pictures in each clip {own}")
    add("--fps", type=whole(1, 1000), help=f"pictures a second {own}")
    add("--preset", default="", help="which model (the engine's own)")
    add(
        "--fit",
        choices=("crop", "letterbox"),
        default="crop",
        help="how cameras of another shape are brought to the clips' size (crop)",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--previz",
        type=Path,
        nargs="+",
        metavar="CLIP",
        help="a clip or picture a camera to start from, in the rig's order",
    )
    mode.add_argument(
        "--reference",
        type=Path,
        metavar="CLIP",
        help="a clip or picture of the anchor camera to follow",
    )
    add("--previz-strength", type=float, help="0 to 1: how far from them (the preset's own)")
    add("--png", action="store_true", help="also write PNG sequences")
    add("--priority", type=whole(-10, 10), default=0, help="-10 to 10; higher runs earlier (0)")
    add(
        "--job-id",
        type=_job_id,
        help="the same id again finds the same job (a new one)",
    )
    add(
        "--engine",
        default="",
        metavar="tcp://HOST:PORT#KEY",
        help="a remote engine (this machine's)",
    )
    add("--state-dir", type=Path, help="the local engine's folder (see docs/operations.md)")
    add("--json", action="store_true", help="print result.json instead of a progress bar")


def _job_id(text: str) -> str:
    if not re.fullmatch(ID_PATTERN, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no job's id, which has 8 to 64 letters, digits, _ or -"
        )
    return text


def run(args: argparse.Namespace) -> int:
    if args.previz_strength is not None and not args.previz:
        raise SynCamError(
            "option.form",
            f"--previz-strength is {args.previz_strength:g}, but no --previz names clips to "
            "start from.",
            value=args.previz_strength,
            fix="Add --previz with a clip a camera",
        )
    rig = rig_json.read_rig(args.rig)
    # Before anything is sampled: clips that have no place would have cost the time for nothing.
    is_new = not args.out.exists()
    args.out.mkdir(parents=True, exist_ok=True)
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
        if is_new:
            with suppress(OSError):  # goes only while it is empty
                args.out.rmdir()


def _generate(args, rig, client: EngineClient, launcher: EngineLauncher | None) -> int:
    start_s = time.monotonic()
    hello = connect(client, launcher)
    ready_s = time.monotonic()
    request = _request(args, rig, hello)
    job_id = client.submit(request, args.previz or ([args.reference] if args.reference else []))
    try:
        with _Bar(quiet=args.json) as bar:
            done = _follow(client, launcher, job_id, bar)
    except KeyboardInterrupt:
        _cancel(client, job_id, _engine_options(args))
        raise
    try:
        clips = [_bring(client, done, clip, args.out, local=hello.local) for clip in done.clips]
    except KeyboardInterrupt:
        print(_is_done(job_id), file=sys.stderr)
        raise
    result = {
        "job_id": job_id,
        "model": done.model,
        "device": done.device,
        "weights_digest": done.weights_digest,
        "placement": done.placement,
        "sampling": done.sampling,
        "seed": done.seed,
        "prompt": request.prompt,
        "clips": clips,
        "seconds": {
            "engine_start": ready_s - start_s,
            **done.seconds,
            "total": time.monotonic() - start_s,
        },
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (args.out / "result.json").write_text(text + "\n", encoding="utf-8")
    print(text if args.json else f"{_counted(clips)} in {args.out}")
    return 0


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
            raise SynCamError(
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
    width, height = _size(args.size)
    if args.cameras:
        rig = rig.subset(args.cameras)
    if preset and rig.frame_count > 1:
        rig = _posed(args, rig, preset.defaults)
    return GenerateRequest(
        job_id=args.job_id or new_id(),
        rig=rig_json.rig_to_dict(rig),
        prompt=args.prompt,
        negative_prompt=negative,
        seed=args.seed,
        steps=args.steps,
        guidance_scale=args.guidance,
        width=width,
        height=height,
        frames=args.frames,
        fps=(args.fps, 1) if args.fps else None,
        mode="previz" if args.previz else "reference" if args.reference else "text",
        preset=args.preset or default,
        previz_strength=args.previz_strength,
        fit_rule=args.fit,
        outputs=["mp4", "png"] if args.png else ["mp4"],
        priority=args.priority,
    )


def _posed(args, rig: Rig, defaults: dict) -> Rig:
    """The rig with a pose for each picture of the clips; as it is where that cannot be told."""
    try:
        frames = defaults["frames"] if args.frames is None else args.frames
        fps = Fraction(args.fps) if args.fps else Fraction(*defaults["fps"])
        return rig.for_clip(frames, fps)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return rig  # the engine, whose defaults these are, judges


def _size(text: str | None) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SynCamError(
            "size.impossible",
            f'"{text}" is no size; it must be WIDTHxHEIGHT, such as 160x96.',
            value=text,
            nearest="160x96",
        )
    return int(width), int(height)


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
        print(said, file=sys.stderr)


def _is_done(job_id: str) -> str:
    return f"The job {job_id} is done; the same command with --job-id {job_id} brings its clips."


def _engine_options(args: argparse.Namespace) -> str:
    """What names the same engine to another verb."""
    given = (("--engine", args.engine), ("--state-dir", args.state_dir))
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given if value)


def _bring(client: EngineClient, done: Done, clip: ClipResult, out: Path, *, local: bool) -> dict:
    """Copy a clip from the engine's folder, or fetch it from another machine."""
    if local and clip.kind == "image/png":
        target = out / Path(clip.path).name
        shutil.copytree(clip.path, target, dirs_exist_ok=True)
    elif local:
        target = out / Path(clip.path).name
        shutil.copyfile(clip.path, target)
    elif clip.digest:
        target = out / f"{clip.index:02d}.mp4"
        message_id = client.fetch(done.job_id, clip, target)
        _await_file(client, message_id)
    else:
        return {"camera": clip.camera, "path": "", "kind": clip.kind}
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

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
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
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, event: object) -> None:
        update = self._progress.update
        if isinstance(event, Queued):
            if not self._noted:  # one that was refused has no job
                self._noted.add(event.job_id)
                self.say(f"job {event.job_id}")
            for text in said_once(event.warnings):
                # It comes with each change of place.
                if text not in self._noted:
                    self._noted.add(text)
                    self.say(f"note: {text}")
            place = f"{event.position} before it" if event.position else "next"
            update(self._task, description="waiting", note=place)
        elif isinstance(event, Phase):
            update(self._task, description=event.phase, note="")
            if not self._live:
                print(event.phase, file=sys.stderr) if not self._console.quiet else None
        elif isinstance(event, Progress):
            eta = f", {event.eta_s:.0f} s left" if event.eta_s is not None else ""
            note = f"step {event.step} of {event.steps}{eta}"
            update(self._task, total=event.steps, completed=event.step, note=note)
        elif isinstance(event, Lost):
            self.say(event.error.sentence)
            update(self._task, description="engine lost", note="waiting for it")
