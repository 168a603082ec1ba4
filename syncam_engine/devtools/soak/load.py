# SPDX-License-Identifier: Apache-2.0
"""Many clients with small jobs for a while: every job ends once, the server keeps its memory."""

from __future__ import annotations

import time
from typing import Any

from syncam_engine.devtools.harness import LocalEngine, sample_request, wait_until
from syncam_engine.link.client import EngineClient, Reply
from syncam_engine.link.messages import Done, Failed, new_id

from .findings import Finding, percentile
from .hostile import _resident_kb


def soak_load(clients: int, seconds: float, pipeline: str) -> Finding:
    """`clients` of them, each with one small job at a time, and one that asks for `status`."""
    finding = Finding(
        "load",
        "64 clients with small jobs for 10 minutes",
        f"{clients} clients for {seconds:.0f} s",
    )
    engine = LocalEngine(pipeline=pipeline)
    crowd: list[EngineClient] = []
    try:
        engine.start()
        crowd = [engine.client(client_name=f"artist {k}") for k in range(clients)]
        asker = engine.client(client_name="asker")
        _warm_up(crowd, asker)
        # What grows once with the number of clients is not a leak: memory counts from here.
        early_kb = _resident_kb(engine.server_pid())
        ends, latencies, sent = _work(crowd, asker, seconds)
        late_kb = _resident_kb(engine.server_pid())
        status = engine.status(asker)
        finding.figures = {
            "jobs sent": len(sent),
            "jobs done": sum(isinstance(e, Done) for e in ends.values()),
            "jobs a second": len(ends) / seconds,
            "status asked": len(latencies),
            "status p50 (ms)": 1e3 * percentile(latencies, 0.5),
            "status p99 (ms)": 1e3 * percentile(latencies, 0.99),
            "server's memory early, late (KiB)": f"{early_kb}, {late_kb}",
            "engine counts": f"done {status.done}, failed {status.failed}",
        }
        for job_id in sent:
            if not isinstance(ends.get(job_id), Done):
                finding.fault(f"{job_id} ended with {ends.get(job_id)}")
        if status.done != len(sent):
            finding.fault(f"the engine counts {status.done} jobs, {len(sent)} were sent")
        if late_kb - early_kb > 64 * 1024:
            finding.fault("the server's memory grew")
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        engine.close()
    return finding


def _warm_up(crowd: list[EngineClient], asker: EngineClient) -> None:
    for client in (*crowd, asker):
        wait_until(lambda c=client: c.poll() is not None and c.hello, 60, "no hello")


def _work(
    crowd: list[EngineClient], asker: EngineClient, seconds: float
) -> tuple[dict[str, Any], list[float], list[str]]:
    ends: dict[str, Any] = {}
    latencies: list[float] = []
    sent: list[str] = []
    current: dict[int, str] = {}
    asked_s, wanted = 0.0, ""
    end_s = time.monotonic() + seconds
    while True:
        now_s = time.monotonic()
        if now_s < end_s:
            for k, client in enumerate(crowd):
                if k not in current:
                    request = sample_request(1, frames=1, steps=1, job_id=new_id(), seed=k)
                    current[k] = client.submit(request)
                    sent.append(request.job_id)
        elif not current:
            return ends, latencies, sent
        elif now_s > end_s + 120:
            raise TimeoutError(f"{len(current)} jobs did not end")
        for k, client in enumerate(crowd):
            for event in client.poll():
                if isinstance(event, (Done, Failed)):
                    if event.job_id in ends:
                        raise TimeoutError(f"{event.job_id} ended twice")
                    ends[event.job_id] = event
                    current.pop(k, None)
        if not wanted:
            asked_s, wanted = time.monotonic(), asker.ask_status()
        for event in asker.wait(0.002):
            if isinstance(event, Reply) and event.message_id == wanted:
                latencies.append(time.monotonic() - asked_s)
                wanted = ""
