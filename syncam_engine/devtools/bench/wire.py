# SPDX-License-Identifier: Apache-2.0
"""Results through the engine's socket against the same bytes through a bare pyzmq pair.

Four clips of 81 frames of 832x480, raw: 388 MB in one artefact that lies in a real engine's store,
its digest computed beforehand. Both sides are two processes on the same transport with the same
CURVE, in the same run, taken in turns; the best of each side's rounds counts. The bare pair is as
pyzmq makes it; the engine asks the kernel for a larger buffer on ipc (`service.hub`). `wire` is the
protocol alone (the client drops what it checked in order); `file` is the client as hosts use it,
which also digests and writes. Meanwhile another client asks for `status` again and again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from syncam_engine.devtools.harness import LocalEngine, sample_request, wait_until
from syncam_engine.link import keys, limits
from syncam_engine.link.client import EngineClient
from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.endpoint import Endpoint
from syncam_engine.link.events import Fetched, Reply
from syncam_engine.link.messages import Chunk, ClipResult, Done, new_id
from syncam_engine.link.transfer import Incoming
from syncam_engine.service.jobs import Job, Ticket, fingerprint_of
from syncam_engine.service.store import Store

FULL_BYTES = 4 * 81 * 480 * 832 * 3


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=0, help="less than the full 388 MB")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many is told (3)")


def run(args: argparse.Namespace) -> int:
    size = args.megabytes * 1_000_000 or FULL_BYTES
    figures = measure(size, args.rounds)
    if args.json:
        print(json.dumps(figures, indent=1))
        return 0
    for transport, row in figures["transports"].items():
        print(
            f"{transport}: bare {row['bare_gb_s']:.2f} GB/s, engine {row['wire_gb_s']:.2f} GB/s "
            f"({row['wire_ratio']:.2f}x), into a checked file {row['file_gb_s']:.2f} GB/s "
            f"({row['file_ratio']:.2f}x), status meanwhile p99 {row['status_p99_ms']:.1f} ms"
        )
    return 0


def measure(size: int, rounds: int) -> dict[str, Any]:
    """Return the figures of both transports."""
    with tempfile.TemporaryDirectory(prefix="syncam-") as name:
        folder = Path(name)
        os.environ["SYNCAM_CONFIG_DIR"] = str(folder / "config")
        owner = new_id()
        public = keys.own_pair("client").public
        jobs = {
            "ipc": _put_artefact(folder / "state", f"local:{owner}", size),
            "tcp+curve": _put_artefact(folder / "state", f"key:{public}", size),
        }
        engine = LocalEngine("--lazy", "--bind", "tcp://127.0.0.1:*", folder=folder)
        with engine:
            info = engine.info()
            endpoints = {
                "ipc": Endpoint(address=info["address"]),
                "tcp+curve": Endpoint(address=info["remote"][0], server_key=info["remote_key"]),
            }
            rows = {
                transport: _compare(endpoints[transport], owner, jobs[transport], size, rounds)
                for transport in endpoints
            }
    return {"bytes": size, "rounds": rounds, "cores": os.cpu_count(), "transports": rows}


def _compare(
    endpoint: Endpoint, owner: str, done: Done, size: int, rounds: int
) -> dict[str, float]:
    bare, wire, whole = [], [], []
    asker = _Asker(endpoint)
    small, large = limits.CHUNK_BYTES, limits.FETCH_CHUNK_BYTES
    for _ in range(rounds):
        # ZeroMQ's own limit of queued messages, and the engine's credit in messages of either size:
        # the best one counts.
        for most, chunk in (
            (1000, small),
            *((limits.CREDIT_BYTES // c, c) for c in (small, large)),
        ):
            bare.append(_bare_s(size, most, chunk, curve=bool(endpoint.server_key)))
            wire.append(_fetch_s(endpoint, owner, done, to_file=False))
            whole.append(_fetch_s(endpoint, owner, done, to_file=True))
    latencies = sorted(asker.stop())
    best = {"bare": min(bare), "wire": min(wire), "file": min(whole)}
    return {
        **{f"{name}_gb_s": size / 1e9 / seconds for name, seconds in best.items()},
        "wire_ratio": best["bare"] / best["wire"],
        "file_ratio": best["bare"] / best["file"],
        "status_p99_ms": 1e3 * latencies[int(len(latencies) * 0.99)] if latencies else 0.0,
        "status_asked": len(latencies),
    }


def _put_artefact(state_dir: Path, owner: str, size: int) -> Done:
    """A finished job with one raw artefact, as if a worker had made it."""
    store = Store(state_dir)
    request = sample_request(4)
    job = Job.of(
        Ticket(
            owner=owner,
            client_name="bench",
            request=request,
            fingerprint=fingerprint_of(request),
            place=store.last_place() + 1,
            submitted_unix_s=time.time(),
            warnings=[],
        )
    )
    store.add(job)
    folder = store.job_dir(job.id) / "result"
    folder.mkdir()
    path, sha = folder / clip_name(0, "all"), hashlib.sha256()
    block = os.urandom(limits.CHUNK_BYTES)
    with open(path, "wb") as file:
        for start in range(0, size, len(block)):
            piece = block[: size - start]
            file.write(piece)
            sha.update(piece)
    clip = ClipResult(camera="all", index=0, digest=sha.hexdigest(), bytes=size, kind="raw")
    text = msgspec.json.encode(Done(job_id=job.id, clips=[clip]))
    (folder / "result.json").write_bytes(text)
    done = store.complete(job)
    store.close()
    return done


class _Sink(Incoming):
    """Takes chunks in order and drops them."""

    def take(self, chunk: Chunk, data: bytes | memoryview) -> None:
        if chunk.offset == self.arrived:
            self.arrived += len(data)
            self._moved()

    @property
    def written(self) -> int:
        return self.arrived

    def finish(self) -> Path | None:
        return self.target if self.complete else None


def _fetch_s(endpoint: Endpoint, owner: str, done: Done, *, to_file: bool) -> float:
    client = EngineClient(endpoint, client_id=owner)
    try:
        wait_until(lambda: client.wait(0.05) and client.hello, 30, "no hello")
        # Memory, where the system has some: the disk is not what is measured.
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.TemporaryDirectory(dir=folder) as name:
            start_s = time.perf_counter()
            target = Path(name) / "clips.raw"
            if to_file:
                client.fetch(done.job_id, done.clips[0], target)
            else:
                sink = _Sink(done.job_id, done.clips[0], target)
                client._files._fetches[sink.message_id] = sink
            while True:
                for event in client.wait(5.0):
                    if isinstance(event, Fetched):
                        return time.perf_counter() - start_s
                    if isinstance(event, Reply):
                        raise RuntimeError(event.body)
    finally:
        client.close()


class _Asker:
    """Another client, in a process of its own, that asks for `status` all the time."""

    def __init__(self, endpoint: Endpoint) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._mine, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_ask_on, args=(endpoint.address, endpoint.server_key, theirs), daemon=True
        )
        self._process.start()
        self._mine.recv_bytes()

    def stop(self) -> list[float]:
        self._mine.send_bytes(b"stop")
        latencies = json.loads(self._mine.recv_bytes())
        self._process.join()
        return latencies


def _ask_on(address: str, server_key: str, pipe: Any) -> None:
    client = EngineClient(Endpoint(address=address, server_key=server_key))
    latencies: list[float] = []
    ready = False
    while not pipe.poll(0.05):
        start_s = time.perf_counter()
        wanted = client.ask_status()
        seen: list[Any] = []
        while not any(isinstance(e, Reply) and e.message_id == wanted for e in seen):
            seen = client.wait(1.0)
        latencies.append(time.perf_counter() - start_s)
        if not ready:
            ready = True
            latencies.clear()
            pipe.send_bytes(b"ready")
    pipe.send_bytes(json.dumps(latencies).encode())
    client.close()


def _bare_s(size: int, most: int, chunk: int, *, curve: bool) -> float:
    """Seconds for the bytes through a bare PUSH and PULL between two processes, in messages of
    `chunk` bytes of which `most` may wait on either side."""
    context = zmq.Context()
    pull = context.socket(zmq.PULL)
    pull.linger, pull.rcvhwm = 0, most
    folder = tempfile.mkdtemp(prefix="syncam-")
    server, client = zmq.curve_keypair(), zmq.curve_keypair()
    if curve:
        pull.curve_server = 1
        pull.curve_secretkey = server[1]
        pull.bind("tcp://127.0.0.1:*")
    else:
        pull.bind(f"ipc://{folder}/bare.sock")
    address = pull.last_endpoint.decode().rstrip("\0")
    spawn = multiprocessing.get_context("spawn")
    texts = [key.decode() for key in (server[0], *client)] if curve else []
    process = spawn.Process(
        target=_send_bare, args=(address, texts, size, most, chunk), daemon=True
    )
    process.start()
    try:
        pull.recv()  # the other side is up
        start_s = time.perf_counter()
        got = 0
        while got < size:
            got += len(pull.recv(copy=False).buffer)
        seconds = time.perf_counter() - start_s
        process.join()
        return seconds
    finally:
        context.destroy(linger=0)
        Path(folder, "bare.sock").unlink(missing_ok=True)
        os.rmdir(folder)


def _send_bare(address: str, texts: list[str], size: int, most: int, chunk: int) -> None:
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.sndhwm = most
    if texts:
        push.curve_serverkey, push.curve_publickey, push.curve_secretkey = (
            text.encode() for text in texts
        )
    push.connect(address)
    # As many bytes as the artefact has, all of them in memory, none of them twice.
    data = memoryview(os.urandom(limits.CHUNK_BYTES) * (size // limits.CHUNK_BYTES + 1))[:size]
    push.send(b"up")
    for start in range(0, size, chunk):
        push.send(data[start : start + chunk], copy=False)
    push.close(linger=-1)
    context.term()
