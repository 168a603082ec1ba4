# SPDX-License-Identifier: Apache-2.0
"""What the server and a worker process say to each other; never seen by a client.

One message is `[MessagePack of a tagged struct]`, and for `Pixels` the pixels as a second frame.
"""

from __future__ import annotations

from typing import Any

import msgspec

from syncam_engine.link.messages import Done, ErrorInfo, GenerateRequest


class _Tagged(msgspec.Struct, kw_only=True, tag=True):
    pass


# ---- server -> worker ----


class Run(_Tagged):
    job_id: str
    attempt: int
    request: GenerateRequest
    folder: str
    """The job's folder; the result is renamed into place below it."""
    inputs: list[str]
    """Paths of the inputs, in the request's order."""
    checkpoint_steps: int = 0
    """Keep the latents after so many steps; 0 never."""


class Stop(_Tagged):
    job_id: str


class Leave(_Tagged):
    """End the process, and so free all that it holds of the device."""


# ---- worker -> server ----


class Up(_Tagged):
    pid: int


class Loaded(_Tagged):
    preset: str
    device: str
    weights_digest: str
    seconds: float


class LoadFailed(_Tagged):
    preset: str
    error: ErrorInfo


class Beat(_Tagged):
    moves: int
    """Counts what the main thread did: a worker that beats but does not move hangs as well."""
    memory_mb: float
    memory_free_mb: float = 0.0


class AtPhase(_Tagged):
    job_id: str
    attempt: int
    phase: str


class AtStep(_Tagged):
    job_id: str
    attempt: int
    phase: str
    step: int
    steps: int


class Pixels(_Tagged):
    job_id: str
    attempt: int
    index: int
    step: int
    width: int
    height: int


class Noted(_Tagged):
    """Something about a job for the engine's log."""

    job_id: str
    attempt: int
    text: str


class Finished(_Tagged):
    job_id: str
    attempt: int
    done: Done


class Broke(_Tagged):
    """The attempt ended without a result; the worker goes on."""

    job_id: str
    attempt: int
    error: ErrorInfo
    details: str = ""
    """A traceback, for the log."""


ToWorker = Run | Stop | Leave
ToServer = Up | Loaded | LoadFailed | Beat | AtPhase | AtStep | Pixels | Noted | Finished | Broke
_ENCODER = msgspec.msgpack.Encoder()
_TO_WORKER = msgspec.msgpack.Decoder(ToWorker)
_TO_SERVER = msgspec.msgpack.Decoder(ToServer)


def pack(message: Any) -> bytes:
    return _ENCODER.encode(message)


def read_to_worker(data: bytes) -> ToWorker:
    return _TO_WORKER.decode(data)


def read_to_server(data: bytes) -> ToServer:
    return _TO_SERVER.decode(data)
