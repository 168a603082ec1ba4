# SPDX-License-Identifier: Apache-2.0
"""The worker process: it owns the device, and it may die.

Two threads. The main one loads the model and samples; it never touches the socket. The other talks
to the server: it takes orders, sends what the main one has to say, and beats once a second. The
server holds the other end of standard input: when that closes the server is gone, and so is this
process, whatever it was doing.

`python -m syncam_engine.service.worker` with the settings as JSON in SYNCAM_WORKER.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import zmq

from syncam_engine.link import codec
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.model.presets import get_preset

from . import worker_messages as wm
from .files import LATENTS_FILE
from .memory import (
    forget_frames,
    free_device,
    is_out_of_memory,
    memory_free_mb,
    memory_mb,
    out_of_memory,
)
from .processes import end_with_the_starter

PREVIEW_SIDE_PX = 256
PREVIEW_EVERY_S = 0.4
BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server starts a worker. `pipeline` is MODULE:FUNCTION, `load_pipeline` by default;
    another one is for tests and `syncam soak`."""

    address: str
    identity: str
    preset: str
    presets: dict[str, str]
    """Names to what `load_pipeline` takes: a name, or a preset file given on the command line."""
    pipeline: str
    device: str = ""
    preload: bool = True
    server_key: str = ""
    public_key: str = ""
    secret_key: str = ""


class Stopped(Exception):
    """Raised in the main thread at the next report after the job was cancelled."""


class Talk:
    """The thread that owns the socket. The main thread uses `say`, `orders` and `stopped`."""

    def __init__(self, settings: Settings) -> None:
        self._device = settings.device
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 2000
        self._socket.routing_id = settings.identity.encode()
        if settings.server_key:
            self._socket.curve_serverkey = settings.server_key.encode()
            self._socket.curve_publickey = settings.public_key.encode()
            self._socket.curve_secretkey = settings.secret_key.encode()
        self._socket.connect(settings.address)
        inside = f"inproc://talk-{id(self)}"
        self._inbox = self._context.socket(zmq.PULL)
        self._inbox.bind(inside)
        self._outbox = self._context.socket(zmq.PUSH)
        self._outbox.connect(inside)
        self.orders: queue.Queue[wm.Run | wm.Leave] = queue.Queue()
        self._stopped: set[str] = set()
        self.moves = 0
        threading.Thread(target=self._run, name="talk", daemon=True).start()

    def say(self, message: Any, *buffers: bytes) -> None:
        self.moves += 1
        self._outbox.send_multipart([wm.pack(message), *buffers])

    def check(self, job_id: str) -> None:
        """Raise `Stopped` when the job was cancelled."""
        self.moves += 1
        if job_id in self._stopped:
            raise Stopped

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._inbox, zmq.POLLIN)
        self._socket.send(wm.pack(wm.Up(pid=os.getpid())))
        next_beat_s = 0.0
        while True:
            ready = dict(poller.poll(200))
            if self._inbox in ready:
                self._socket.send_multipart(self._inbox.recv_multipart())
            if self._socket in ready:
                self._obey(wm.read_to_worker(self._socket.recv()))
            if time.monotonic() >= next_beat_s:
                next_beat_s = time.monotonic() + BEAT_S
                self._socket.send(
                    wm.pack(
                        wm.Beat(
                            moves=self.moves,
                            memory_mb=memory_mb(),
                            memory_free_mb=memory_free_mb(self._device),
                        )
                    )
                )

    def _obey(self, order: wm.ToWorker) -> None:
        if isinstance(order, wm.Stop):
            self._stopped.add(order.job_id)
        elif isinstance(order, wm.Run):
            self._stopped.discard(order.job_id)
            self.orders.put(order)
        else:
            os._exit(0)


