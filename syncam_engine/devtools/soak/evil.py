# SPDX-License-Identifier: Apache-2.0
"""Hosts against an engine that lies: the client library, and the add-on where a bpy Python is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link import limits
from syncam_engine.link.client import EngineClient
from syncam_engine.link.endpoint import Endpoint
from syncam_engine.link.environments import PROJECT_ROOT, find_bpy_python
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.events import Fetched, Reply
from syncam_engine.link.messages import Done, Failed, GenerateRequest, Preview, Progress
from syncam_engine.link.plain import plain

from .evil_engine import honest_clip
from .evil_lies import LIES, SECRET
from .findings import Finding
from .hostile import _resident_kb

ADDON_PROGRAM = "tests.blender_addon.scripts.evil"
LIMIT_S = 60.0
"""In which a job has to end, whatever is said of it."""
MOST_GROWN_KIB = 400 * 1024


def soak_evil_engine(rounds: int, lies: Iterable[str] = LIES) -> Finding:
    """Tell every lie `rounds` times to the client library, and once to the add-on."""
    names = list(lies)
    finding = Finding(
        "evil engine",
        f"{len(LIES)} lies, 20 times each to the client library, once to the add-on",
        f"{len(names)} lies, {rounds} times each",
    )
    with _private_folder() as folder:
        (folder / "SECRET").write_bytes(SECRET)
        with evil_engine(folder) as endpoint:
            _client_library(finding, endpoint, folder, names * rounds)
            blender = find_bpy_python()
            if blender is None or not (PROJECT_ROOT / "tests").is_dir():
                finding.figures["add-on"] = "not run: no bpy Python here"
            else:
                _addon(finding, endpoint, folder, blender, names)
    return finding


@contextmanager
def evil_engine(folder: Path) -> Iterator[Endpoint]:
    """Run the liar in a process of its own."""
    with open(folder / "evil.out", "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncam_engine.devtools.soak.evil_engine"],
            stdout=subprocess.PIPE,
            stderr=said,
        )
        try:
            told = json.loads(process.stdout.readline())
            yield Endpoint(address=told["address"], server_key=told["key"])
        finally:
            process.kill()
            process.communicate()


class LiedTo:
    """A host that runs one job after another with a liar, and what it saw that it must not."""

    def __init__(self, client: EngineClient, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.faults: list[str] = []
        self.most_kb = 0
        """Of memory, at any time."""

    def run(self, lie: str) -> str:
        """Return how the job ended: "failed", "not fetched" or "whole"."""
        request = sample_request(2, prompt=lie, width=64, height=48, frames=5, fps=(8, 1))
        self.client.submit(request)
        end = self._end_of(request)
        if isinstance(end, Failed):
            return "failed"
        wanted = {}
        for clip in end.clips:
            target = self.folder / f"{clip.index}.mp4"
            wanted[self.client.fetch(request.job_id, clip, target)] = clip.index
        return self._landed(request, wanted)

    def _end_of(self, request: GenerateRequest) -> Any:
        cameras = [camera["name"] for camera in request.rig["cameras"]]
        for event in self._events(f"{request.prompt}: the job did not end"):
            if isinstance(event, Preview):
                is_sound = event.width * event.height * 3 == len(event.rgb8) > 0
                if not is_sound or cameras.index(event.camera) != event.index:
                    self.faults.append(f"a preview of {event.camera!r} was passed on")
            elif isinstance(event, Progress) and event.step < 0:
                self.faults.append(f"step {event.step} was passed on")
            if isinstance(event, (Done, Failed)):
                if event.job_id != request.job_id:
                    self.faults.append(f"the end of {event.job_id}, which was not sent")
                    continue
                if isinstance(event, Done) and [clip.camera for clip in event.clips] != cameras:
                    self.faults.append(f"{request.prompt}: clips that were not asked for")
                return event
        raise TimeoutError

    def _landed(self, request: GenerateRequest, wanted: dict[str, int]) -> str:
        refused = 0
        for event in self._events(f"{request.prompt}: a fetch did not end"):
            if isinstance(event, (Fetched, Reply)):
                index = wanted.pop(event.message_id, None)
                refused += index is not None and isinstance(event, Reply)
            if not wanted:
                break
        found = {path.name: _sha(path.read_bytes()) for path in self.folder.iterdir()}
        size = (request.width, request.height, request.frames, request.fps)
        honest = {f"{k}.mp4": _sha(honest_clip(k, *size)) for k in range(2)}
        if not set(found.items()) <= set(honest.items()):
            self.faults.append(
                f"{request.prompt}: {sorted(found)} are not the clips that were made"
            )
        for path in self.folder.iterdir():
            path.unlink()
        return "not fetched" if refused else "whole"

    def _events(self, what: str) -> Iterator[Any]:
        end_s = time.monotonic() + LIMIT_S
        while time.monotonic() < end_s:
            self.most_kb = max(self.most_kb, _resident_kb(os.getpid()))
            for event in self.client.wait(0.1):
                self._check_plain(event)
                yield event
        raise TimeoutError(what)

    def _check_plain(self, event: Any) -> None:
        if isinstance(event, Preview):
            return
        told = msgspec.to_builtins(event)
        if told != msgspec.to_builtins(plain(event)):
            self.faults.append(f"{type(event).__name__} with odd texts or numbers was passed on")


def _client_library(finding: Finding, endpoint: Endpoint, folder: Path, names: list[str]) -> None:
    clips = folder / "clips"
    clips.mkdir()
    before_kb = _resident_kb(os.getpid())
    client = EngineClient(endpoint, client_name="lied to")
    host = LiedTo(client, clips)
    slowest_s = 0.0
    try:
        for name in names:
            start_s = time.monotonic()
            end = host.run(name)
            slowest_s = max(slowest_s, time.monotonic() - start_s)
            if end != LIES[name].end:
                finding.fault(f"{name}: ended {end}, not {LIES[name].end}")
        if len(client.hello.presets) > limits.MAX_PRESETS:
            finding.fault(f"{len(client.hello.presets)} presets were believed")
    except (TimeoutError, SynCamError) as error:
        finding.fault(str(error))
    finally:
        client.close()
    for fault in dict.fromkeys(host.faults):
        finding.fault(fault)
    grown_kb = max(0, host.most_kb - before_kb)
    if grown_kb > MOST_GROWN_KIB:
        finding.fault(f"the host grew by {grown_kb} KiB")
    finding.figures |= {
        "jobs": len(names),
        "memory grown (KiB)": grown_kb,
        "longest job (s)": round(slowest_s, 2),
    }


def _addon(
    finding: Finding, endpoint: Endpoint, folder: Path, blender: Path, names: list[str]
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "SYNCAM_STATE_DIR": str(folder / "state"),
        "SYNCAM_CONFIG_DIR": str(folder / "config"),
        "BLENDER_USER_RESOURCES": str(folder / "blender"),
        "TMPDIR": str(folder),
    }
    asked = {name: LIES[name].end for name in names}
    call = [endpoint.address, endpoint.server_key, str(folder / "lied.blend"), json.dumps(asked)]
    try:
        run = subprocess.run(
            [str(blender), "-m", ADDON_PROGRAM, *call],
            cwd=PROJECT_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60 + 10 * len(names),
        )
    except subprocess.TimeoutExpired:
        finding.fault("the add-on did not come to an end")
        return
    answers = [line for line in run.stdout.splitlines() if line.startswith("ANSWER ")]
    if not answers:
        finding.fault(f"the add-on said nothing: {run.stdout[-500:]} {run.stderr[-1500:]}")
        return
    told = json.loads(answers[-1].removeprefix("ANSWER "))
    for fault in told["faults"]:
        finding.fault(f"add-on: {fault}")
    finding.figures["add-on"] = f"{told['jobs']} jobs, {told['images']} image datablocks at the end"


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder of our own; keys are made and looked for in it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="syncam-evil-") as name:
        kept = os.environ.get("SYNCAM_CONFIG_DIR")
        os.environ["SYNCAM_CONFIG_DIR"] = str(Path(name) / "config")
        try:
            yield Path(name)
        finally:
            os.environ.pop("SYNCAM_CONFIG_DIR")
            if kept is not None:
                os.environ["SYNCAM_CONFIG_DIR"] = kept


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
