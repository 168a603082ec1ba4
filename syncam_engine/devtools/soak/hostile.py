# SPDX-License-Identifier: Apache-2.0
"""Messages that are wrong in every way, and peers that behave badly."""

from __future__ import annotations

import importlib.util
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import msgspec
import psutil
import zmq

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request, wait_until
from syncam_engine.link import codec, keys, limits, messages
from syncam_engine.link.client import EngineClient, Lost, Reply
from syncam_engine.link.endpoint import Endpoint, socket_path
from syncam_engine.link.errors import SynCamError
from syncam_engine.service.hub import MAX_STRANGERS

from .findings import Finding
from .floods import Unfinished, connect_all, still_open

_MEMORY_MB = 300
_ODD: tuple[Any, ...] = (
    None,
    -1,
    2**63,
    1e308,
    float("nan"),
    "",
    "../../etc/passwd",
    "x" * 5000,
    b"\0\xff",
    [],
    {},
    [[[[]]]],
    {"a": {"b": {"c": []}}},
    True,
)


def valid_bodies() -> list[msgspec.Struct]:
    """One of each message that a client may say."""
    job_id = messages.new_id()
    return [
        messages.SayHello(client_id=messages.new_id(), client_name="fuzz"),
        messages.Submit(request=sample_request(2, prompt="", job_id=job_id)),
        messages.Cancel(job_id=job_id),
        messages.Pause(job_id=job_id),
        messages.Resume(job_id=job_id),
        messages.Reorder(job_id=job_id, before=""),
        messages.Remove(job_id=job_id),
        messages.YieldDevice(hold_s=0.0),
        messages.AskStatus(),
        messages.AskJobs(limit=3),
        messages.Sync(jobs=[job_id]),
        messages.Upload(digest="a" * 64, size=3),
        messages.Fetch(job_id=job_id, digest="b" * 64),
    ]


_BODIES = valid_bodies()


def mutate(rng: random.Random) -> list[bytes]:
    """Return the frames of a message with structure, bytes, frames or header made wrong.

    What stays valid is harmless: no prompt, so no job is accepted; and nothing holds the device.
    """
    body = rng.choice(_BODIES)
    frames = codec.encode(body, message_id="fuzz", buffers=[b"abc"] if rng.random() < 0.2 else [])
    kind = rng.randrange(6)
    if kind == 0:
        data = msgspec.to_builtins(body)
        _change(data, rng)
        frames[1] = msgspec.msgpack.encode(data)
    elif kind in (1, 2):
        k = rng.randrange(2) if kind == 1 else 1
        frames[k] = _scramble(frames[k], rng)
    elif kind == 3:
        header = {"v": limits.PROTOCOL, "id": "fuzz", "type": rng.choice(list(messages.TO_ENGINE))}
        header[rng.choice(["v", "id", "type", "parent", "job", "new"])] = rng.choice(_ODD[:8])
        frames[0] = msgspec.msgpack.encode(_packable(header))
    elif kind == 4:
        frames = [rng.randbytes(rng.randrange(60)) for _ in range(rng.randrange(1, 9))]
    else:
        rng.shuffle(frames)
        frames = frames[: rng.randrange(1, len(frames) + 1)]
    return frames


def _change(data: Any, rng: random.Random) -> None:
    """Put something odd in one place of a tree of plain data."""
    while isinstance(data, (dict, list)) and data:
        key = rng.choice(list(data) if isinstance(data, dict) else range(len(data)))
        if rng.random() < 0.4 or not isinstance(data[key], (dict, list)):
            data[key] = _packable(rng.choice(_ODD))
            return
        data = data[key]


def _packable(value: Any) -> Any:
    """MessagePack has no integer beyond 64 bits."""
    if isinstance(value, dict):
        return {key: _packable(item) for key, item in value.items()}
    return 2**63 if isinstance(value, int) and value > 2**64 - 1 else value


