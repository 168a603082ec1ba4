# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics, on a loopback port that the user opted in to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from syncam_engine.link.errors import SynCamError

from .engine import Engine
from .hub import Hub

MOST_ASKING = 8
"""Any user of the machine may connect, and each connection is a file and a thread of the server."""
ASKED_WITHIN_S = 5.0


class Metrics:
    """What a scrape reads. The server's thread fills it, the HTTP thread only reads: a scrape never
    touches the engine itself, and its database belongs to one thread."""

    def __init__(self, engine: Engine, hubs: Sequence[Hub]) -> None:
        self._engine, self._hubs = engine, hubs
        self._families: list[Any] = []
        self.refresh()

    def refresh(self) -> None:
        """Take new figures; called in the server's thread."""
        status = self._engine.status()
        jobs = GaugeMetricFamily("syncam_jobs", "Jobs by state", labels=["state"])
        for state in ("queued", "paused", "running", "done", "failed", "cancelled"):
            jobs.add_metric([state], getattr(status, state))
        seconds = CounterMetricFamily(
            "syncam_phase_seconds", "Seconds spent in each phase of finished jobs", labels=["phase"]
        )
        for phase, spent in self._engine.phase_seconds.items():
            seconds.add_metric([phase], spent)
        failures = CounterMetricFamily(
            "syncam_failures", "Ends without a result, by code; worker deaths", labels=["code"]
        )
        for code, count in self._engine.failures.items():
            failures.add_metric([code], count)
        messages = CounterMetricFamily(
            "syncam_messages", "Messages from clients, by type", labels=["type"]
        )
        for name in {name for hub in self._hubs for name in hub.counts}:
            messages.add_metric([name], sum(hub.counts[name] for hub in self._hubs))
        memory = GaugeMetricFamily(
            "syncam_worker_memory_bytes", "Memory that a worker holds", labels=["worker", "device"]
        )
        up = GaugeMetricFamily(
            "syncam_worker_up", "1 while a worker is ready or busy", labels=["worker", "state"]
        )
        for worker in status.workers:
            memory.add_metric([str(worker.index), worker.device], worker.memory_mb * 2**20)
            up.add_metric(
                [str(worker.index), worker.state], float(worker.state in ("ready", "busy"))
            )
        self._families = [
            jobs,
            seconds,
            failures,
            messages,
            memory,
            up,
            GaugeMetricFamily("syncam_clients", "Connected clients", value=status.clients),
            GaugeMetricFamily(
                "syncam_disk_free_bytes", "Free disk", value=status.disk_free_mb * 2**20
            ),
        ]

    def collect(self) -> Iterator[Any]:
        yield from self._families


def start_metrics(engine: Engine, hubs: Sequence[Hub], port: int) -> Metrics:
    """Serve metrics on 127.0.0.1:`port`; raises "serve.metrics_port" when it is taken."""
    metrics = Metrics(engine, hubs)
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server = make_server("127.0.0.1", port, make_wsgi_app(registry), _FewAtOnce, _Quiet)
    except OSError as error:
        raise SynCamError(
            "serve.metrics_port",
            f"The metrics' port {port} cannot be opened: {error.strerror}.",
            value=port,
            fix="Choose another --metrics-port",
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return metrics


class _FewAtOnce(ThreadingMixIn, WSGIServer):
    """One more than `MOST_ASKING` is shut out at once, and who says nothing after a while."""

    daemon_threads = True

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self._free = threading.BoundedSemaphore(MOST_ASKING)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        late = threading.Timer(ASKED_WITHIN_S, _end, (request,))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone, or was too slow."""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass
