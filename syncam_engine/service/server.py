# SPDX-License-Identifier: Apache-2.0
"""The server process: the loop that always answers. No torch is imported here.

It owns the sockets, the job store and the worker processes, and does nothing that takes long: what
does is the worker's. A fault of its own is logged and the loop goes on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from syncam_engine import __version__
from syncam_engine.link import keys, limits
from syncam_engine.link.endpoint import HAS_IPC, INFO_FILE, private_dir, socket_folder, socket_path

from .catalog import Catalog
from .doorkeeper import Doorkeeper
from .engine import Engine, Rules
from .files import write_whole
from .hub import MAX_SESSIONS, MAX_STRANGERS, Hub
from .inputs import InputStore
from .lock import lock_state
from .logs import start_logging
from .store import Store
from .supervisor import Supervisor, WorkerPlan
from .watch import MemoryWatch

LOG = logging.getLogger("syncam.server")
INPUTS_KEPT_S = 7 * 86400.0
SWEEP_S = 5.0
CLIENT_PAUSE_S = 5.0
FILES = 8192
"""Open files that suffice: two hubs with all their clients, strangers and connections of which the
gates have not heard yet leave 3000 of them in reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """All that `syncam serve` was told."""

    state_dir: Path
    catalog: Catalog
    plan: WorkerPlan
    rules: Rules = field(default_factory=Rules)
    bind: str = ""
    """A remote address to listen on as well, `tcp://HOST:PORT`; always with CURVE."""
    metrics_port: int = 0
    max_memory_bytes: int = 2048 * limits.MIB
    """When the server itself holds more, it drops its connections and what they hold."""
    exit_when_idle_s: float | None = None
    """End by itself after so long without a client and without a job; None never."""
    parent_pid: int = 0
    """The process that keeps this one running; its number is the engine's. 0: there is none."""
    accident: str = ""
    """How the server before this one ended, where it was not asked to."""


