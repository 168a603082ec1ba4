# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a remote engine that tells lies, in a process of its own.

`python -m syncam_engine.devtools.soak.evil_engine` prints its address and key as JSON. It lets
everybody in, accepts every job, and tells the lie that the prompt names (`soak.evil_lies`).

Shape legend: T pictures, H, W rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from syncam_engine.link import codec, limits, messages
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import TO_ENGINE, new_id
from syncam_engine.media.write import write_mp4
from syncam_engine.model.presets import get_preset

from .evil_lies import LIES, Lie


class EvilEngine:
    """One socket and the jobs that it was given. `serve()` does not return."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self.public_key, secret = zmq.curve_keypair()
        self._socket.curve_server = 1
        self._socket.curve_secretkey, self._socket.linger = secret, 0
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self._instance = new_id()
        self._jobs: dict[str, _Job] = {}

    def serve(self) -> None:
        while True:
            peer, *frames = self._socket.recv_multipart()
            try:
                message = codec.decode(frames, TO_ENGINE)
            except SynCamError:
                continue
            self._answer(peer, message.header, message.body)

    def _answer(self, peer: bytes, header: Any, body: Any) -> None:
        def reply(kind: str, said: Any, buffers: list[bytes] | None = None) -> None:
            self._say(peer, kind, said, buffers or [], parent=header.id, job=header.job)

        if isinstance(body, messages.SayHello):
            reply("hello", self._hello())
        elif isinstance(body, messages.Submit):
            job = self._jobs.setdefault(body.request.job_id, _Job(body.request))
            reply("queued", {"job_id": job.id})
            self._tell(peer, job)
        elif isinstance(body, messages.Sync):
            reply("sync", self._synced(body.jobs))
        elif isinstance(body, messages.Upload):
            whole = {"digest": body.digest, "received": body.size, "complete": True}
            reply("upload", whole)
        elif isinstance(body, messages.Fetch):
            self._fetch(peer, header, body)
        elif isinstance(body, messages.AskStatus):
            # The answer of another call.
            reply("jobs", {"jobs": [], "total": -3})
        elif isinstance(body, messages.AskJobs):
            reply("status", {"engine": 5})
        else:
            reply("ok", {})

    def _tell(self, peer: bytes, job: _Job) -> None:
        """All that happens to a job: it is over at once."""
        for kind, body, buffers in job.lie.before(job.request):
            self._say(peer, kind, body, buffers, job=job.id)
        if job.lie.parts:
            part = bytes(2 * limits.MIB)
            self._socket.send_multipart([peer, *[part] * job.lie.parts])
        for step in range(1, 4):
            body = {"job_id": job.id, "step": step, "steps": 3, "eta_s": 1.0}
            self._say(peer, "progress", body, [], job=job.id)
        for done in job.said:
            self._say(peer, "done", done, [], job=job.id)

    def _fetch(self, peer: bytes, header: Any, body: messages.Fetch) -> None:
        job = self._jobs.get(body.job_id)
        data = next((d for d in job.files if _sha(d) == body.digest), None) if job else None
        if data is None:
            error = {"code": "fetch.unknown", "sentence": "It was never there."}
            self._say(peer, "error", error, [], parent=header.id, job=header.job)
            return
        end = min(len(data), body.offset + body.length)
        chunks = [
            (
                {"digest": body.digest, "offset": at, "size": len(data)},
                data[at : min(at + limits.CHUNK_BYTES, end)],
            )
            for at in range(body.offset, end, limits.CHUNK_BYTES)
        ]
        for chunk, piece in job.lie.chunks(chunks):
            self._say(peer, "fetch", chunk, [piece], parent=header.id, job=header.job)

    def _synced(self, ids: list[str]) -> Any:
        """The jobs as they ended; unknown ones are told as known, and doubled."""
        jobs = [self._jobs[job_id] for job_id in ids if job_id in self._jobs]
        told = [
            {"job_id": job.id, "state": "done", "done": done}
            for job in jobs
            for done in job.said
            if isinstance(done, dict)
        ]
        return {"instance": self._instance, "worker": "ready", "jobs": told * 2}

    def _hello(self) -> Any:
        preset = get_preset("preview")
        honest = {
            "name": "preview",
            "default": True,
            "envelope": preset.envelope.to_dict(),
            "defaults": preset.request_defaults(),
        }
        odd = [
            {"name": "", "envelope": {}},
            {"name": "a" * 5000, "envelope": honest["envelope"]},
            {"name": "half", "envelope": {"sizes": []}},
            {"name": "none", "envelope": {**honest["envelope"], "sizes": [], "frames": []}},
            {"name": "text", "envelope": {key: "x" for key in honest["envelope"]}},
            {"name": "numbers", "defaults": {"steps": "many", "width": -1, "fps": [0, 0]}},
        ]
        many = [{"name": f"preset {k}"} for k in range(500)]
        return {
            "engine": "evil",
            "protocol": limits.PROTOCOL,
            "instance": self._instance,
            "presets": [honest, *odd, *many],
            "worker": "ready",
            "log_path": "/etc/hostname",
            "local": True,
        }

    def _say(
        self, peer: bytes, kind: str, body: Any, buffers: list, parent: str = "", job: str = ""
    ) -> None:
        head = {"v": limits.PROTOCOL, "id": new_id(), "type": kind, "parent": parent, "job": job}
        frames = [msgspec.msgpack.encode(head), msgspec.msgpack.encode(body), *buffers]
        self._socket.send_multipart([peer, *frames])


class _Job:
    """What was asked for, the lie about it, and the files that are sent as its clips."""

    def __init__(self, request: messages.GenerateRequest) -> None:
        self.id = request.job_id
        self.request = msgspec.to_builtins(request)
        self.lie: Lie = LIES.get(request.prompt, LIES["nothing"])
        width, height = request.width or 160, request.height or 96
        frames, fps = request.frames or 17, tuple(request.fps or (15, 1))
        cameras = [camera["name"] for camera in request.rig["cameras"]]
        self.files = [
            self.lie.file(honest_clip(index, width, height, frames, fps))
            for index in range(len(cameras))
        ]
        clips = [
            {
                "camera": name,
                "index": index,
                "digest": _sha(self.files[index]),
                "bytes": len(self.files[index]),
                "frames": frames,
                "fps": fps,
                "width": width,
                "height": height,
            }
            for index, name in enumerate(cameras)
        ]
        done = self.lie.done({"job_id": self.id, "clips": clips, "seconds": {"total": 1.0}})
        is_several = isinstance(done, list) and isinstance(done[0], dict)
        self.said: list[Any] = done if is_several else [done]


def honest_clip(index: int, width: int, height: int, frames: int, fps: tuple[int, int]) -> bytes:
    """A clip as an engine would make it, another one for each camera."""
    pictures_THW3 = np.full((frames, height, width, 3), 40 + 60 * (index % 4), np.uint8)
    pictures_THW3[:, : height // 3] = 200
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, pictures_THW3, Fraction(*fps))
        return path.read_bytes()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    engine = EvilEngine()
    said = {"address": engine.address, "key": engine.public_key.decode("ascii")}
    print(json.dumps(said), flush=True)
    engine.serve()


if __name__ == "__main__":
    main()
