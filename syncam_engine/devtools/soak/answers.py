# SPDX-License-Identifier: Apache-2.0
"""How soon `status` and `hello` are answered while the worker loads, samples, hangs and dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import zmq

from syncam_engine.devtools.harness import LocalEngine, sample_request, wait_until
from syncam_engine.link import codec
from syncam_engine.link.endpoint import socket_path
from syncam_engine.link.engine_facts import EngineStatus
from syncam_engine.link.messages import TO_CLIENT, AskStatus, SayHello, new_id

from .findings import Finding, percentile

LOAD_S = 6.0


def soak_answers(seconds: float, pipeline: str) -> Finding:
    """Ask all the time, `seconds` in each state of the worker."""
    finding = Finding(
        "answers",
        "hello and status within 50 ms at the 99th percentile, whatever the worker does",
        f"{seconds:.0f} s in each state",
    )
    engine = LocalEngine("--max-deaths", "1000", "--hang-s", "600", pipeline=pipeline)
    engine.environment["SYNCAM_STUB_LOAD_S"] = str(LOAD_S)
    try:
        engine.start()
        asker = Asker(engine)
        asker.ask_for(min(seconds, LOAD_S), "loading", lambda: None)
        client = engine.client()
        wait_until(lambda: engine.status(client).workers[0].state == "ready", 120, engine.said)
        asker.ask_for(seconds, "idle", lambda: None)
        request = sample_request(4, prompt="busy sleep=0.01", steps=50, frames=17)
        for k in range(50):
            client.submit(sample_request(4, prompt="busy sleep=0.01", steps=50, frames=17, seed=k))
        client.submit(request)
        asker.ask_for(seconds, "sampling", client.poll)
        pid = engine.worker_pid()
        if pid:
            os.kill(pid, signal.SIGSTOP)
        asker.ask_for(seconds, "hanging", client.poll)
        asker.ask_for(seconds, "dying again and again", lambda: _kill(engine))
        finding.figures = asker.figures()
        if asker.lost:
            finding.fault(f"{asker.lost} questions were not answered in 30 s")
        asker.close()
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        engine.close()
    return finding


def _kill(engine: LocalEngine) -> None:
    pid = engine.worker_pid()
    if pid:
        os.kill(pid, signal.SIGKILL)


class Asker:
    """A bare socket, so that what is measured is the engine and not a client's own second look."""

    def __init__(self, engine: LocalEngine) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvtimeo = 30_000
        self._socket.connect(f"ipc://{socket_path(engine.state_dir)}")
        self._waits_ms: dict[str, list[float]] = {}
        self.lost = 0

    def ask_for(self, seconds: float, state: str, meanwhile: Callable[[], object]) -> None:
        end_s = next_s = time.monotonic() + seconds
        next_s -= seconds
        waits = self._waits_ms.setdefault(state, [])
        while time.monotonic() < end_s:
            for body in (SayHello(client_id=new_id()), AskStatus()):
                waits.append(self._ask(body))
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + 0.5
                meanwhile()
            time.sleep(0.005)

    def _ask(self, body: SayHello | AskStatus) -> float:
        message_id = new_id()
        start_s = time.monotonic()
        self._socket.send_multipart(codec.encode(body, message_id=message_id))
        while True:
            try:
                message = codec.decode(self._socket.recv_multipart(), TO_CLIENT)
            except zmq.Again:
                self.lost += 1
                return 30_000.0
            if message.header.parent == message_id:
                break
        if isinstance(body, AskStatus):
            assert isinstance(message.body, EngineStatus)
        return 1e3 * (time.monotonic() - start_s)

    def figures(self) -> dict[str, str]:
        return {
            f"worker {state}": f"{len(waits)} asked, p50 {percentile(waits, 0.5):.2f} ms, "
            f"p99 {percentile(waits, 0.99):.2f} ms, longest {max(waits):.1f} ms"
            for state, waits in self._waits_ms.items()
        }

    def longest_ms(self) -> float:
        return max((max(waits) for waits in self._waits_ms.values()), default=0.0)

    def close(self) -> None:
        self._context.destroy(linger=0)
