# SPDX-License-Identifier: Apache-2.0
"""The wire: what a host and the engine say to each other.

A message is a ZeroMQ multipart message. Seen from a client (DEALER):

    frame 0   header    MessagePack map: v, id, type, parent, job
    frame 1   body      MessagePack map: the fields of the struct for `type`
    frame 2.. buffers   raw bytes: a chunk of a file, or the pixels of a preview (at most 4)

The engine (ROUTER) sees the client's routing id in front of them. `v` is the protocol's version,
`id` the message's own id, `parent` the id of the message that it answers ("" for an event), `job`
the job that it is about ("" for none).

    client -> engine                 engine -> client
    hello    SayHello                hello    Hello
    submit   Submit                  queued   Queued        | error
    cancel   Cancel                  ok       Acknowledged  | error
    pause    Pause                   ok       Acknowledged  | error
    resume   Resume                  ok       Acknowledged  | error
    reorder  Reorder                 ok       Acknowledged  | error
    remove   Remove                  ok       Acknowledged  | error
    yield    YieldDevice             ok       Acknowledged
    status   AskStatus               status   EngineStatus
    jobs     AskJobs                 jobs     JobList
    sync     Sync                    sync     Synced
    upload   Upload + 1 buffer       upload   UploadState   | error
    fetch    Fetch                   fetch    Chunk + 1 buffer, several | error
                                     phase, progress, preview + 1 buffer, done, failed: events

Unknown fields are ignored, an unknown type is answered with `error`. Every verb may be sent twice
with the same effect as once. `Hello`, `EngineStatus`: `link.engine_facts`; limits: `link.limits`;
frames to structs and back: `link.codec`; all of it in words: docs/protocol.md.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from . import limits
from .engine_facts import EngineStatus, Hello
from .errors import SynCamError

Id = Annotated[str, Meta(pattern=limits.ID_PATTERN)]
Digest = Annotated[str, Meta(pattern=limits.DIGEST_PATTERN)]
Name = Annotated[str, Meta(max_length=limits.MAX_NAME_CHARS)]
Text = Annotated[str, Meta(max_length=limits.MAX_PROMPT_CHARS)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Mode = Literal["text", "previz", "reference"]
JobState = Literal["queued", "paused", "running", "done", "failed", "cancelled"]


def new_id() -> str:
    """Return a fresh id for a job, a client or a message."""
    return uuid.uuid4().hex


class Header(Struct, omit_defaults=True):
    v: int
    id: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)]
    type: Annotated[str, Meta(max_length=32)]
    parent: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)] = ""
    job: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)] = ""


# ---- what a job is -------------------------------------------------------------------------------


class GenerateRequest(Struct, kw_only=True):
    """One job: a rig, a prompt, and how to sample. With the preset's weights it is the whole recipe
    of the clips, and it is written into each clip's metadata."""

    job_id: Id = msgspec.field(default_factory=new_id)
    rig: dict[str, Any]
    """The rig as `link.rig_json` writes it; a moving camera has one pose for each picture."""
    prompt: Text
    negative_prompt: Text = ""
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    variation: Count = 0
    """Another draw for the same seed; 0 is the seed itself."""
    steps: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    """None, here, in the next five and for `previz_strength`: the preset's own; the engine fills
    them in on acceptance."""
    guidance_scale: float | None = None
    width: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    height: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    frames: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    """Pictures in each clip (T)."""
    fps: (
        tuple[Annotated[int, Meta(ge=1, le=2**31)], Annotated[int, Meta(ge=1, le=2**31)]] | None
    ) = None
    """Pictures a second, as numerator and denominator."""
    scene_frames: Annotated[list[float], Meta(max_length=limits.MAX_FRAMES)] = msgspec.field(
        default_factory=list
    )
    """The scene's frame that each picture shows, where the host has frames."""
    mode: Mode = "text"
    preset: Name = "preview"
    previz_strength: float | None = None
    """previz: the noise its clips start with; 1 is noise alone, near 0 they stay as they are."""
    fit_rule: Literal["crop", "letterbox"] = "crop"
    inputs: Annotated[list[Digest], Meta(max_length=limits.MAX_INPUTS)] = msgspec.field(
        default_factory=list
    )
    """previz: one clip a camera, in the rig's order; reference: one clip. SHA-256 of each."""
    outputs: Annotated[list[Literal["mp4", "png"]], Meta(max_length=2)] = msgspec.field(
        default_factory=lambda: ["mp4"]
    )
    priority: Annotated[int, Meta(ge=-10, le=10)] = 0
    """Higher runs earlier; clients take turns inside one priority."""


