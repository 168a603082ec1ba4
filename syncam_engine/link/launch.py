# SPDX-License-Identifier: Apache-2.0
"""Find and start the engine from a host program, and say in plain words how it stands.

    client = EngineClient(client_name="Blender 5.0")
    launcher = EngineLauncher(client)
    launcher.ensure_started()                 # returns at once; does nothing where one runs
    def tick():
        client.poll()
        status = launcher.status()            # status.state, .sentence, .fix, .log_path

The engine lives in a Python of its own, never in the host's. It is looked for, in this order: the
`python` given; SYNCAM_ENGINE_PYTHON; `engine.toml` in the user's configuration folder
(`python = "..."`, see `remember_engine_python`); the `.venv` of the clone that this file is in; the
`python` beside a `syncam` command on the PATH. The last two only where no other user could have put
them there; the working folder is never looked in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .client import EngineClient
from .endpoint import user_config_dir, user_state_dir
from .environments import PROJECT_ROOT, python_of
from .errors import EXIT_ENGINE_RUNS, SynCamError
from .owners import code_doubt, folder_doubt, private_dir, program_on_path, write_private

State = Literal[
    "not found", "stopped", "starting", "loading", "ready", "version mismatch", "refused", "lost"
]
_GRACE_S = 0.7
"""An engine that runs answers well within this; only then is one started."""
_START_LIMIT_S = 60.0
_TRY_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """How the engine stands, for a person. `fix` is a short imperative or None."""

    state: State
    sentence: str
    fix: str | None = None
    log_path: str = ""


def find_engine_python(wanted: str | Path | None = None) -> Path | None:
    """Return the Python that has the engine, or None. See the module's docstring for the order."""
    for candidate in _candidates(wanted):
        path = Path(candidate)
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute()  # not resolved: a venv's python is a link that must stay one
    return None


def remember_engine_python(python: Path) -> Path:
    """Write where the engine's Python is, for hosts that are installed elsewhere."""
    path = private_dir(user_config_dir()) / "engine.toml"
    quoted = str(python).replace("\\", "\\\\").replace('"', '\\"')
    write_private(path, f'python = "{quoted}"\n')
    return path