class Server:
    """Everything of one engine; `run()` returns after `stop()` or a signal."""

    def __init__(self, config: ServeConfig) -> None:
        os.umask(0o077)
        self._lock = lock_state(config.state_dir)
        files = _allow_many_connections()
        self._config = config
        log_path = config.state_dir / "logs" / "engine.log"
        start_logging(log_path)
        store = Store(config.state_dir)
        if config.accident:
            store.mended.append(
                f"The server ended ({config.accident}) and was started again; its jobs were kept."
            )
        for text in store.mended:
            LOG.warning(text)
        rules = config.rules
        self._inputs = InputStore(
            config.state_dir, most_bytes_per_owner=rules.max_disk_bytes_per_client
        )
        self.engine = Engine(store, self._inputs, config.catalog, rules, log_path)
        self._context = zmq.Context(io_threads=2)
        self._door = Doorkeeper(
            self._context, {b"clients": self._client_keys, b"worker": self._worker_keys}
        )
        local, inside = _local_addresses(config.state_dir)
        self.hubs = [
            Hub(
                *(self._context, address, self.engine.handle, self._client_keys),
                most_sessions=min(MAX_SESSIONS, files // 8),
                most_strangers=min(MAX_STRANGERS, files // 16),
                remote=address == config.bind,
            )
            for address in (local, config.bind)
            if address
        ]
        self.workers = Supervisor(
            self._context,
            inside,
            log_path.with_name("worker.log"),
            config.plan,
            self.engine.hear_worker,
            self.engine.hear_death,
        )
        self.engine.workers = self.workers
        self.engine.publish = self._publish
        self.engine.client_count = lambda: sum(len(hub.sessions) for hub in self.hubs)
        self.engine.address = self.hubs[0].address
        self.engine.pid = config.parent_pid or os.getpid()
        self._stopping = False
        self._used_s = time.monotonic()
        self._metrics: Any = None
        self._memory = MemoryWatch(config.max_memory_bytes)

    def run(self) -> None:
        """Answer until told to stop."""
        poller = self._poller()
        self._announce()
        if self._config.metrics_port:
            from .metrics import start_metrics

            self._metrics = start_metrics(self.engine, self.hubs, self._config.metrics_port)
        LOG.info("engine %s listens at %s", __version__, self.hubs[0].address)
        next_sweep_s = 0.0
        while not self._stopping:
            ready = dict(poller.poll(1000 * self._memory.look_again_s))
            for listener in (self._door, *self.hubs, self.workers):
                if listener.socket in ready:
                    self._safely(listener.hear)
            self._safely(self._watch_memory)
            if self._reopen_the_flooded():
                poller = self._poller()
            self._safely(self.workers.tick)
            self._safely(self.engine.tick)
            self._safely(self._end_when_idle)
            if time.monotonic() >= next_sweep_s:
                next_sweep_s = time.monotonic() + SWEEP_S
                self._safely(self._sweep)
        self._close()

    def stop(self, *_: Any) -> None:
        self._stopping = True

    def _poller(self) -> zmq.Poller:
        poller = zmq.Poller()
        for socket in (self._door.socket, self.workers.socket, *(h.socket for h in self.hubs)):
            poller.register(socket, zmq.POLLIN)
        return poller

    def _watch_memory(self) -> None:
        """Messages that are never finished fill libzmq's memory, where nothing else sees them."""
        if held := self._memory.too_much():
            for hub in self.hubs:
                hub.drop_all(f"the server holds {held // limits.MIB} MiB")

    def _reopen_the_flooded(self) -> bool:
        """Open anew what has to be; True when there are other sockets to poll."""
        flooded = [hub for hub in self.hubs if hub.is_flooded]
        for hub in flooded:
            hub.shut()
        if flooded:
            self._memory.settle()
        for hub in flooded:
            hub.reopen()
        return bool(flooded)

    def _publish(self, owner: str, event: Any, job_id: str) -> None:
        for hub in self.hubs:
            hub.publish(owner, event, job_id)

    def _sweep(self) -> None:
        for hub in self.hubs:
            hub.forget_silent()
            self._safely(hub.forget_revoked)
        self._safely(self.workers.rotate_log)
        self._safely(self._sweep_inputs)
        if self._metrics is not None:
            self._metrics.refresh()

    def _sweep_inputs(self) -> None:
        self._inputs.forget_stale()
        used = {
            (job.owner, digest)
            for job in self.engine.jobs.values()
            for digest in job.request.inputs
        }
        self._inputs.sweep(used, INPUTS_KEPT_S)

    def _end_when_idle(self) -> None:
        now_s, limit_s = time.monotonic(), self._config.exit_when_idle_s
        if limit_s is None:
            return
        # A client that lives says something each second; one that is gone is forgotten later.
        heard = [s.heard_s for hub in self.hubs for s in hub.sessions.values()]
        if self.engine.jobs:
            self._used_s = now_s
        if now_s - max([self._used_s, *heard]) > limit_s + CLIENT_PAUSE_S:
            LOG.info("nobody has used the engine for %g s", limit_s)
            self.stop()

    def _safely(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception:
            LOG.exception("fault in the server's loop")
            time.sleep(0.01)  # a fault that repeats must not spin

    def _announce(self) -> None:
        """Write engine.json: clients of this machine find the engine by it."""
        info = {
            "address": self.hubs[0].address,
            "server_key": self.hubs[0].server_key,
            "remote": [hub.address for hub in self.hubs[1:]],
            "remote_key": self.hubs[-1].server_key,
            "pid": self.engine.pid,
            "server": os.getpid(),
            "instance": self.engine.instance,
            "protocol": limits.PROTOCOL,
            "engine": __version__,
            "log": str(self.engine.log_path),
        }
        write_whole(self._config.state_dir / INFO_FILE, json.dumps(info, indent=1).encode())

    def _close(self) -> None:
        LOG.info("engine stops; its jobs are kept")
        (self._config.state_dir / INFO_FILE).unlink(missing_ok=True)
        self.workers.close()
        for hub in self.hubs:
            hub.close()
        self._door.close()
        self.engine.artefacts.close()
        self.engine.store.close()
        self._context.destroy(linger=0)
        os.close(self._lock)

    def _client_keys(self) -> set[str]:
        """Who may come in over TCP: trusted clients, and this user on this machine."""
        return {*keys.trusted("client").values(), keys.own_pair("client").public}

    def _worker_keys(self) -> set[str]:
        return {self.workers.worker_key} - {""}


def serve(config: ServeConfig) -> bool:
    """Run an engine in this process until SIGTERM or SIGINT; False when a fault ended it."""
    server = Server(config)
    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, server.stop)
    try:
        server.run()
    except Exception:
        LOG.exception("the server ends by a fault of its own")
        return False
    return True


def _local_addresses(state_dir: Path) -> tuple[str, str]:
    """Where local clients and workers connect."""
    if not HAS_IPC:
        return "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"
    path = socket_path(state_dir)
    for doubt in socket_folder(state_dir)[1]:
        LOG.warning("%s The socket is in %s instead.", doubt.sentence, path.parent)
    private_dir(path.parent)
    return f"ipc://{path}", f"ipc://{path.with_suffix('.workers')}"


def _allow_many_connections() -> int:
    """A connection is a file: the usual soft limit of 1024 would let few clients in. Return how
    many there may be."""
    if sys.platform == "win32":
        return FILES
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