class ErrorInfo(Struct, kw_only=True):
    """`SynCamError` on the wire."""

    code: str
    sentence: str
    value: Any = None
    nearest: Any = None
    fix: str | None = None

    def to_error(self) -> SynCamError:
        return SynCamError(
            self.code, self.sentence, value=self.value, nearest=self.nearest, fix=self.fix
        )


class Notice(Struct, kw_only=True):
    """Something outside what the preset was trained on: allowed, and said."""

    code: str
    sentence: str
    camera: str = ""
    value: Any = None
    nearest: Any = None
    fix: str | None = None


class ClipResult(Struct, kw_only=True):
    """One camera's clip."""

    camera: str
    index: int
    """Place in the rig's order."""
    digest: str = ""
    """SHA-256 of the file; it names the artefact in `fetch`. No path travels: what the file is
    called below the engine's state folder follows from the camera (`link.clip_names`)."""
    bytes: int = 0
    frames: int = 0
    fps: tuple[int, int] = (0, 1)
    width: int = 0
    height: int = 0
    plate_crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """u0, v0, u1, v1 (origin top left) of the clip that belong on the camera's plate."""
    kind: str = "video/mp4"


# ---- client -> engine ----------------------------------------------------------------------------


class SayHello(Struct, kw_only=True):
    client_id: Id
    client_name: Name = ""
    """For people: "Blender 5.0 on anna-ws". """
    version: Name = ""


class Submit(Struct, kw_only=True):
    request: GenerateRequest


class Cancel(Struct, kw_only=True):
    job_id: Id


class Pause(Struct, kw_only=True):
    """Pause one waiting job of one's own."""

    job_id: Id


class Resume(Struct, kw_only=True):
    job_id: Id


class Reorder(Struct, kw_only=True):
    """Move one's own waiting job before another of one's own; "" is the end."""

    job_id: Id
    before: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)] = ""


class Remove(Struct, kw_only=True):
    """Delete a job of one's own that has ended, with its clips."""

    job_id: Id


class YieldDevice(Struct, kw_only=True):
    """Ask the engine to free the device's memory as soon as no job runs (a render starts), and to
    start no job for `hold_s` seconds or until another `yield` with 0."""

    hold_s: Annotated[float, Meta(ge=0, le=86400)] = 0.0


class AskStatus(Struct, kw_only=True):
    pass


class AskJobs(Struct, kw_only=True):
    """Ask for the newest jobs; for a page of older ones, and for those with an id."""

    mine: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)] = ""
    """A job of one's own: only those that are older."""
    begins: Annotated[str, Meta(max_length=limits.MAX_ID_CHARS)] = ""
    """Only those whose id begins so."""


class Sync(Struct, kw_only=True):
    """Say that the client lives, and ask for the state of the jobs that it waits for."""

    jobs: Annotated[list[Id], Meta(max_length=limits.MAX_SYNC_JOBS)] = msgspec.field(
        default_factory=list
    )


class Upload(Struct, kw_only=True):
    """One chunk of an input, in order; the buffer holds the bytes from `offset`."""

    digest: Digest
    size: Annotated[int, Meta(ge=1, le=limits.MAX_UPLOAD_BYTES)]
    offset: Count = 0


class Fetch(Struct, kw_only=True):
    """Ask for a part of an artefact of a job; what a client has asked for is its credit."""

    job_id: Id
    digest: Digest
    offset: Count = 0
    length: Annotated[int, Meta(ge=1, le=limits.FETCH_BYTES)] = limits.FETCH_BYTES


# ---- engine -> client ----------------------------------------------------------------------------


