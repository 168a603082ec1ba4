# SPDX-License-Identifier: Apache-2.0
"""One run of `syncam render`: workers started, watched, resumed; manifest written.

A unit is a scene (or a shard of a packed set): one process, one atomic rename. What is there when
a run starts is not rendered again; what a killed run left half-written is thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from syncam_engine.link.environments import PROJECT_ROOT, find_bpy_python
from syncam_engine.link.errors import SynCamError
from syncam_engine.rendering import farm, manifest

MAY_CHANGE = {"scenes", "device", "threads", "preview", "out"}
"""Options that a resumed run may give anew; all others would mix two sets."""

SAY_S = 60.0
"""So often a run without a terminal says how far it is, beside a line for each scene."""


class RenderRun:
    """A set being rendered. Use as a context manager: it holds the folder's lock."""

    def __init__(
        self,
        spec: dict,
        *,
        workers: int = 1,
        cluster: str | None = None,
        only: tuple[int, int] | None = None,
    ) -> None:
        self.spec, self.workers, self.cluster, self.only = spec, workers, cluster, only
        self.out = Path(spec["out"])
        self.job = self.out / "job.json"
        self.log_folder = self.out / "logs"
        self.device: dict = {}
        self.rejected: Counter = Counter()
        self.python = find_bpy_python()
        self._children: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._frames_done = 0
        self._frames_wanted = 0
        self._started = self._said = time.monotonic()

    def __enter__(self) -> RenderRun:
        if self.python is None:
            raise SynCamError(
                "render.no-bpy",
                "No Python with Blender (bpy) was found; rendering needs one.",
                fix="Run python3 bootstrap.py, or set SYNCAM_BPY_PYTHON",
            )
        made = _missing(self.log_folder, self.out / manifest.SCENES)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        is_new = not self.job.exists()
        try:
            self._same_job()
            self._sweep()
            self._check()
        except BaseException:
            if is_new:
                # What cannot be rendered must not stand in the way of what can.
                self.job.unlink(missing_ok=True)
            self._release()
            for folder in made:
                with suppress(OSError):  # goes only while it is empty
                    folder.rmdir()
            raise
        return self

    def __exit__(self, *_) -> None:
        with self._lock:
            for child in self._children:
                child.kill()
        self._release()

    # --- the folder ---------------------------------------------------------------------------

    def _take_lock(self) -> None:
        path = self.out / ".lock"
        for _ in range(2):
            try:
                with open(path, "x") as file:
                    file.write(str(os.getpid()))
                return
            except FileExistsError:
                holder = int(path.read_text() or 0)
                if holder and _alive(holder):
                    raise SynCamError(
                        "render.busy",
                        f"Another run (process {holder}) is writing to {self.out}.",
                        value=holder,
                    ) from None
                path.unlink(missing_ok=True)

    def _release(self) -> None:
        (self.out / ".lock").unlink(missing_ok=True)

    def _same_job(self) -> None:
        spec = json.loads(json.dumps(self.spec))
        if self.job.exists():
            old = json.loads(self.job.read_text())
            differ = sorted(k for k in spec if k not in MAY_CHANGE and old.get(k) != spec[k])
            if differ:
                said = "; ".join(f"{k} was {old.get(k)!r}, now {spec[k]!r}" for k in differ)
                raise SynCamError(
                    "render.other-set",
                    f"{self.out} holds a set made with other options: {said}.",
                    value=differ,
                    fix="Use the same options or another folder",
                )
        partial = self.job.with_suffix(".partial")
        partial.write_text(json.dumps(spec, indent=1))
        os.replace(partial, self.job)

    def _sweep(self) -> None:
        """Remove what killed workers left: nothing half-written is ever taken for whole."""
        for path in [*self.out.rglob(".*.partial-*"), *self.out.glob("*.partial")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (self.out / manifest.SCENES).mkdir(parents=True, exist_ok=True)

    # --- workers ------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        # -P: no module is taken from the working folder.
        return [str(self.python), "-P", "-m", "render_rigs.worker", str(self.job), *arguments]

    def environment(self) -> dict[str, str]:
        paths = [str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}

    def _check(self) -> None:
        """Ask a worker whether the job can be done, before anything starts."""
        done = subprocess.run(
            self.command("--check"),
            env=self.environment(),
            text=True,
            capture_output=True,
            check=False,
        )
        for line in _said(done.stdout.splitlines()):
            if "error" in line:
                raise SynCamError("render." + line["kind"].lower(), line["error"] + ".")
            self.device = line.get("device", self.device)
        if done.returncode:
            raise SynCamError(
                "render.worker",
                "Blender's Python could not start the renderer: "
                + (done.stderr.strip().splitlines() or ["no message"])[-1],
            )

    def describe(self) -> str:
        s = self.spec
        return (
            f"{s['scenes']} scenes x {s['cameras']} cameras x {s['frames']} frames at "
            f"{s['width_px']}x{s['height_px']}, {s['engine']} {s['samples']} samples, seed "
            f"{s['seed']}\ndevice: {self.device.get('kind')} ({self.device.get('name')})"
        )

    def units(self) -> list[int]:
        """The numbers of the scenes or shards that are not there yet."""
        packed = self.spec["packed"]
        count = -(-self.spec["scenes"] // self.spec["per_shard"]) if packed else self.spec["scenes"]
        wanted = range(count)
        if self.only:
            wanted = range(self.only[0] - 1, min(self.only[1], count))
        return [n for n in wanted if not self.target(n).exists()]

    def frames_of(self, unit: int) -> int:
        """Pictures in a unit, all cameras counted; the last shard may hold fewer scenes."""
        scenes = 1
        if self.spec["packed"]:
            size = self.spec["per_shard"]
            scenes = min(size, self.spec["scenes"] - unit * size)
        return scenes * self.spec["cameras"] * self.spec["frames"]

    def target(self, unit: int) -> Path:
        if self.spec["packed"]:
            return self.out / f"shard-{unit:05d}.npz"
        return self.out / manifest.SCENES / f"scene{unit + 1}" / "scene.json"

    def all(self) -> list[int]:
        """Render every missing unit; returns the numbers (from 1) of those that failed."""
        todo = self.units()
        self._frames_wanted = sum(self.frames_of(unit) for unit in todo)
        self._started = self._said = time.monotonic()
        failed: list[int] = []
        one = self.run_unit
        if self.cluster:
            one = farm.RayUnits(self.cluster, self).run_unit
        with _progress(self._frames_wanted) as bar:
            self._bar = bar
            with ThreadPoolExecutor(self.workers if not self.cluster else 64) as pool:
                waiting = {pool.submit(one, unit): unit for unit in todo}
                try:
                    for future in as_completed(waiting):
                        if not future.result():
                            failed.append(waiting[future] + 1)
                        elif not self.spec["packed"]:
                            manifest.add_rotations(self.out)
                        self._say_progress()
                except BaseException:
                    for future in waiting:
                        future.cancel()
                    with self._lock:
                        self._stopped = True
                        for child in self._children:
                            child.kill()
                    raise
        if self.cluster:  # nodes that died left their half-written folders
            for path in self.out.rglob(".scene*.partial-*"):
                if (path.parent / path.name[1:].split(".")[0] / "scene.json").exists():
                    shutil.rmtree(path, ignore_errors=True)
        manifest.write(self.out, self.spec)
        if not todo:
            print(f"everything asked for is there already: {self.out}")
            return []
        seconds = time.monotonic() - self._started
        reasons = ", ".join(f"{count} {why}" for why, count in self.rejected.most_common())
        print(
            f"{self._frames_done} frames in {seconds:.0f} s "
            f"({self._frames_done / max(seconds, 1e-9):.2f} frames/s); cameras thrown away: "
            f"{reasons or 'none'}"
        )
        return sorted(failed)

    def _say_progress(self) -> None:
        """A line for logs, where there is no terminal for the bar."""
        if sys.stdout.isatty() or not self._frames_done:
            return
        self._said = time.monotonic()
        rate = self._frames_done / (self._said - self._started)
        left = round((self._frames_wanted - self._frames_done) / rate)
        print(
            f"{self._frames_done}/{self._frames_wanted} frames, {rate:.2f} frames/s, "
            f"ETA {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}",
            flush=True,
        )

    def alone(self, unit: int) -> bool:
        """Render one unit without the folder's lock: the way of a farm, many machines at once."""
        if self.python is None:
            raise SynCamError(
                "render.no-bpy",
                "No Python with Blender (bpy) was found.",
                fix="Run python3 bootstrap.py, or set SYNCAM_BPY_PYTHON",
            )
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self.target(unit).parent.parent.mkdir(parents=True, exist_ok=True)
        self.job = self.log_folder / f"job-{unit + 1:05d}-{os.getpid()}.json"
        self.job.write_text(json.dumps(self.spec))
        with _progress(1) as self._bar:
            done = self.target(unit).exists() or self.run_unit(unit)
        self.job.unlink()
        return done

    def run_unit(self, unit: int) -> bool:
        """Run one worker to its end; one more try when it dies."""
        flag = "--shards" if self.spec["packed"] else "--scenes"
        for attempt in (1, 2):
            log = self.log_folder / f"unit-{unit + 1:05d}.log"
            with open(log, "a" if attempt == 2 else "w") as file:
                with self._lock:
                    if self._stopped:  # what was killed for that is not tried again
                        return False
                    child = subprocess.Popen(
                        self.command(flag, str(unit)),
                        env=self.environment(),
                        stdout=subprocess.PIPE,
                        stderr=file,
                        text=True,
                    )
                    self._children.add(child)
                for line in child.stdout:
                    if line.startswith("@"):
                        self.heard(json.loads(line[1:]))
                    else:
                        file.write(line)
                child.wait()
                with self._lock:
                    self._children.discard(child)
            if child.returncode == 0 and self.target(unit).exists():
                log.unlink(missing_ok=True)
                return True
        return False

    def heard(self, line: dict) -> None:
        """Count what a worker says."""
        with self._lock:
            if "rejected" in line:
                self.rejected.update(line["rejected"])
            if "frame" in line:
                step = self.spec["cameras"] * (self.spec["frames"] if self.spec["packed"] else 1)
                self._frames_done += step
                self._bar.update(self._bar.task_ids[0], advance=step)
                if self._frames_wanted and time.monotonic() - self._said > SAY_S:
                    self._say_progress()  # a scene of the paper's size takes hours
            if "error" in line or "skipped" in line:
                said = line.get("error") or line["skipped"]
                self._bar.console.print(said, style="yellow", markup=False)


def _progress(total: int):
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    class Rate(ProgressColumn):
        def render(self, task):
            return f"{task.finished_speed or task.speed or 0:.2f} frames/s"

    bar = Progress(
        TextColumn("rendering"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        disable=not sys.stdout.isatty(),
        speed_estimate_period=120,
    )
    bar.add_task("rendering", total=total)
    return bar


def _missing(*folders: Path) -> list[Path]:
    """The folders and those above them that are not there, the innermost first."""
    every = {one for folder in folders for one in (folder, *folder.parents) if not one.exists()}
    return sorted(every, key=lambda one: len(one.parts), reverse=True)


def _said(lines):
    return [json.loads(line[1:]) for line in lines if line.startswith("@")]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OSError):
        return True
    return True
