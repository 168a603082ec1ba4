# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the engine: start, stop, restart, log, choose, install, keys. Nothing here waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
from bpy.props import StringProperty

from syncam_engine.link import keys
from syncam_engine.link.endpoint import read_engine_info, user_state_dir
from syncam_engine.link.engine_facts import EngineStatus
from syncam_engine.link.environments import PROJECT_ROOT
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.launch import remember_engine_python
from syncam_engine.link.owners import private_dir

from . import heartbeat, install_engine, preferences, session


class Installation:
    """An installation that runs in a process of its own; `progress()` reads how far it is."""

    def __init__(self, package: Path) -> None:
        base = private_dir(user_state_dir())
        self.folder = base / "engine"
        self.log_path = base / "install.log"
        script = Path(__file__).with_name("install_engine.py")
        command = [sys.executable, str(script), "--folder", str(self.folder)]
        hidden = ("PYTHONHOME", "PYTHONPATH")
        with open(self.log_path, "wb") as log:
            self._process = subprocess.Popen(
                [*command, "--package", str(package)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=base,  # `python -m pip` takes modules from its working folder
                env={k: v for k, v in os.environ.items() if k not in hidden},
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def progress(self) -> install_engine.Progress:
        try:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return install_engine.read_progress(text)

    def stop(self) -> None:
        if self.is_running:
            self._process.terminate()


def engine_package_or_none() -> Path | None:
    """Return what the engine is installed from: the zip's own wheel, or the clone."""
    bundled = sorted((Path(__file__).parent / "engine").glob("syncam-*.whl"))
    if bundled:
        return bundled[-1]
    return PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").is_file() else None


def follow_install_by_timer() -> None:
    """Follow it whatever file is opened meanwhile: other timers end with the file."""
    bpy.app.timers.register(follow_install, first_interval=0.2, persistent=True)


def follow_install() -> float | None:
    """A timer while the engine is installed: show progress; at the end use it."""
    state = session.get()
    job = state.install
    if job is None:
        return None
    heartbeat.redraw()
    if job.is_running:
        return 0.5
    told = job.progress()
    state.install = state.error = None
    if told.done_python:
        try:
            remember_engine_python(Path(told.done_python))
        except OSError as error:
            state.error = SynCamError("engine.install", f"{error.filename}: {error.strerror}.")
            return None
        except SynCamError as error:
            state.error = error
            return None
        own = preferences.get()
        if own is not None:
            # One that was chosen before would be taken first.
            own.engine_python, own.use_remote = "", False
        state.reconnect()
        state.start_engine()
    else:
        sentence = told.error or "The installation was stopped."
        state.error = SynCamError("engine.install", sentence, fix="Open the log")
    return None


class SYNCAM_OT_engine_install(bpy.types.Operator):
    """Install the engine into an environment of its own (about 1.5 GB; 6 GB with a GPU)"""

    bl_idname = "syncam.engine_install"
    bl_label = "Install the Engine"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state = session.get()
        if not bpy.app.online_access:
            self.report(
                {"ERROR"}, "Allow Online Access in the preferences: the engine has to be fetched."
            )
            return {"CANCELLED"}
        package = engine_package_or_none()
        if package is None:
            self.report({"ERROR"}, "This add-on came without the engine; choose an existing one.")
            return {"CANCELLED"}
        if state.install is None:
            try:
                state.install = Installation(package)
            except OSError as error:
                self.report({"ERROR"}, f"{error.filename}: {error.strerror}.")
                return {"CANCELLED"}
            except SynCamError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            if not bpy.app.background:
                follow_install_by_timer()
        return self._wait(state) if bpy.app.background else {"FINISHED"}

    def _wait(self, state: session.Session) -> set[str]:
        """Without a window, where no timer runs: say each step, return when all is done."""
        said = ""
        while follow_install() is not None:
            text = state.install.progress().text if state.install is not None else said
            if text != said:
                said = text
                self.report({"INFO"}, text)
            time.sleep(0.2)
        if state.error is not None and state.error.code == "engine.install":
            self.report({"ERROR"}, state.error.sentence)
            return {"CANCELLED"}
        return {"FINISHED"}


class SYNCAM_OT_engine_install_stop(bpy.types.Operator):
    """Stop installing; the next time it goes on from there"""

    bl_idname = "syncam.engine_install_stop"
    bl_label = "Stop Installing"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        job = session.get().install
        if job is not None:
            job.stop()
        return {"FINISHED"}


class SYNCAM_OT_engine_choose(bpy.types.Operator):
    """Use an engine that is installed already: choose its Python"""

    bl_idname = "syncam.engine_choose"
    bl_label = "Choose an Engine"

    filepath: StringProperty(subtype="FILE_PATH")

    def invoke(self, context: bpy.types.Context, _event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        if not path.is_file() or not os.access(path, os.X_OK):
            self.report({"ERROR"}, f"{str(path)!r} is not a program; choose the engine's Python.")
            return {"CANCELLED"}
        own = preferences.get()
        if own is not None:
            own.engine_python = str(path)
            own.use_remote = False
        session.get().reconnect()
        session.get().start_engine()
        return {"FINISHED"}


class SYNCAM_OT_engine_start(bpy.types.Operator):
    """Start the engine"""

    bl_idname = "syncam.engine_start"
    bl_label = "Start"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.get().error = None
        session.get().start_engine()
        return {"FINISHED"}


def _terminate(status: EngineStatus) -> None:
    _end_process(status.pid)


def _end_process(pid: int | None) -> None:
    """End a local engine by its process; its jobs are kept and go on at the next start."""
    try:
        if isinstance(pid, int) and pid > 1:
            os.kill(pid, signal.SIGTERM)
    except OSError as error:
        session.get().error = SynCamError(
            "engine.stop", f"The engine (process {pid}) cannot be stopped: {error.strerror}."
        )


class SYNCAM_OT_engine_stop(bpy.types.Operator):
    """Stop the engine on this machine; its jobs are kept"""

    bl_idname = "syncam.engine_stop"
    bl_label = "Stop"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if preferences.remote_endpoint() is not None:
            self.report({"ERROR"}, "The engine runs on another machine; stop it there.")
            return {"CANCELLED"}
        state = session.get()
        state.keeper.is_stop_wanted = True
        state.ask_status(_terminate)
        return {"FINISHED"}


class SYNCAM_OT_engine_restart(bpy.types.Operator):
    """Stop the engine and start it again; its jobs go on"""

    bl_idname = "syncam.engine_restart"
    bl_label = "Restart"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if preferences.remote_endpoint() is not None:
            session.get().reconnect()
            return {"FINISHED"}
        state = session.get()
        if state.client is not None and state.client.state in ("ready", "loading"):
            state.keeper.is_restart_wanted = True
            state.ask_status(_terminate)
            return {"FINISHED"}
        state.error = None
        if state.client is not None and state.client.state == "version mismatch":
            # It answers, so its own file tells its process; it would not understand a question.
            info = read_engine_info(user_state_dir()) or {}
            _end_process(info.get("pid"))
            state.reconnect()
        state.start_engine()
        return {"FINISHED"}


class SYNCAM_OT_engine_reconnect(bpy.types.Operator):
    """Connect anew, with the preferences as they are now"""

    bl_idname = "syncam.engine_reconnect"
    bl_label = "Connect Again"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.get().error = None
        session.get().reconnect()
        return {"FINISHED"}


class SYNCAM_OT_engine_log(bpy.types.Operator):
    """Open the engine's log"""

    bl_idname = "syncam.engine_log"
    bl_label = "Open Log"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        state = session.get()
        path = state.install.log_path if state.install else Path(state.engine.log_path or "/none")
        if state.error is not None and state.error.code == "engine.install":
            path = user_state_dir() / "install.log"
        if not path.is_file():
            self.report({"ERROR"}, "There is no log yet: the engine was never started.")
            return {"CANCELLED"}
        text = bpy.data.texts.get("SynCam engine log") or bpy.data.texts.new("SynCam engine log")
        text.from_string(path.read_text(encoding="utf-8", errors="replace")[-200_000:])
        text.cursor_set(max(0, len(text.lines) - 1))
        bpy.ops.wm.path_open(filepath=str(path)) if not bpy.app.background else None
        self.report({"INFO"}, f"The log is also in the text {text.name!r}.")
        return {"FINISHED"}


class SYNCAM_OT_yield_device(bpy.types.Operator):
    """Free the engine's device memory, for a render of your own; the next job takes it again"""

    bl_idname = "syncam.yield_device"
    bl_label = "Free the Device's Memory"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        client = session.get().client
        if client is None:
            self.report({"ERROR"}, "No engine is connected.")
            return {"CANCELLED"}
        client.yield_device()
        return {"FINISHED"}


class SYNCAM_OT_copy_public_key(bpy.types.Operator):
    """Copy this machine's public key: the remote engine must trust it"""

    bl_idname = "syncam.copy_public_key"
    bl_label = "Copy This Machine's Key"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            public = keys.own_pair("client").public
        except SynCamError as error:
            self.report({"ERROR"}, error.sentence)
            return {"CANCELLED"}
        context.window_manager.clipboard = public
        self.report({"INFO"}, f"Copied. On the engine's machine: syncam keys trust NAME {public}")
        return {"FINISHED"}


CLASSES = (
    SYNCAM_OT_engine_install,
    SYNCAM_OT_engine_install_stop,
    SYNCAM_OT_engine_choose,
    SYNCAM_OT_engine_start,
    SYNCAM_OT_engine_stop,
    SYNCAM_OT_engine_restart,
    SYNCAM_OT_engine_reconnect,
    SYNCAM_OT_engine_log,
    SYNCAM_OT_yield_device,
    SYNCAM_OT_copy_public_key,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    if bpy.app.timers.is_registered(follow_install):
        bpy.app.timers.unregister(follow_install)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