class Queued(Struct, kw_only=True):
    """The job is accepted and written down. `position` 0 runs now."""

    job_id: str
    position: int = 0
    eta_s: float | None = None
    """Seconds to the job's end, as far as the engine can tell."""
    warnings: list[Notice] = msgspec.field(default_factory=list)
    paused: bool = False


class Phase(Struct, kw_only=True):
    """load, encode, sample, decode, write."""

    job_id: str
    phase: str
    attempt: int = 1


class Progress(Struct, kw_only=True):
    job_id: str
    step: Count
    steps: Count
    eta_s: float | None = None


class Preview(Struct, kw_only=True):
    """What one camera's clip looks like so far: 8-bit sRGB, rows from the top."""

    job_id: str
    camera: str
    index: int
    step: int
    width: int
    height: int
    rgb8: bytes = b""
    """width * height * 3 bytes; on the wire they are the message's buffer."""


class Done(Struct, kw_only=True):
    """The clips are on the engine's disk. `clips` are in the rig's order."""

    job_id: str
    clips: list[ClipResult]
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """load, encode, sample, decode, write, total."""
    seed: int = 0
    model: str = ""
    device: str = ""
    weights_digest: str = ""
    placement: dict[str, Any] = msgspec.field(default_factory=dict)
    """How the model ran: `sampling.placement.Placement.as_used`."""
    sampling: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the preset says of sampling, where the request does not."""


class Failed(Struct, kw_only=True):
    """The job ended without clips: refused, cancelled or failed."""

    job_id: str
    error: ErrorInfo

    @property
    def cancelled(self) -> bool:
        return self.error.code == "job.cancelled"


class Acknowledged(Struct, kw_only=True):
    note: str = ""


class JobInfo(Struct, kw_only=True):
    """All that a client needs to draw one job, or to catch up with it."""

    job_id: str
    state: JobState
    mine: bool = True
    client: str = ""
    prompt: str = ""
    views: int = 0
    position: int = 0
    eta_s: float | None = None
    phase: str = ""
    step: int = 0
    steps: int = 0
    attempt: int = 0
    submitted_unix_s: float = 0.0
    warnings: list[Notice] = msgspec.field(default_factory=list)
    done: Done | None = None
    error: ErrorInfo | None = None


class JobList(Struct, kw_only=True):
    jobs: list[JobInfo]
    total: int = 0
    """How many there are in all: one's own where these were asked for, of every age."""


class Synced(Struct, kw_only=True):
    instance: str
    worker: str
    device: str = ""
    jobs: list[JobInfo] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)
    """Ids of the `sync` that this engine does not know, or that belong to somebody else."""


class UploadState(Struct, kw_only=True):
    digest: str
    received: int
    complete: bool = False


class Chunk(Struct, kw_only=True):
    digest: str
    offset: int
    size: int
    """Bytes in the whole artefact."""


TO_ENGINE: dict[str, type[Struct]] = {
    "hello": SayHello,
    "submit": Submit,
    "cancel": Cancel,
    "pause": Pause,
    "resume": Resume,
    "reorder": Reorder,
    "remove": Remove,
    "yield": YieldDevice,
    "status": AskStatus,
    "jobs": AskJobs,
    "sync": Sync,
    "upload": Upload,
    "fetch": Fetch,
}
ANSWERS: dict[type[Struct], type[Struct]] = {
    Cancel: Acknowledged,
    Pause: Acknowledged,
    Resume: Acknowledged,
    Reorder: Acknowledged,
    Remove: Acknowledged,
    YieldDevice: Acknowledged,
    AskStatus: EngineStatus,
    AskJobs: JobList,
}
"""What answers a call that a client makes by itself, where it is no `error`."""
TO_CLIENT: dict[str, type[Struct]] = {
    "hello": Hello,
    "queued": Queued,
    "ok": Acknowledged,
    "error": ErrorInfo,
    "status": EngineStatus,
    "jobs": JobList,
    "sync": Synced,
    "upload": UploadState,
    "fetch": Chunk,
    "phase": Phase,
    "progress": Progress,
    "preview": Preview,
    "done": Done,
    "failed": Failed,
}
