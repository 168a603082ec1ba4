# SPDX-License-Identifier: Apache-2.0
"""The worker processes: started, fed, watched, and replaced when they die or hang."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq

from syncam_engine.link.engine_facts import WorkerInfo

from . import worker_messages as wm
from .memory import held_mb, machine_mb
from .processes import how_it_ended
from .worker import Settings

LOG = logging.getLogger("syncam.worker")
_BACKOFF_S = (0.0, 0.5, 2.0, 5.0, 10.0, 30.0)
_LOG_BYTES = 5_000_000
WORKER_SHARE = 0.9
_LOOK_S = 0.2


@dataclass(slots=True, kw_only=True)
class Slot:
    """One place for a worker process: one device."""

    index: int
    device_wanted: str
    state: str = "dead"
    """dead, asleep (until a job comes), starting, loading, ready, busy, yielded."""
    process: subprocess.Popen | None = None
    dying: subprocess.Popen | None = None
    """Killed but not gone yet: the next one waits, since the device is still held."""
    identity: str = ""
    device: str = ""
    preset: str = ""
    weights_digest: str = ""
    job_id: str = ""
    attempt: int = 0
    phase: str = ""
    step: int = 0
    steps: int = 0
    memory_mb: float = 0.0
    memory_free_mb: float = 0.0
    restarts: int = 0
    deaths_in_row: int = 0
    start_at_s: float = 0.0
    beat_s: float = 0.0
    moved_s: float = 0.0
    moves: int = -1
    notes: dict[str, str] = field(default_factory=dict)

    def info(self, own: Container[str]) -> WorkerInfo:
        """What is told to a client; a job's id is its owner's secret."""
        return WorkerInfo(
            index=self.index,
            state=self.state,
            device=self.device or self.device_wanted,
            preset=self.preset,
            job_id=self.job_id if self.job_id in own else "",
            phase=self.phase,
            step=self.step,
            steps=self.steps,
            memory_mb=self.memory_mb,
            memory_free_mb=self.memory_free_mb,
            restarts=self.restarts,
            pid=self.process.pid if self.process else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How workers are started and when they count as hanging."""

    preset: str
    presets: dict[str, str]
    pipeline: str
    devices: tuple[str, ...] = ("",)
    preload: bool = True
    hang_s: float = 30.0
    """Without a beat for so long a worker hangs: stopped, swapping, or stuck in a driver."""
    stall_s: float = 900.0
    """Beating but without a step for so long, while it has a job or loads: it hangs as well."""
    most_memory_mb: float = field(default_factory=lambda: WORKER_SHARE * machine_mb())
    """A worker that holds more of the machine's memory is ended, before the system ends another
    program for it."""


