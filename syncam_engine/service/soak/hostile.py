# SPDX-License-Identifier: Apache-2.0
"""Messages that are wrong in every way, and peers that behave badly."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from syncam_engine.link import codec, limits, messages
from syncam_engine.service.harness import sample_request

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
