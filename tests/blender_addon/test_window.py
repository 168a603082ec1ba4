# SPDX-License-Identifier: Apache-2.0
"""The add-on in a real Blender window under a virtual display, worked with real mouse events.

Builds the zip, installs it, opens the demo scene, types a prompt, presses Generate, cancels a
second job, kills the engine during a third and sees it come back; undoes and redoes; runs the
example of a batch in `blender -b`; at last samples with the real preview model. Screenshots go to
$SYNCAM_SCREENSHOTS, or build/screenshots. Skipped, loudly, where a window cannot be had.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.packaging.blender import build_zips

from . import window_folder
from .engine_wrapper import ROOT, STUB

pytestmark = pytest.mark.processes

DISPLAY = f":{200 + os.getpid() % 5000}"
WIDTH, HEIGHT = 1600, 1000


class Window:
    """A running Blender: what it tells, and the mouse and keyboard on it."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder = folder
        self.shots = Path(os.environ.get("SYNCAM_SCREENSHOTS", ROOT / "build" / "screenshots"))
        self.shots.mkdir(parents=True, exist_ok=True)
        for name in ("home", "state", "config"):
            (folder / name).mkdir(mode=0o700)
        shutil.copy(ROOT / "examples" / "plaza.blend", folder / "plaza.blend")
        engine = folder / "engine-python"
        python = Path(sys.executable)
        engine.write_text(
            f"""#!/bin/sh
export OMP_NUM_THREADS=1 PYTHONPATH={ROOT} SYNCAM_STUB_DIR={folder}
case "$*" in *" serve "*) [ -e {folder}/real ] || set -- "$@" --pipeline {STUB};; esac
exec chroot /host {python} "$@"
"""
        )
        engine.chmod(0o755)
        driver = ROOT / "tests" / "blender_addon" / "window_driver.py"
        self.exports = f"""
export HOME={folder}/home DISPLAY={DISPLAY} SYNCAM_WINDOW_FOLDER={folder} LIBGL_ALWAYS_SOFTWARE=1
export SYNCAM_ENGINE_PYTHON={engine} SYNCAM_STATE_DIR={folder}/state
export SYNCAM_CONFIG_DIR={folder}/config
unset XDG_RUNTIME_DIR PYTHONPATH
"""
        script = f"""{self.exports}
blender --command extension install-file -r user_default -e {archive} || exit 3
Xvfb {DISPLAY} -screen 0 {WIDTH}x{HEIGHT}x24 &
sleep 1
openbox &
sleep 1
exec blender --online-mode -p 0 0 {WIDTH} {HEIGHT} {folder}/plaza.blend --python {driver}
"""
        with (folder / "window.log").open("wb") as log:
            self._process = window_folder.start(
                script, [Path("/tmp"), ROOT], stdout=log, stderr=subprocess.STDOUT
            )

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)
        Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").unlink(missing_ok=True)
        Path(f"/tmp/.X{DISPLAY[1:]}-lock").unlink(missing_ok=True)

    def told(self) -> dict:
        try:
            return json.loads((self.folder / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def wait(self, condition, limit_s: float = 300.0, what: str = "") -> dict:
        """Wait until `condition(told)` holds; return what was told then."""
        deadline_s = time.monotonic() + limit_s
        while True:
            told = self.told()
            if told and condition(told):
                return told
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                log = (self.folder / "window.log").read_text(errors="replace")[-3000:]
                self.shot("failure")
                pytest.fail(f"not within {limit_s} s: {what}\ntold: {told}\nlog: {log}")
            time.sleep(0.1)

    def _inside(self, *command: str, **options) -> subprocess.CompletedProcess:
        root = window_folder.cache_folder() / "root"
        environment = {"DISPLAY": DISPLAY, "PATH": "/usr/bin:/bin", "HOME": "/root"}
        return subprocess.run(
            [shutil.which("chroot"), str(root), *command],
            env=environment,
            check=True,
            timeout=60,
            **options,
        )

    def xdotool(self, *words: object) -> None:
        self._inside("xdotool", *map(str, words))

    def shot(self, name: str) -> Path:
        """Take a screenshot of the whole display."""
        path = self.shots / f"{name}.png"
        done = self._inside(
            "sh", "-c", "xwd -root -silent | convert xwd:- png:-", stdout=subprocess.PIPE
        )
        path.write_bytes(done.stdout)
        return path

    def click(self, x: float, from_top: float, *, double: bool = False) -> None:
        """Click in the sidebar: pixels from its left edge (negative: right) and from its top."""
        told = self.told()
        left, bottom, width, height = told["regions"]["UI"]
        frame_x, frame_y = WIDTH - told["window"][0], HEIGHT - told["window"][1]
        at_x = left + (x if x >= 0 else width + x) + frame_x // 2
        at_y = told["window"][1] - (bottom + height) + from_top + frame_y - frame_x // 2
        self.xdotool("mousemove", round(at_x), round(at_y), "sleep", 0.5)
        for _ in range(2 if double else 1):
            self.xdotool("mousedown", 1, "sleep", 0.12, "mouseup", 1, "sleep", 0.06)

    def click_down(self, x: float, tops: range, condition, what: str) -> dict:
        """Click further and further down until `condition` holds: rows differ with fonts."""
        for from_top in tops:
            self.click(x, from_top)
            deadline_s = time.monotonic() + 4
            while time.monotonic() < deadline_s:
                told = self.told()
                if told and condition(told):
                    return told
                time.sleep(0.1)
        return self.wait(condition, 1, what)

    def dismiss_notice(self) -> None:
        """Click a notice away: it moves all that is below it."""
        if self.told()["notice"]:
            self.click_down(-53, range(95, 135, 6), lambda told: not told["notice"], "dismissed")

    def type_prompt(self, text: str) -> None:
        self.dismiss_notice()
        self.click(136, 125, double=True)
        self.xdotool("sleep", 0.5, "key", "ctrl+a", "sleep", 0.2)
        self.xdotool("type", "--delay", 30, text)
        self.xdotool("key", "Return")
        self.wait(lambda told: told["prompt"] == text, 30, f"the prompt {text!r}")

    def generate(self, top: int = 243) -> dict:
        """Press the button with the mouse; return what is told once there is one job more."""
        before = len(self.told()["jobs"])
        return self.click_down(
            150, range(top, 330, 9), lambda told: len(told["jobs"]) > before, "Generate pressed"
        )

    def order(self, text: str) -> None:
        """Have Blender do what is no button's work: a line of Python."""
        partial = self.folder / "order.partial"
        partial.write_text(text)
        partial.replace(self.folder / "order.py")
        self.wait(lambda _: not (self.folder / "order.py").exists(), 60, text)
        assert not (self.folder / "order.error").exists(), (self.folder / "order.error").read_text()

    def settled_shot(self, name: str) -> Path:
        """Take a screenshot once the panel's parts have slid to their places."""
        self.park()
        time.sleep(3)
        return self.shot(name)

    def park(self) -> None:
        """Take the mouse off the panel, so that no tooltip covers it."""
        self.xdotool("mousemove", 400, 700)


@pytest.fixture(scope="module")
def window():
    reason = window_folder.missing_or_none()
    if reason:
        pytest.skip(f"NO REAL BLENDER WINDOW IS TESTED: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="syncam-win-", dir="/tmp"))
    try:
        if not window_folder.is_built():
            try:
                window_folder.build(folder / "build.log")
            except RuntimeError as error:
                pytest.skip(f"NO REAL BLENDER WINDOW IS TESTED: {error}")
        try:
            wheels = ROOT / "build" / "blender-wheels"
            archive = build_zips(folder, wheels=wheels, platforms=["linux-x64"])[0]
        except SynCamError as error:
            pytest.skip(f"NO REAL BLENDER WINDOW IS TESTED: {error}")
        running = Window(folder, archive)
        try:
            # Minutes, on a machine that has other work: shaders are made and read in software.
            running.wait(lambda told: "UI" in told["regions"], 500, "the window")
            yield running
        finally:
            running.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(1800)
def test_from_the_zip_to_clips_by_mouse(window):
    # The tab at the sidebar's right edge, below Blender's own three.
    for _ in range(10):
        window.click(-15, 168)
        window.park()
        time.sleep(3)
        if window.told()["panels"]:
            break
    window.wait(lambda told: told["panels"] > 0, 10, "the panel")
    window.settled_shot("1-panel")

    window.type_prompt("sleep=1.5 a man walks a dog")
    window.generate()
    window.park()
    begun = window.wait(lambda told: told["jobs"][0]["step"] >= 1, 300, "the first step")
    window.wait(lambda told: told["redraws"] > begun["redraws"] + 1, 60, "the panel is drawn")
    window.settled_shot("2-sampling")
    done = window.wait(lambda told: told["jobs"][0]["applied"], 180, "clips in the scene")
    assert done["redraws"] - begun["redraws"] >= 3, "the window must stay live while a job runs"
    assert done["ticks"] - begun["ticks"] >= 3
    assert len(done["plates"]) == 4
    window.settled_shot("3-done")

    # Results are one undo step, and come back.
    window.xdotool("mousemove", 400, 700, "sleep", 0.3, "click", 2)
    window.xdotool("key", "ctrl+z")
    window.wait(lambda told: not told["plates"], 60, "undo")
    window.xdotool("key", "ctrl+shift+z")
    window.wait(lambda told: len(told["plates"]) == 4, 60, "redo")


@pytest.mark.timeout(1200)
def test_cancel_by_mouse_and_undo_during_a_job(window):
    window.type_prompt("sleep=6 a second job")
    window.generate()
    window.park()
    window.wait(lambda told: told["jobs"][-1]["step"] >= 1, 300, "the first step")
    window.dismiss_notice()
    window.xdotool("mousemove", 400, 700, "sleep", 0.2, "key", "ctrl+z")
    cancelled = ("cancelling", "cancelled")
    window.click_down(
        -54, range(270, 360, 8), lambda told: told["jobs"][-1]["state"] in cancelled, "Cancel"
    )
    window.wait(lambda told: told["jobs"][-1]["state"] == "cancelled", 60, "cancelled")
    window.settled_shot("4-cancelled")


@pytest.mark.timeout(1200)
def test_engine_killed_during_a_job_comes_back(window):
    window.type_prompt("sleep=0.8 a third job")
    window.generate()
    window.park()
    begun = window.wait(lambda told: told["jobs"][-1]["step"] >= 1, 300, "the first step")
    # An undo while the job runs takes nothing of it away: all datablocks are new after it.
    window.xdotool("mousemove", 400, 700, "sleep", 0.2, "key", "ctrl+z")
    state_dir = str(window.folder / "state")
    killed = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "serve" in words and state_dir in words:
            os.kill(int(entry.name), 9)
            killed += 1
    assert killed
    window.wait(lambda told: told["engine"] == "lost" or "stopped" in told["notice"], 60, "lost")
    window.shot("5-lost")
    window.wait(lambda told: told["engine"] == "ready", 300, "the engine is back")
    window.wait(lambda told: told["jobs"][-1]["applied"], 240, "the job went on, its clips landed")
    assert len(window.told()["plates"]) == 4
    assert window.told()["undos"] > begun["undos"], "the undo during the job was one"
    window.settled_shot("6-recovered")


@pytest.mark.timeout(900)
def test_batch_of_shots_in_a_blender_without_a_window(window):
    """`blender -b` with the installed extension, beside the Blender of the window."""
    shutil.copy(ROOT / "examples" / "plaza.blend", window.folder / "second.blend")
    before = set((window.folder / "syncam").rglob("Wide.mp4"))
    shots = {str(window.folder / "second.blend"): "a fox", "missing.blend": "nothing"}
    (window.folder / "shots.json").write_text(json.dumps(shots))
    script = f"""{window.exports}
exec blender -b --online-mode --python {ROOT}/examples/batch_of_shots.py -- \
    {window.folder}/shots.json
"""
    running = window_folder.start(
        script,
        [Path("/tmp"), ROOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=window.folder,
        text=True,
    )
    said, _ = running.communicate(timeout=600)
    assert "second.blend: done" in said, said[-3000:]
    assert "missing.blend: " in said
    assert "Traceback" not in said
    assert running.returncode == 1
    assert len(set((window.folder / "syncam").rglob("Wide.mp4")) - before) == 1


@pytest.mark.timeout(1800)
def test_the_real_model_from_viewport_renders(window):
    """Restart, Previz and Generate by mouse; the shipped weights sample what the cameras see."""
    (window.folder / "real").touch()
    window.dismiss_notice()
    instance = window.told()["instance"]
    window.click(-95, 47)
    window.wait(
        lambda told: told["instance"] != instance and told["engine"] == "ready",
        300,
        "restarted by its button",
    )
    window.click_down(
        124, range(148, 172, 6), lambda told: told["mode"] == "PREVIZ", "Previz chosen"
    )
    window.order(
        "own = bpy.context.scene.syncam; own.steps = 6;"
        "own.prompt = 'a man in a red shirt walks a dog in a plaza'"
    )
    begun = window.generate(270)
    window.park()
    sent = window.wait(
        lambda told: told["jobs"][-1]["state"] in ("running", "done"), 400, "views rendered"
    )
    assert sent["redraws"] - begun["redraws"] >= 3, "the window must stay live while it renders"
    window.wait(
        lambda told: told["jobs"][-1]["step"] >= 2 or told["jobs"][-1]["state"] == "done",
        300,
        "the second step",
    )
    window.settled_shot("7-sampling-real")
    told = window.wait(lambda told: told["jobs"][-1]["applied"], 400, "clips in the scene")
    assert (told["device"], len(told["plates"])) == ("cpu", 4)
    window.order(
        "bpy.context.scene.frame_set(25);"
        "[setattr(a.spaces.active.shading, 'type', 'MATERIAL')"
        " for a in bpy.context.window_manager.windows[0].screen.areas if a.type == 'VIEW_3D']"
    )
    # Shaders are made in the background; the viewport is drawn again as they come.
    window.wait(lambda told: told["drawn"].get("as") == ["MATERIAL", 25], 300, "clips on plates")
    time.sleep(20)
    window.settled_shot("8-real")
