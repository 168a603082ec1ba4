# SPDX-License-Identifier: Apache-2.0
"""A real engine in processes of its own, to be used hard: by tests, `syncam soak` and the bench."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from syncam_engine.link import rig_json
from syncam_engine.link.camera import intrinsics
from syncam_engine.link.client import EngineClient, Reply
from syncam_engine.link.clip_names import clip_name, result_dir
from syncam_engine.link.endpoint import read_engine_info, socket_path
from syncam_engine.link.engine_facts import EngineStatus
from syncam_engine.link.environments import PROJECT_ROOT
from syncam_engine.link.hemisphere import sample_hemisphere_cameras
from syncam_engine.link.messages import Done, Failed, GenerateRequest
from syncam_engine.link.rig import Rig


class LocalEngine:
    """An engine with a short private folder of its own, deleted at the end.

    It can be started, killed and started again over the same jobs. Keys and client ids live in a
    configuration folder of its own as well (`environment`).
    """

    def __init__(
        self,
        *arguments: str,
        pipeline: str = "",
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="syncam-"))
        self.state_dir = self.folder / "state"
        self.arguments = [*arguments, *(("--pipeline", pipeline) if pipeline else ())]
        self.environment = {
            **os.environ,
            # The stand-in that makes clips lies beside the package, where no installation has it.
            "PYTHONPATH": os.pathsep.join(
                path for path in (str(PROJECT_ROOT), os.environ.get("PYTHONPATH")) if path
            ),
            "SYNCAM_CONFIG_DIR": str(self.folder / "config"),
            "SYNCAM_STUB_DIR": str(self.folder),
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        }
        self.process: subprocess.Popen | None = None
        self._clients: list[EngineClient] = []

    def start(self, limit_s: float = 60.0) -> float:
        """Start the server; return the seconds until `hello` was answered."""
        start_s = time.monotonic()
        with open(self.folder / "server.out", "ab") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "syncam_engine.cli", "serve"),
                    *("--state-dir", str(self.state_dir), *self.arguments),
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        probe = EngineClient(state_dir=self.state_dir)
        try:
            wait_until(
                lambda: probe.wait(0.02) is not None and probe.state in ("ready", "loading"),
                limit_s,
                lambda: f"no hello; {self.said()}",
            )
        finally:
            probe.close()
        return time.monotonic() - start_s

    @property
    def address(self) -> str:
        """Of its local socket; to a client that is given it, the engine could be anywhere."""
        return f"ipc://{socket_path(self.state_dir)}"

    def clip_file(self, done: Done, index: int, kind: str = "video/mp4") -> Path:
        """Where the engine keeps a clip of a job, or the folder of its pictures."""
        clip = next(c for c in done.clips if (c.index, c.kind) == (index, kind))
        return result_dir(self.state_dir, done.job_id) / clip_name(index, clip.camera, kind)

    def client(self, **options: Any) -> EngineClient:
        client = EngineClient(state_dir=self.state_dir, **options)
        self._clients.append(client)
        return client

    def status(self, client: EngineClient | None = None) -> EngineStatus:
        client = client or self.client()
        wanted = client.ask_status()
        found: list[EngineStatus] = []

        def look() -> bool:
            found.extend(
                event.body
                for event in client.wait(0.1)
                if isinstance(event, Reply) and event.message_id == wanted
            )
            return bool(found)

        wait_until(look, 30.0, lambda: f"no status; {self.said()}")
        return found[0]

    def worker_pid(self) -> int:
        """The first worker's process, or 0 where there is none now."""
        return self.status().workers[0].pid

    def server_pid(self) -> int:
        """The process that answers; `process` is its parent."""
        return self.info()["server"]

    def kill(self) -> None:
        """kill -9 of the engine, as it stands."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask the server to end, and return its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()
        socket = socket_path(self.state_dir)
        for path in (socket, socket.with_suffix(".workers")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def info(self) -> dict:
        return read_engine_info(self.state_dir) or {}

    def said(self) -> str:
        """The end of what it printed and logged, for a failed test's message."""
        lines = []
        logs = self.state_dir / "logs"
        for path in (self.folder / "server.out", logs / "engine.log", logs / "worker.log"):
            if path.exists():
                text = path.read_text("utf-8", "replace")
                lines.append(f"{path.name}: ...{text[-1500:]}")
        return "\n".join(lines)

    def __enter__(self) -> LocalEngine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_until(
    condition: Callable[[], Any], limit_s: float, why: Callable[[], str] | str = ""
) -> None:
    """Wait until something is so; the condition itself may take its time."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            text = why() if callable(why) else why
            raise TimeoutError(f"not so after {limit_s:g} s: {text}")
        time.sleep(0.005)


def follow(
    client: EngineClient, job_ids: Iterable[str], limit_s: float = 60.0
) -> tuple[dict[str, Done | Failed], list[Any]]:
    """Wait for the ends of jobs; return them by id, and all events on the way."""
    wanted, ends, events = set(job_ids), {}, []

    def look() -> bool:
        for event in client.wait(0.1):
            events.append(event)
            if isinstance(event, (Done, Failed)) and event.job_id in wanted:
                if event.job_id in ends:
                    raise AssertionError(f"job {event.job_id} ended twice")
                ends[event.job_id] = event
        return len(ends) == len(wanted)

    wait_until(look, limit_s, lambda: f"{len(ends)} of {len(wanted)} jobs ended: {events[-5:]}")
    return ends, events


def sample_request(views: int = 2, **changes: Any) -> GenerateRequest:
    """A small valid request for the preview preset; `changes` are its fields."""
    cameras = sample_hemisphere_cameras(
        random.Random(views),
        views,
        center_m=(0.2, -0.3, 1.1),
        K=intrinsics(131.0, 131.0, 80.0, 48.0),
        width_px=160,
        height_px=96,
    )
    fields = {
        "rig": rig_json.rig_to_dict(Rig(cameras=tuple(cameras))),
        "prompt": "a small stage",
        "seed": 7,
        "steps": 4,
        "frames": 5,
    }
    return GenerateRequest(**{**fields, **changes})