class EngineLauncher:
    """Starts an engine for `client` when none answers. Its own process outlives the host."""

    def __init__(
        self,
        client: EngineClient,
        *,
        python: str | Path | None = None,
        state_dir: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.client = client
        self.state_dir = state_dir or user_state_dir()
        self._python_wanted = python
        self._arguments = list(arguments)
        self._process: subprocess.Popen | None = None
        self._asked_s: float | None = None
        self._started_s = 0.0
        self._problem: SynCamError | None = None

    @property
    def log_path(self) -> Path:
        return self.state_dir / "logs" / "engine.log"

    @property
    def launch_log_path(self) -> Path:
        """What the engine printed before it had a log of its own."""
        return self.state_dir / "logs" / "launch.log"

    @property
    def started_pid(self) -> int | None:
        """The process of the engine that this launcher started, while it runs."""
        runs = self._process is not None and self._process.poll() is None
        return self._process.pid if runs else None

    def ensure_started(self) -> None:
        """Have an engine running soon; `status()`, called each tick, does it and tells of it."""
        self._asked_s = time.monotonic()
        self._problem = None

    def status(self) -> EngineState:
        """How the engine stands now. Call it as often as `client.poll()`."""
        client = self.client
        if client.state in ("ready", "loading"):
            self._asked_s = None
            return self._ready()
        if client.state == "version mismatch":
            return self._say(
                "version mismatch",
                "The engine that runs has another version than this plug-in.",
                "Update both to the same version, then restart the engine.",
            )
        if client.state == "refused":
            return self._say(
                "refused",
                "The engine does not know this machine's key.",
                "On the engine's machine: syncam keys trust NAME PUBLIC-KEY",
            )
        exited = self._process is not None and self._process.poll() is not None
        if self._asked_s is not None and (self._process is None or exited) and not self._problem:
            if exited and time.monotonic() - self._started_s < _GRACE_S:
                return self._say("starting", "The engine is starting.")
            if exited and self._started_s > self._asked_s:
                if self._process.returncode != EXIT_ENGINE_RUNS:
                    return self._ended_at_once()
                if client.problem is not None:  # it runs, and cannot be reached safely
                    return self._say("lost", client.problem.sentence, client.problem.fix)
                # Another has the folder. On a busy machine it answers late, or it is ending (a
                # restart) and makes room soon: neither is a lost engine.
                if time.monotonic() - self._asked_s > _START_LIMIT_S:
                    return self._ended_at_once()
                if time.monotonic() - self._started_s < _TRY_AGAIN_S:
                    return self._say("starting", "Looking for the engine.")
            if time.monotonic() - self._asked_s > _GRACE_S:
                self._start()
        if self._problem is not None:
            return self._say("not found", str(self._problem), self._problem.fix)
        if self._process is not None and self._process.poll() is None and client.hello is None:
            if time.monotonic() - self._started_s > _START_LIMIT_S:
                return self._say(
                    "lost",
                    f"The engine started but has not answered for {_START_LIMIT_S:g} s.",
                    "Read the log, then start it again.",
                )
            return self._say("starting", "The engine is starting.")
        if self._asked_s is not None:
            return self._say("starting", "Looking for the engine.")
        if client.state == "lost":
            return self._say("lost", "The engine does not answer any more.", "Restart the engine")
        if client.hello is not None and client.state == "connecting":
            # It forgot a client that was silent for long (a render blocked its host), and is asked.
            return self._say("starting", "Looking for the engine.")
        if find_engine_python(self._python_wanted) is None:
            error = _not_found()
            return self._say("not found", str(error), error.fix)
        return self._say("stopped", "No engine runs.", "Start the engine")

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the engine that this launcher started, if it did; its jobs are kept. Blocks."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        python = find_engine_python(self._python_wanted)
        if python is None:
            self._problem = _not_found()
            return
        # A host sets these for its own interpreter; the engine's must not see them.
        hidden = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONNOUSERSITE", "LD_PRELOAD")
        environment = {key: text for key, text in os.environ.items() if key not in hidden}
        command = [str(python), "-m", "syncam_engine.cli", "serve"]
        command += ["--state-dir", str(self.state_dir), *self._arguments]
        flags: dict = {"start_new_session": True}
        if sys.platform == "win32":
            flags = {"creationflags": 0x00000008 | 0x00000200}  # detached, own process group
        try:
            private_dir(self.state_dir)
            self.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except SynCamError as error:
            self._problem = error
            return
        except OSError as error:
            self._problem = SynCamError(
                "engine.folder",
                f"The engine's folder {self.state_dir} cannot be used: {error.strerror or error}.",
                value=str(self.state_dir),
            )
            return
        try:
            with open(self.launch_log_path, "ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.state_dir,
                    env=environment,
                    **flags,
                )
        except OSError as error:
            self._problem = SynCamError(
                "engine.start",
                f"The engine at {python} cannot be started: {error.strerror or error}.",
                value=str(python),
            )
        self._started_s = time.monotonic()

    def _ended_at_once(self) -> EngineState:
        lines = _tail(self.launch_log_path)
        said = lines[-1] if lines else f"exit status {self._process.returncode}"
        return self._say("lost", f"The engine ended at once: {said}", "Read the log.")

    def _ready(self) -> EngineState:
        client = self.client
        if client.state == "loading":
            return self._say("loading", "The engine runs and is loading its model.")
        where = f" on {client.device}" if client.device else ""
        return self._say("ready", f"The engine is ready{where}.")

    def _say(self, state: State, sentence: str, fix: str | None = None) -> EngineState:
        path = self.log_path
        if not path.exists() and self.launch_log_path.exists():
            path = self.launch_log_path
        return EngineState(state=state, sentence=sentence, fix=fix, log_path=str(path))


def _candidates(wanted: str | Path | None) -> list[str | Path]:
    if wanted:
        return [wanted]
    found: list[str | Path] = []
    if os.environ.get("SYNCAM_ENGINE_PYTHON"):
        found.append(os.environ["SYNCAM_ENGINE_PYTHON"])
    config = user_config_dir()
    if folder_doubt(config) is None:
        try:
            text = (config / "engine.toml").read_text(encoding="utf-8")
            found.append(str(tomllib.loads(text)["python"]))
        except (OSError, ValueError, KeyError, RecursionError):
            pass
    return [*found, *(python for python, doubt in _installed() if not doubt)]


def _installed() -> list[tuple[Path, str]]:
    """The Pythons that nobody chose, each with why it is not used, or ""."""
    found = []
    own = python_of(PROJECT_ROOT / ".venv")
    if (PROJECT_ROOT / "syncam_engine" / "service").is_dir() and own.is_file():
        found.append((own, code_doubt(own, below=PROJECT_ROOT)))
    command = program_on_path("syncam")
    if command is not None:
        python = command.resolve().parent / own.name
        if python.is_file():
            found.append((python, code_doubt(command) or code_doubt(python)))
    return found


def _not_found() -> SynCamError:
    for python, doubt in _installed():
        if doubt:
            return SynCamError(
                "engine.not_own",
                f"The engine at {python} is not used: {doubt}.",
                value=str(python),
                fix=f"If you trust it: SYNCAM_ENGINE_PYTHON={python}",
            )
    return SynCamError(
        "engine.not_found",
        "No SynCam engine is installed on this machine.",
        fix="Run `python3 bootstrap.py demo` in SynCam's folder, and give the Python in its .venv "
        "(SYNCAM_ENGINE_PYTHON)",
    )


def _tail(path: Path, lines: int = 5) -> list[str]:
    try:
        text = path.read_bytes()[-4096:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
