# SPDX-License-Identifier: Apache-2.0
"""`syncam render --engine unreal`: scene after scene, resumable, in batches of cameras.

For each scene: draw a plan, build it in the editor (one process), render its batches (a process
each), collect. A scene whose folder is there is skipped; of a scene that was interrupted, batches
whose pictures are all there are kept. A render that leaves pictures missing is tried again with
half as many cameras at once, down to one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syncam_engine.link.errors import SynCamError
from syncam_engine.rendering import manifest


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only the Unreal engine has."""
    group = parser.add_argument_group("with --engine unreal")
    add = group.add_argument
    add("--unreal-editor", default="", metavar="PATH", help="UnrealEditor-Cmd")
    add("--unreal-project", default="", metavar="FILE", help="the .uproject with the content")
    add("--unreal-library", default="", metavar="FILE", help="levels and characters (JSON)")
    add(
        "--unreal-cameras-at-once", type=int, default=36, metavar="N", help="fewer need less memory"
    )
    add("--unreal-motion-blur", action="store_true", help="leave motion blur on")
    add("--unreal-full-editor", action="store_true", help="build in the editor, not a commandlet")
    add("--unreal-time-limit-s", type=float, default=7200.0, metavar="S", help="for one process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all scenes of a run share."""

    editor: Path
    project: Path
    script: Path
    out: Path
    commandlet: bool
    time_limit_s: float
    cameras_at_once: int
    samples: int
    motion_blur: bool


def render(spec: dict[str, Any], args: argparse.Namespace) -> int:
    """Render a set; 0 when every scene is there.

    `spec` is the job as `syncam render` describes it (scenes, cameras, frames, width_px, height_px,
    fps, seed, out, radius_m, elevation_deg, focal_mm, subjects, samples); `args` has the options of
    `add_options`, and `only` as (first, last) scene numbers from 1.
    """
    from . import commands, drawing, library

    check_spec(spec, args)
    editor = commands.find_editor(args.unreal_editor)
    project = commands.check_project(args.unreal_project)
    if not args.unreal_library:
        raise SynCamError(
            "unreal.library",
            "No Unreal library was given: which levels and characters make the scenes.",
            fix="Give --unreal-library",
        )
    setup = Setup(
        editor=editor,
        project=project,
        script=commands.find_build_script(project),
        out=Path(spec["out"]).absolute(),
        commandlet=not args.unreal_full_editor,
        time_limit_s=args.unreal_time_limit_s,
        cameras_at_once=max(1, min(args.unreal_cameras_at_once, spec["cameras"])),
        samples=spec["samples"],
        motion_blur=args.unreal_motion_blur,
    )
    content = library.read_library(args.unreal_library)
    first, last = getattr(args, "only", None) or (1, spec["scenes"])
    failed = []
    for number in range(first - 1, last):
        plan = drawing.draw_scene(
            content,
            seed=spec["seed"],
            number=number,
            cameras=spec["cameras"],
            frames=spec["frames"],
            fps=spec["fps"],
            width=spec["width_px"],
            height=spec["height_px"],
            focal_mm=tuple(spec["focal_mm"]),
            elevation_deg=tuple(spec["elevation_deg"]),
            radius_m=tuple(spec["radius_m"]),
            subjects=tuple(spec["subjects"]),
        )
        started = time.monotonic()
        try:
            fresh = render_scene(setup, plan)
        except SynCamError as error:
            failed.append(plan["scene"])
            print(f"{plan['scene']}: {error}", file=sys.stderr)
            continue
        took = f"{time.monotonic() - started:.0f} s" if fresh else "was there"
        print(f"{plan['scene']}: {took}: {plan['caption']}", flush=True)
    manifest.write(setup.out, {"packed": False})
    if failed:
        print(
            f"{len(failed)} of {last - first + 1} scenes failed: {', '.join(failed)}",
            file=sys.stderr,
        )
    return 1 if failed else 0


BLENDERS = {
    "passes": (["rgb"], "Unreal renders rgb only"),
    "packed": (False, "Unreal renders scenes in folders only"),
    "preview": (False, "contact sheets are made of Blender's scenes only"),
    "camera_motion": ("static", "Unreal's cameras are static"),
    "assets": ("", "Unreal's subjects are in --unreal-library"),
    "locations": ("", "Unreal's places are in --unreal-library"),
    "places": ([], "Unreal's places are in --unreal-library"),
    "cluster": (None, "give --only to split Unreal's scenes over machines"),
    "openjd": (None, "give --only to split Unreal's scenes over machines"),
    "unit": (None, "give --only to choose Unreal's scenes"),
    "device": ("auto", "Unreal renders with the GPU of its own project settings"),
    "threads": (0, "Unreal takes the cores that it wants"),
    "no_denoise": (False, "Unreal's pictures are not denoised"),
    "workers": (1, "Unreal renders a scene at a time; give --only to run several"),
}
"""What `syncam render` can be asked of Blender and not of Unreal: its value where nobody asks, and
what holds instead."""


def check_spec(spec: dict[str, Any], args: argparse.Namespace) -> None:
    """Raise SynCamError ("unreal.option") for an option that only Blender's scenes have."""
    for name, (plain, said) in BLENDERS.items():
        value = spec.get(name, getattr(args, name, None))
        value = list(value) if isinstance(value, tuple) else value
        if value not in (None, plain):
            option = "--" + name.replace("_", "-")
            raise SynCamError(
                "unreal.option",
                f"{option} is for Blender's scenes: {said}.",
                value=str(value),
                nearest=plain,
                fix=f"Leave {option} out",
            )


def render_scene(setup: Setup, plan: dict[str, Any]) -> bool:
    """Bring one scene to its folder; return False where it was there. Raises SynCamError."""
    from . import collect

    target = setup.out / manifest.SCENES / plan["scene"]
    if target.is_dir():
        return False
    work = setup.out / ".unreal" / plan["scene"]
    frames_dir = work / "frames"
    _forget_other_plan(work, plan)
    frames_dir.mkdir(parents=True, exist_ok=True)
    at_once = setup.cameras_at_once
    names = [camera["name"] for camera in plan["rig"]["cameras"]]
    while True:
        full = {
            **plan,
            "output": str(frames_dir),
            "samples": setup.samples,
            "motion_blur": setup.motion_blur,
            "batches": [names[i : i + at_once] for i in range(0, len(names), at_once)],
        }
        report = _build(setup, full, work)
        missing = _render_batches(setup, full, report, work, frames_dir)
        if not missing:
            break
        if at_once == 1:
            raise SynCamError(
                "unreal.render",
                f"The renderer left camera {missing[0]} of {plan['scene']} without its pictures; "
                f"its log is {work / 'render.log'}.",
                value=missing,
            )
        at_once = max(1, at_once // 2)
        print(f"{plan['scene']}: again with {at_once} cameras at once", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        collect.write_scene(full, report, frames_dir, target)
    except SynCamError:
        shutil.rmtree(frames_dir)  # Pictures that cannot be used must not be kept for the next run.
        raise
    shutil.rmtree(work)
    return True


def _forget_other_plan(work: Path, plan: dict[str, Any]) -> None:
    """Pictures of an interrupted run are kept only where they were drawn from the same numbers."""
    marker = work / "drawn.json"
    text = json.dumps(plan, sort_keys=True)
    if work.is_dir() and (not marker.is_file() or marker.read_text("utf-8") != text):
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    marker.write_text(text, "utf-8")


def _build(setup: Setup, plan: dict[str, Any], work: Path) -> dict[str, Any]:
    """Run the build step; return the editor's report. Raises SynCamError with what it said."""
    from . import commands

    plan_file, report_file = work / "plan.json", work / "built.json"
    report_file.unlink(missing_ok=True)
    plan_file.write_text(json.dumps(plan, indent=1), "utf-8")
    command = commands.build_command(
        setup.editor, setup.project, setup.script, commandlet=setup.commandlet
    )
    files = {
        commands.PLAN_VARIABLE: str(plan_file),
        commands.REPORT_VARIABLE: str(report_file),
    }
    status = run_process(command, work / "build.log", setup.time_limit_s, files)
    if not report_file.is_file():
        raise SynCamError(
            "unreal.build",
            f"The editor ended with status {status} and built nothing; its log is "
            f"{work / 'build.log'}.",
            value=status,
        )
    report = json.loads(report_file.read_text("utf-8"))
    if "error" in report:
        raise SynCamError.from_dict(report["error"])
    return report


def _render_batches(
    setup: Setup, plan: dict[str, Any], report: dict[str, Any], work: Path, frames_dir: Path
) -> list[str]:
    """Render the batches that lack pictures; return the cameras that still lack some."""
    from . import collect, commands

    by_name = {camera["name"]: camera for camera in report["cameras"]}
    for batch in report["batches"]:
        cameras = [by_name[name] for name in batch["cameras"]]
        missing = collect.missing_cameras(plan, frames_dir, cameras)
        if not missing:
            continue
        for name in missing:  # Half of a picture sequence is no use and would confuse the count.
            shutil.rmtree(frames_dir / by_name[name]["file_name"], ignore_errors=True)
        command = commands.render_command(setup.editor, setup.project, plan, batch)
        run_process(command, work / "render.log", setup.time_limit_s)
        missing = collect.missing_cameras(plan, frames_dir, cameras)
        if missing:
            return missing
    return []


def run_process(
    command: list[str], log: Path, time_limit_s: float, variables: dict[str, str] | None = None
) -> int:
    """Run one editor process with its output in a log; return its status. It never outlives us."""
    from . import commands

    environment = {**os.environ, "SYNCAM_UNREAL_HEADLESS": "1", **(variables or {})}
    with open(log, "ab") as output:
        output.write(("$ " + " ".join(command) + "\n").encode())
        output.flush()
        process = subprocess.Popen(
            commands.windows_command_line(command) if os.name == "nt" else command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=os.name != "nt",
        )
        try:
            return process.wait(time_limit_s)
        except subprocess.TimeoutExpired:
            raise SynCamError(
                "unreal.time",
                f"The editor took longer than {time_limit_s:g} s and was ended; its log is {log}.",
                value=time_limit_s,
            ) from None
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    if os.name == "nt":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