class Supervisor:
    """Owns the slots. `on_message(slot, message, buffers)` hears what workers say; `on_death(slot,
    reason, hung)` hears of each end that was not asked for, before the slot is cleared."""

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        log_path: Path,
        plan: WorkerPlan,
        on_message: Callable[[Slot, Any, list], None],
        on_death: Callable[[Slot, str, bool], None],
    ) -> None:
        self.plan = plan
        self._log_path = log_path
        self._on_message, self._on_death = on_message, on_death
        self._keys: tuple[bytes, bytes] | None = None
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.router_mandatory = 1
        if address.startswith("tcp://"):
            self._keys = zmq.curve_keypair()
            self._server_keys = zmq.curve_keypair()
            self.socket.curve_server = 1
            self.socket.curve_secretkey = self._server_keys[1]
            self.socket.zap_domain = b"worker"
        self.socket.bind(address)
        self._address = self.socket.last_endpoint.decode().rstrip("\0")
        self.slots = [
            Slot(index=k, device_wanted=name, state="dead" if plan.preload else "asleep")
            for k, name in enumerate(plan.devices)
        ]
        self._generation = 0
        self._next_look_s = 0.0

    @property
    def worker_key(self) -> str:
        """The public key that workers show over TCP; "" over ipc."""
        return self._keys[0].decode() if self._keys else ""

    @property
    def state(self) -> str:
        """The best of the slots' states, for clients."""
        order = ("ready", "busy", "loading", "starting", "asleep", "yielded", "dead")
        best = min((slot.state for slot in self.slots), key=order.index)
        # Where the model is loaded ahead, a dead worker is started again by itself: not ready yet.
        return "starting" if best == "dead" and self.plan.preload else best

    @property
    def device(self) -> str:
        return ", ".join(dict.fromkeys(slot.device for slot in self.slots if slot.device))

    def free_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.state == "ready"]

    def slot_of(self, job_id: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.job_id == job_id), None)

    # ---- orders ----

    def wake(self, slot: Slot) -> None:
        """Have a worker in the slot soon."""
        if slot.state in ("dead", "asleep", "yielded") and slot.process is None:
            slot.state = "dead"
            if time.monotonic() >= slot.start_at_s and slot.dying is None:
                self._start(slot)

    def run(self, slot: Slot, order: wm.Run) -> bool:
        """Give a ready worker a job."""
        if not self._send(slot, order):
            return False
        slot.state, slot.job_id, slot.attempt = "busy", order.job_id, order.attempt
        slot.phase, slot.step, slot.steps = "load", 0, 0
        slot.moved_s = time.monotonic()
        return True

    def stop_job(self, job_id: str) -> None:
        slot = self.slot_of(job_id)
        if slot is not None:
            self._send(slot, wm.Stop(job_id=job_id))

    def yield_slot(self, slot: Slot) -> None:
        """End an idle worker: the one sure way to give a device's memory back."""
        if slot.state in ("ready", "loading", "starting"):
            self._end_process(slot)
            slot.state = "yielded"
            LOG.info("worker yielded its device", extra={"worker": slot.index})

    def close(self) -> None:
        for slot in self.slots:
            self._end_process(slot)
            if slot.dying is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.dying.wait(2.0)
        self.socket.close(linger=0)

    # ---- what happens ----

    def hear(self) -> None:
        """Take all that workers have said."""
        while True:
            try:
                identity, data, *buffers = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:
                continue
            slot = next((s for s in self.slots if s.identity.encode() == identity), None)
            if slot is None or slot.process is None:
                continue  # a worker that was given up
            try:
                message = wm.read_to_server(data)
            except msgspec.DecodeError as error:
                LOG.error("worker said nonsense: %s", error, extra={"worker": slot.index})
                continue
            slot.beat_s = time.monotonic()
            self._note(slot, message)
            self._on_message(slot, message, buffers)

    def rotate_log(self) -> None:
        """Keep the workers' log short while they hold it open: they append, so it can be cut."""
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self._log_path, self._log_path.with_suffix(".log.1"))
            os.truncate(self._log_path, 0)

    def tick(self) -> None:
        """Notice deaths and hangs, and start what should run."""
        now_s = time.monotonic()
        for slot in self.slots:
            if slot.dying is not None and slot.dying.poll() is not None:
                slot.dying = None
            if slot.process is None:
                if slot.state == "dead" and self.plan.preload:
                    self.wake(slot)
                continue
            code = slot.process.poll()
            if code is not None:
                self._bury(slot, how_it_ended(code), hung=False)
            elif now_s - slot.beat_s > self._patience_s(slot):
                reason = f"no sign of life for {self._patience_s(slot):g} s"
                self._bury(slot, reason, hung=True)
            elif slot.state in ("busy", "loading") and now_s - slot.moved_s > self.plan.stall_s:
                self._bury(slot, f"no step for {self.plan.stall_s:g} s", hung=True)
        self._watch_memory(now_s)

    def _watch_memory(self, now_s: float) -> None:
        """End a worker that holds too much. Its job is told why."""
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + _LOOK_S
        most_mb = self.plan.most_memory_mb
        for slot in self.slots:
            if slot.process is not None and (held := held_mb(slot.process.pid)) > most_mb:
                reason = f"it held {held:.0f} MiB of memory, more than {most_mb:.0f}"
                self._bury(slot, reason, hung=False)
                slot.notes["memory"] = f"A worker was ended: {reason} (--worker-memory-mb)."

    def _patience_s(self, slot: Slot) -> float:
        """While libraries load from a cold disk, Python lets no other thread run: no beats."""
        loads = slot.state in ("starting", "loading") or slot.phase == "load"
        return self.plan.hang_s * (10 if loads else 1)

    def _note(self, slot: Slot, message: Any) -> None:
        if isinstance(message, wm.Up):
            slot.state = "loading" if self.plan.preload else "ready"
            slot.moved_s = time.monotonic()
        elif isinstance(message, wm.Beat):
            if message.moves != slot.moves:
                slot.moves, slot.moved_s = message.moves, time.monotonic()
            slot.memory_mb = message.memory_mb
            slot.memory_free_mb = message.memory_free_mb
        elif isinstance(message, wm.Loaded):
            slot.preset, slot.device = message.preset, message.device
            slot.weights_digest = message.weights_digest
            slot.notes.pop("load", None)
            if slot.state == "loading":
                slot.state, slot.deaths_in_row = "ready", 0
        elif isinstance(message, wm.LoadFailed):
            slot.notes["load"] = message.error.sentence
            LOG.error("model not loaded: %s", message.error.sentence, extra={"worker": slot.index})
            if slot.state == "loading":
                slot.state = "ready"
        elif isinstance(message, (wm.AtPhase, wm.AtStep)):
            slot.phase = message.phase
            if isinstance(message, wm.AtStep):
                slot.step, slot.steps = message.step, message.steps
        elif isinstance(message, (wm.Finished, wm.Broke)) and message.job_id == slot.job_id:
            slot.notes.pop("memory", None)
            slot.state, slot.job_id, slot.phase = "ready", "", ""
            slot.step = slot.steps = slot.deaths_in_row = 0

    def _start(self, slot: Slot) -> None:
        self._generation += 1
        slot.identity = f"worker-{slot.index}-{self._generation}"
        settings = Settings(
            address=self._address,
            identity=slot.identity,
            preset=self.plan.preset,
            presets=self.plan.presets,
            pipeline=self.plan.pipeline,
            device=slot.device_wanted,
            preload=self.plan.preload,
            server_key=self._server_keys[0].decode() if self._keys else "",
            public_key=self._keys[0].decode() if self._keys else "",
            secret_key=self._keys[1].decode() if self._keys else "",
        )
        # Threads that spin while they wait for each other make a job many times slower as soon as
        # an artist's render takes the cores.
        environment = {
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            "SYNCAM_WORKER": json.dumps(asdict(settings)),
        }
        try:
            with open(self._log_path, "ab") as log:
                slot.process = subprocess.Popen(
                    # -P: the server's working folder may be anybody's, and has no code for it.
                    [sys.executable, "-P", "-m", "syncam_engine.service.worker"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
        except OSError as error:
            slot.notes["start"] = f"The worker cannot be started: {error}."
            slot.start_at_s = time.monotonic() + _BACKOFF_S[-1]
            return
        slot.notes.pop("start", None)
        slot.state, slot.moves = "starting", -1
        slot.beat_s = slot.moved_s = time.monotonic()
        LOG.info("worker started", extra={"worker": slot.index, "pid": slot.process.pid})

    def _bury(self, slot: Slot, reason: str, *, hung: bool) -> None:
        LOG.error(
            "worker ended: %s", reason, extra={"worker": slot.index, "job": slot.job_id or None}
        )
        self._end_process(slot)
        slot.restarts += 1
        slot.deaths_in_row += 1
        self._on_death(slot, reason, hung)
        slot.state, slot.job_id, slot.phase, slot.step, slot.steps = "dead", "", "", 0, 0
        wait_s = _BACKOFF_S[min(slot.deaths_in_row - 1, len(_BACKOFF_S) - 1)]
        slot.start_at_s = time.monotonic() + wait_s

    def _end_process(self, slot: Slot) -> None:
        """SIGKILL at once: a worker keeps nothing that is not on disk, and a stopped one obeys."""
        process, slot.process = slot.process, None
        if process is None:
            return
        process.kill()
        if process.stdin:
            process.stdin.close()
        slot.dying = process if process.poll() is None else None
        slot.memory_mb = slot.memory_free_mb = 0.0

    def _send(self, slot: Slot, order: wm.ToWorker) -> bool:
        try:
            self.socket.send_multipart([slot.identity.encode(), wm.pack(order)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            LOG.warning("worker cannot be told: %s", error, extra={"worker": slot.index})
            return False
        return True