def _scramble(data: bytes, rng: random.Random) -> bytes:
    """Flip, drop, repeat or insert bytes."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + rng.randrange(1, 9)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 30)]
            case _:
                out[at:at] = rng.randbytes(rng.randrange(1, 5))
    return bytes(out)


def soak_decoder(count: int, seed: int) -> Finding:
    """Mutated messages against the decoder alone: it reads them or raises its one error."""
    finding = Finding("decoder", "1,000,000 mutated messages", f"{count:,} mutated messages")
    rng = random.Random(seed)
    slowest_s, read, before_kb = 0.0, 0, _resident_kb(os.getpid())
    start_s = time.monotonic()
    for _ in range(count):
        frames = mutate(rng)
        one_s = time.perf_counter()
        try:
            codec.decode(frames, messages.TO_ENGINE)
            read += 1
        except SynCamError:
            pass
        except Exception as error:  # noqa: BLE001  (what is looked for)
            finding.fault(f"{type(error).__name__}: {error} from {frames!r}"[:500])
        slowest_s = max(slowest_s, time.perf_counter() - one_s)
    finding.figures = {
        "still valid": read,
        "slowest (s)": slowest_s,
        "memory grown (KiB)": _resident_kb(os.getpid()) - before_kb,
        "seconds": time.monotonic() - start_s,
    }
    if slowest_s > 1.0:
        finding.fault(f"one message took {slowest_s:.1f} s")
    return finding


def soak_atheris(count: int) -> Finding | None:
    """Coverage-guided bytes against the decoder, where atheris is installed."""
    if importlib.util.find_spec("atheris") is None:
        return None
    finding = Finding("decoder, atheris", "bytes, coverage-guided", f"{count:,} inputs")
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        for k, body in enumerate(_BODIES):
            with open(os.path.join(corpus, str(k)), "wb") as file:
                frames = codec.encode(body)
                file.write(bytes([len(frames[0])]) + frames[0] + frames[1])
        said = subprocess.run(
            [
                *(sys.executable, "-m", "syncam_engine.devtools.soak.fuzz"),
                *(f"-runs={count}", "-max_len=4096", "-timeout=2", corpus),
            ],
            capture_output=True,
            text=True,
        )
    if said.returncode:
        finding.fault(said.stderr[-800:])
    finding.figures = {"exit status": said.returncode, "seconds": time.monotonic() - start_s}
    return finding


def soak_hostile(count: int, seed: int, silent: int, pipeline: str) -> Finding:
    """A live engine under mutated messages, replays, strangers, and peers that say nothing."""
    finding = Finding(
        "hostile peers",
        "50,000 mutated messages to a live server, 500 silent connections, wrong keys, plain TCP "
        "garbage, a client that never reads, replays; 10,000 connections without a key, and raw "
        "local clients whose messages never end, who come again 20 times when cut off",
        f"{count:,} mutated messages, {silent} silent connections, {20 * silent:,} without a key, "
        f"{max(2, silent // 25)} times cut off, the others as stated",
    )
    folder = tempfile.mkdtemp(prefix="syncam-")
    os.environ["SYNCAM_CONFIG_DIR"] = f"{folder}/config"
    options = ("--bind", "tcp://127.0.0.1:*", "--max-memory-mb", str(_MEMORY_MB))
    engine = LocalEngine(*options, pipeline=pipeline)
    engine.environment["SYNCAM_CONFIG_DIR"] = f"{folder}/config"
    try:
        engine.start()
        honest = engine.client()
        _one_job(finding, honest, "before")
        path, first = str(socket_path(engine.state_dir)), engine.server_pid()
        quiet = _silent(path, silent)
        base_kb = _resident_kb(engine.server_pid())
        pauses = _bombard(engine, honest, path, random.Random(seed), count)
        _one_job(finding, honest, "after the mutated messages")
        grown_kb = _resident_kb(engine.server_pid()) - base_kb
        _knock(finding, engine, folder)
        _one_job(finding, honest, "after the strangers")
        deaf_kb = _deaf(engine, honest, path)
        held, files = _flood(finding, engine, honest, 20 * silent)
        _one_job(finding, honest, "after the flood")
        peak_kb = _unfinished(engine, path, max(2, silent // 25))
        _one_job(finding, honest, "after the messages without end")
        for raw in quiet:
            raw.close()
        wait_until(lambda: True, 1)
        finding.figures = {
            "longest wait for a status meanwhile (s)": max(pauses),
            "server's memory grown by the messages (KiB)": grown_kb,
            "server's memory grown by a client that never reads (KiB)": deaf_kb,
            "connections held without a key, of those tried": held,
            "server's open files then": files,
            "server's largest memory by messages without end (KiB)": peak_kb,
        }
        if held > MAX_STRANGERS:
            finding.fault(f"{held} connections without a key are held")
        if peak_kb > 3 * _MEMORY_MB * 1024:
            finding.fault(f"messages without end held {peak_kb} KiB of the server's memory")
        if engine.server_pid() != first:
            finding.fault("the server ended by accident")
        if max(pauses) > 1.0:
            finding.fault(f"a status took {max(pauses):.1f} s")
        if grown_kb > 100 * 1024 or deaf_kb > 200 * 1024:
            finding.fault("the server's memory grew")
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        engine.close()
    return finding


def _bombard(
    engine: LocalEngine, honest: EngineClient, path: str, rng: random.Random, count: int
) -> list[float]:
    """Send mutated messages and replays; return how long an honest client waited for answers."""
    context = zmq.Context()
    attacker = context.socket(zmq.DEALER)
    attacker.linger = 0
    attacker.connect(f"ipc://{path}")
    hello = codec.encode(messages.SayHello(client_id=messages.new_id()))
    pauses = []
    for k in range(count):
        attacker.send_multipart(mutate(rng))
        if k % 97 == 0:
            attacker.send_multipart(hello)  # the very same one, again and again
        while attacker.poll(0):
            attacker.recv_multipart()
        if k % 500 == 0:
            start_s = time.monotonic()
            _reply(honest, honest.ask_status())
            pauses.append(time.monotonic() - start_s)
    # A message that stayed valid may have asked to hold the device.
    _reply(honest, honest.yield_device(0.0))
    context.destroy(linger=0)
    return pauses


def _silent(path: str, count: int) -> list[socket.socket]:
    connections = []
    for _ in range(count):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(path)
        connections.append(raw)
    return connections


def _knock(finding: Finding, engine: LocalEngine, folder: str) -> None:
    """Wrong keys and plain garbage at the TCP port."""
    info = engine.info()
    address, server_key = info["remote"][0], info["remote_key"]
    config = os.environ["SYNCAM_CONFIG_DIR"]
    os.environ["SYNCAM_CONFIG_DIR"] = f"{folder}/stranger"
    keys.own_pair("client")
    stranger = EngineClient(Endpoint(address=address, server_key=server_key))
    os.environ["SYNCAM_CONFIG_DIR"] = config
    seen: list[Any] = []
    wait_until(lambda: seen.extend(stranger.wait(0.1)) or seen, 20, "the stranger heard nothing")
    if not isinstance(seen[0], Lost) or stranger.state != "refused":
        finding.fault(f"a stranger was let in: {seen}")
    stranger.close()
    host, port = address.removeprefix("tcp://").split(":")
    for k in range(100):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(random.Random(k).randbytes(3000))


def _flood(
    finding: Finding, engine: LocalEngine, honest: EngineClient, count: int
) -> tuple[int, int]:
    """Connect to the TCP port without a key, as often as there may be files; return how many of
    these connections stay, and how many files the server has open."""
    host, port = engine.info()["remote"][0].removeprefix("tcp://").split(":")
    made = connect_all(host, int(port), count)
    _reply(honest, honest.ask_status())
    for _ in range(20):  # local clients come meanwhile
        late = EngineClient(state_dir=engine.state_dir)
        _reply(late, late.ask_status())
        late.close()
    if len(made) < count:
        finding.figures["connections that could not be made"] = count - len(made)
    held, files = still_open(made), psutil.Process(engine.server_pid()).num_fds()
    for one in made:
        one.close()
    return held, files


def _unfinished(engine: LocalEngine, path: str, times: int) -> int:
    """Raw clients send without end until everybody was cut off so often; return the most memory
    that the server held."""
    log, peak_kb = engine.state_dir / "logs" / "engine.log", 0

    def look() -> bool:
        nonlocal peak_kb
        peak_kb = max(peak_kb, _resident_kb(engine.server_pid()))
        return log.read_text("utf-8").count("every client is cut off") >= times

    with Unfinished(path, 4):
        wait_until(look, 60 + 10 * times, "messages without end were never cut off")
    return peak_kb


def _deaf(engine: LocalEngine, honest: EngineClient, path: str) -> int:
    """A client asks for a clip again and again and never reads; return the memory it costs."""
    request = sample_request(2)
    honest.submit(request)
    done = follow(honest, [request.job_id])[0][request.job_id]
    context = zmq.Context()
    deaf = context.socket(zmq.DEALER)
    deaf.linger, deaf.rcvhwm = 0, 1
    deaf.connect(f"ipc://{path}")
    deaf.send_multipart(codec.encode(messages.SayHello(client_id=honest.client_id)))
    before_kb = _resident_kb(engine.server_pid())
    call = messages.Fetch(job_id=request.job_id, digest=done.clips[0].digest)
    for _ in range(20_000):
        deaf.send_multipart(codec.encode(call))
    _reply(honest, honest.ask_status())
    grown_kb = _resident_kb(engine.server_pid()) - before_kb
    context.destroy(linger=0)
    return grown_kb


def _one_job(finding: Finding, client: EngineClient, when: str) -> None:
    request = sample_request(2)
    client.submit(request)
    end = follow(client, [request.job_id], 60)[0][request.job_id]
    if not isinstance(end, messages.Done):
        finding.fault(f"an honest job {when} ended with {end.error.sentence}")


def _reply(client: EngineClient, message_id: str) -> None:
    def look() -> bool:
        return any(isinstance(e, Reply) and e.message_id == message_id for e in client.wait(0.1))

    wait_until(look, 30, "no answer to an honest client")


def _resident_kb(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0
