# SPDX-License-Identifier: Apache-2.0
"""The preview model's request on a real engine: time of each phase, memory, answers, cancel.

4 views of 17 frames at 160x96. The figures are this machine's at this moment; `idle` figures are
taken while no job runs, `busy` ones while it samples.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from typing import Any

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request, wait_until
from syncam_engine.devtools.soak.findings import percentile
from syncam_engine.link.client import EngineClient, Reply
from syncam_engine.link.messages import Done, Failed, Progress


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=4, help="cameras of the request (4)")
    parser.add_argument("--rounds", type=int, default=2, help="the first also warms up (2)")
    parser.add_argument("--threads", type=int, default=0, help="OMP_NUM_THREADS (0: all cores)")
    parser.add_argument("--pipeline", default="", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    figures = measure(args.views, args.rounds, args.threads, args.pipeline)
    if args.json:
        print(json.dumps(figures, indent=1))
        return 0
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    return 0


def measure(views: int, rounds: int, threads: int, pipeline: str = "") -> dict[str, Any]:
    """Return the figures; raises `RuntimeError` when a job fails."""
    engine = LocalEngine(pipeline=pipeline)
    engine.environment["OMP_NUM_THREADS"] = str(threads or os.cpu_count())
    try:
        hello_s = engine.start()
        client = engine.client()
        start_s = time.monotonic()
        wait_until(lambda: engine.status(client).workers[0].state == "ready", 600, engine.said)
        load_s = time.monotonic() - start_s
        memory = _Peak(engine.worker_pid())
        best: dict[str, float] = {}
        for round_ in range(rounds):
            done = _job(client, views, seed=round_)
            if not best or done.seconds["total"] < best["total"]:
                best = done.seconds
        busy_ms, cancel_ms = _busy(engine, client, views)
        idle_ms = [_status_ms(client) for _ in range(200)]
        return {
            "request": f"{views} views, 17 frames, 160x96, preset steps",
            "device": done.device,
            "threads": threads or os.cpu_count(),
            "hello_s": hello_s,
            "model_ready_s": load_s,
            **{f"{phase}_s": seconds for phase, seconds in best.items()},
            "sample_and_decode_s": best.get("sample", 0.0) + best.get("decode", 0.0),
            "worker_peak_mb": memory.stop(),
            "status_idle_p99_ms": percentile(idle_ms, 0.99),
            "status_busy_p99_ms": percentile(busy_ms, 0.99),
            "cancel_told_ms": cancel_ms,
        }
    finally:
        engine.close()


def _job(client: EngineClient, views: int, seed: int) -> Done:
    request = sample_request(
        views, prompt="a person walks a dog across a plaza", seed=seed, frames=17, steps=None
    )
    client.submit(request)
    end = follow(client, [request.job_id], 1200)[0][request.job_id]
    if isinstance(end, Failed):
        raise end.error.to_error()
    return end


def _busy(engine: LocalEngine, client: EngineClient, views: int) -> tuple[list[float], float]:
    """Ask for status while a job samples, then cancel it; milliseconds."""
    request = sample_request(views, prompt="a red car", frames=17, steps=50)
    client.submit(request)
    wait_until(lambda: any(isinstance(e, Progress) for e in client.wait(0.1)), 600, engine.said)
    asker = engine.client()
    waits = [_status_ms(asker) for _ in range(100)]
    start_s = time.monotonic()
    client.cancel(request.job_id)
    follow(client, [request.job_id], 60)
    return waits, 1e3 * (time.monotonic() - start_s)


def _status_ms(client: EngineClient) -> float:
    start_s = time.monotonic()
    wanted = client.ask_status()
    while not any(isinstance(e, Reply) and e.message_id == wanted for e in client.wait(0.5)):
        pass
    return 1e3 * (time.monotonic() - start_s)


class _Peak:
    """Highest resident memory of a process, sampled; MiB."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._going = pid, 0.0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._going:
            try:
                with open(f"/proc/{self._pid}/status") as file:
                    lines = dict(line.split(":", 1) for line in file)
            except OSError:
                return
            # The kernel's own high-water mark; sampling only has to see it once more.
            self._peak = max(self._peak, int(lines.get("VmHWM", "0 kB").split()[0]) / 1024)
            time.sleep(0.1)

    def stop(self) -> float:
        self._going = False
        self._thread.join()
        return self._peak