class Worker:
    """The main thread's side: one pipeline at a time, one job at a time."""

    def __init__(self, settings: Settings, talk: Talk) -> None:
        self._settings = settings
        self._talk = talk
        self._pipeline: Any = None
        self._loaded = ""
        self._sampling: dict[str, Any] = {}
        """The loaded preset's `SamplingDefaults`."""

    def main(self) -> None:
        if self._settings.preload:
            try:
                self._load(self._settings.preset)
            except Exception as error:  # noqa: BLE001  (told to the server, job by job)
                info = codec.error_info(as_syncam_error(error, "load", None))
                self._talk.say(wm.LoadFailed(preset=self._settings.preset, error=info))
                traceback.print_exc()
        while True:
            self._do(self._talk.orders.get())

    def _load(self, preset: str) -> None:
        if self._loaded == preset:
            return
        self._pipeline, self._loaded = None, ""
        free_device()
        start_s = time.monotonic()
        module, _, function = self._settings.pipeline.partition(":")
        load = getattr(importlib.import_module(module), function)
        source = self._settings.presets.get(preset, preset)
        self._sampling = asdict(get_preset(source).sampling)
        self._pipeline = load(
            source, self._settings.device or None, lambda *_, **__: self._talk.check("")
        )
        self._loaded = preset
        self._talk.say(
            wm.Loaded(
                preset=preset,
                device=str(self._pipeline.device),
                weights_digest=str(self._pipeline.digest),
                seconds=time.monotonic() - start_s,
            )
        )

    def _do(self, order: wm.Run) -> None:
        clock = Clock(lambda phase: self._talk.say(_phase(order, phase)))
        try:
            clock.enter("load")
            self._load(order.request.preset)
            clock.enter("encode")
            clips_VTHW3 = self._generate(order, clock)
            self._talk.check(order.job_id)
            clock.enter("write")
            done = self._write(order, clips_VTHW3, clock)
        except Stopped:
            # The server has deleted them; a step that was under way may have saved once more.
            (Path(order.folder) / LATENTS_FILE).unlink(missing_ok=True)
            self._talk.say(
                wm.Broke(
                    job_id=order.job_id,
                    attempt=order.attempt,
                    error=codec.error_info(SynCamError("job.cancelled", "The job was cancelled.")),
                )
            )
        except Exception as error:  # noqa: BLE001  (a job's fault is that job's, not the worker's)
            print(f"job {order.job_id} failed while in {clock.phase}", file=sys.stderr)
            traceback.print_exc()
            info = codec.error_info(as_syncam_error(error, clock.phase, order.request))
            details = traceback.format_exc()
            forget_frames(error)
            free_device()
            self._talk.say(
                wm.Broke(job_id=order.job_id, attempt=order.attempt, error=info, details=details)
            )
        else:
            self._talk.say(wm.Finished(job_id=order.job_id, attempt=order.attempt, done=done))

    def _generate(self, order: wm.Run, clock: Clock) -> Any:
        request = order.request
        inputs = [self._read_input(request, path, k) for k, path in enumerate(order.inputs)]
        given: dict[str, Any] = {}
        if request.mode == "previz":
            given["start_clips_VTHW3"] = inputs
        elif request.mode == "reference":
            given["reference_clip_THW3"] = inputs[0]
        if order.checkpoint_steps:
            given["keeper"] = self._keeper(order)
        last_preview_s = 0.0

        def on_report(report: Any) -> None:
            nonlocal last_preview_s
            self._talk.check(order.job_id)
            clock.enter(report.phase)
            if report.phase == "sample":
                self._talk.say(
                    wm.AtStep(
                        job_id=order.job_id,
                        attempt=order.attempt,
                        phase=report.phase,
                        step=report.step,
                        steps=report.steps,
                    )
                )
            now_s = time.monotonic()
            if report.preview_VHW3 is not None and now_s - last_preview_s >= PREVIEW_EVERY_S:
                last_preview_s = now_s
                self._send_previews(order, report)

        return self._pipeline.generate(request, **given, on_report=on_report)

    def _keeper(self, order: wm.Run) -> Any:
        from .kept_latents import KeptLatents, key_of

        def say(text: str) -> None:
            self._talk.say(wm.Noted(job_id=order.job_id, attempt=order.attempt, text=text))

        pipeline = self._pipeline
        device = getattr(pipeline, "device_kind", pipeline.device)
        return KeptLatents(
            folder=Path(order.folder),
            key=key_of(order.request, str(pipeline.digest), str(device)),
            every=order.checkpoint_steps,
            say=say,
        )

    def _send_previews(self, order: wm.Run, report: Any) -> None:
        for index, picture in enumerate(report.preview_VHW3):
            stride = -(-max(picture.shape[:2]) // PREVIEW_SIDE_PX)
            small = picture[::stride, ::stride]
            pixels = wm.Pixels(
                job_id=order.job_id,
                attempt=order.attempt,
                index=index,
                step=report.step,
                width=small.shape[1],
                height=small.shape[0],
            )
            self._talk.say(pixels, small.tobytes())

    def _read_input(self, request: GenerateRequest, path: str, index: int) -> Any:
        from syncam_engine.sampling.clips import read_fitted

        size = (request.width, request.height, request.frames)
        try:
            return read_fitted(Path(path), *size, Fraction(*request.fps), request.fit_rule)
        except SynCamError as error:
            said = error.sentence.replace(Path(path).name, "it")
            raise SynCamError(
                error.code, f"Input clip {index + 1} of the job: {said}", value=index
            ) from error

    def _write(self, order: wm.Run, clips_VTHW3: Any, clock: Clock) -> Any:
        from .results import write_result

        return write_result(
            Path(order.folder),
            order.attempt,
            order.request,
            clips_VTHW3,
            seconds=clock.seconds,
            model=order.request.preset,
            device=str(self._pipeline.device),
            weights_digest=str(self._pipeline.digest),
            placement=self._pipeline.placement_used,
            sampling=self._sampling,
        )


class Clock:
    """Seconds spent in each phase, and a word to the server at each change."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._start_s = self._since_s = time.monotonic()
        self._spent: dict[str, float] = {}
        self.phase = ""

    def enter(self, phase: str) -> None:
        if phase == self.phase:
            return
        self._count()
        self.phase = phase
        self._tell(phase)

    def seconds(self) -> dict[str, float]:
        self._count()
        return {**self._spent, "total": time.monotonic() - self._start_s}

    def _count(self) -> None:
        now_s = time.monotonic()
        if self.phase:
            self._spent[self.phase] = self._spent.get(self.phase, 0.0) + now_s - self._since_s
        self._since_s = now_s


def _phase(order: wm.Run, phase: str) -> wm.AtPhase:
    return wm.AtPhase(job_id=order.job_id, attempt=order.attempt, phase=phase)


def as_syncam_error(error: Exception, phase: str, request: GenerateRequest | None) -> SynCamError:
    """One sentence for whatever went wrong in a job."""
    if isinstance(error, SynCamError):
        return error
    if is_out_of_memory(error):
        return out_of_memory(phase, request)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SynCamError(
            "disk.full",
            "The engine's disk is full: the clips could not be written.",
            fix="Free disk space, then run the job again",
        )
    # The system's errors name a file with its folder, which is nobody's business.
    said = getattr(error, "strerror", None) or str(error)
    text = " ".join(said.split())[:300]
    return SynCamError(
        "job.failed",
        f"The engine failed while it was in {phase or 'load'}: {type(error).__name__}: {text}",
        value=type(error).__name__,
        fix="Read the engine's log",
    )


def main() -> None:
    settings = Settings(**json.loads(os.environ.pop("SYNCAM_WORKER")))
    end_with_the_starter()
    if hasattr(os, "nice"):
        os.nice(2)  # the server, and the artist's own programs, come first
    Worker(settings, Talk(settings)).main()


if __name__ == "__main__":
    main()
