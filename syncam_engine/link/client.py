# SPDX-License-Identifier: Apache-2.0
"""The client of the engine, for a Blender timer, an Unreal tick, a test loop and the terminal.

Every call returns at once; what comes of it is told by `poll()`, which never blocks:

    client = EngineClient(client_name="Blender 5.0")      # connects in the background
    job_id = client.submit(GenerateRequest(rig=rig_json.rig_to_dict(rig), prompt="a red fox"))
    ...
    def tick():                                           # as often as the host likes
        for event in client.poll():
            match event:
                case Hello():    ...  # the engine is there (again); client.state says how far
                case Lost():     ...  # it is gone; the client keeps trying, jobs are not lost
                case Queued():   ...  # accepted: event.position, event.eta_s, event.warnings
                case Phase():    ...  # event.phase: load, encode, sample, decode, write
                case Progress(): ...  # event.step, event.steps, event.eta_s
                case Preview():  ...  # event.camera, event.width, event.height, event.rgb8
                case Done():     ...  # event.clips: camera, fps ...; client.fetch(...) brings them
                case Failed():   ...  # event.error.sentence, .fix; event.cancelled
    client.cancel(job_id)
    client.close()

A job's last event is always one `Done` or one `Failed`, and nothing follows it. A `Done` is what
was asked for (`link.job_results`): one clip a camera, in the rig's order. A client that comes back
later calls `watch(job_id, asked)` and is told the same. A terminal or a test, which may sleep,
calls `wait(timeout_s)` in place of `poll()`. A client belongs to the thread that uses it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from .. import __version__
from . import clip_names, codec, limits
from .connection import Connection
from .endpoint import Endpoint
from .engine_facts import Hello
from .errors import SynCamError
from .events import FollowedJob, Lost, Reply, WorkerChanged, as_events, nonsense
from .file_calls import FileCalls
from .job_results import Asked
from .messages import (
    ANSWERS,
    TO_CLIENT,
    AskJobs,
    AskStatus,
    Cancel,
    Chunk,
    ClipResult,
    Done,
    ErrorInfo,
    Failed,
    GenerateRequest,
    Pause,
    Phase,
    Preview,
    Progress,
    Queued,
    Remove,
    Reorder,
    Resume,
    SayHello,
    Submit,
    Sync,
    Synced,
    UploadState,
    YieldDevice,
    new_id,
)
from .transfer import Incoming, Outgoing


class EngineClient:
    """One connection to one engine. See the module's docstring.

    `endpoint` None is the local engine of `state_dir` (None: the user's own), whether it runs yet
    or not. `client_id` names the owner of jobs: keep it to find one's jobs again after a restart.
    """

    def __init__(
        self,
        endpoint: Endpoint | str | None = None,
        *,
        state_dir: Path | None = None,
        client_name: str = "",
        client_id: str | None = None,
    ) -> None:
        self.client_id = client_id or new_id()
        self.client_name = client_name
        self.hello: Hello | None = None
        self.worker = ""
        self.device = ""
        self._connection = Connection(endpoint, state_dir)
        self._state = "connecting"
        self._jobs: dict[str, FollowedJob] = {}
        self._pending: dict[str, tuple[Struct, str, float | None]] = {}
        self._events: deque[Any] = deque()
        self._files = FileCalls(self._connection, self._events)
        self._hello_id = ""
        self._refusal = ""
        self._asked_since_s: float | None = None
        self._next_sync_s = 0.0

    # ---- calls: each returns at once ----

    @property
    def state(self) -> str:
        """connecting, loading, ready, version mismatch, refused, lost or closed."""
        if self._state != "ready":
            return self._state
        return "loading" if self.worker in ("starting", "loading") else "ready"

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def problem(self) -> SynCamError | None:
        """Why there is no engine to connect to, where another user may have put one there or a key
        is missing; None where none runs."""
        return self._connection.problem

    @property
    def local_state_dir(self) -> Path | None:
        """The local engine's folder; None where an engine was named by its address."""
        return self._connection.state_dir if self._connection.is_local else None

    def submit(self, request: GenerateRequest, clips: Sequence[Path | str | bytes] = ()) -> str:
        """Send a job and follow it. `clips` are its inputs (previz: one a camera in the rig's
        order; reference: one), sent by content: `request.inputs` has their digests from then on.
        Without them it stands as it is.

        Raises `SynCamError` "input.*" for a clip that cannot be read, and "message.*" for what
        the wire does not carry (a number out of range, a name that is no Unicode): once it waits to
        be sent, it could only be tried again and again.
        """
        codec.check(Submit(request=request))
        self._jobs[request.job_id] = FollowedJob(Submit(request=request), clips)
        return request.job_id

    def watch(self, job_id: str, asked: Asked | None = None) -> None:
        """Follow a job that was sent before, by this client or with its `client_id`. `asked` is
        what its result must be; without it there are no previews of it."""
        self._jobs.setdefault(job_id, FollowedJob(asked=asked))

    def forget(self, job_id: str) -> None:
        """Say no more about a job; the engine goes on with it."""
        self._jobs.pop(job_id, None)

    def cancel(self, job_id: str) -> str:
        """Stop a job; its `Failed` with `cancelled` follows. Twice is the same as once."""
        job = self._jobs.get(job_id)
        if job and not job.acknowledged and job_id not in self._pending:
            # The engine was not told of it, and would only answer that there is no such job.
            sentence = "The job was cancelled before it was sent."
            self._tell(
                Failed(job_id=job_id, error=ErrorInfo(code="job.cancelled", sentence=sentence))
            )
            return ""
        return self._call(Cancel(job_id=job_id), job_id)

    def pause(self, job_id: str) -> str:
        return self._call(Pause(job_id=job_id), job_id)

    def resume(self, job_id: str) -> str:
        return self._call(Resume(job_id=job_id), job_id)

    def reorder(self, job_id: str, before: str = "") -> str:
        """Move one's own waiting job before another of one's own, or to the end."""
        return self._call(Reorder(job_id=job_id, before=before), job_id)

    def remove(self, job_id: str) -> str:
        """Delete an ended job of one's own, with its clips."""
        return self._call(Remove(job_id=job_id), job_id)

    def yield_device(self, hold_s: float = 0.0) -> str:
        """Have the device's memory freed once idle, and no job started for `hold_s` seconds."""
        return self._call(YieldDevice(hold_s=hold_s))

    def ask_status(self) -> str:
        return self._call(AskStatus())

    def ask_jobs(
        self, *, mine: bool = False, limit: int = 100, before: str = "", begins: str = ""
    ) -> str:
        """Ask for the newest jobs: of those older than the job `before`, whose ids begin so."""
        return self._call(AskJobs(mine=mine, limit=limit, before=before, begins=begins))

    def fetch(self, job_id: str, clip: ClipResult, target: Path | str) -> str:
        """Bring a clip of a `Done` into the file `target`; `Fetched` or `Reply` follows.

        It is copied where this machine's engine has it, else the engine sends it. The file is there
        once its size, its digest and its being such a video are checked, and not before.
        """
        return self._files.fetch(job_id, clip, self.local_file(job_id, clip), Path(target))

    def local_file(self, job_id: str, clip: ClipResult) -> Path | None:
        """Where this machine's own engine keeps a clip, or the folder of a PNG sequence; None for
        an engine that was named by its address, and for what is not there whole."""
        folder = self.local_state_dir
        return clip_names.local_file(folder, job_id, clip) if folder else None

    def close(self) -> None:
        """Leave at once; jobs go on in the engine."""
        self._files.abandon()
        self._connection.close()
        self._state = "closed"

    # ---- polling ----

    def poll(self, budget_s: float = 0.003) -> list[Any]:
        """Return what happened since the last call; takes about `budget_s` at most."""
        if self._state == "closed":
            return []
        end_s = time.monotonic() + budget_s
        self._follow_connection()
        while (frames := self._connection.receive()) is not None:
            self._hear(frames)
            if time.monotonic() > end_s:
                break
        if self._connection.up:
            self._keep_alive(time.monotonic())
        elif self._state == "ready":
            self._lose("engine.nonsense", "The engine sent a message of more parts than there are.")
        self._files.advance_copies()
        if self._state == "ready":
            self._advance_jobs(end_s)
            self._files.advance_fetches()
            self._send_pending(time.monotonic())
        events = list(self._events)
        self._events.clear()
        return events

    def wait(self, timeout_s: float) -> list[Any]:
        """Like `poll()`, but sleep until something happened or `timeout_s` is over."""
        end_s = time.monotonic() + timeout_s
        while True:
            events = self.poll(budget_s=0.05)
            left_s = end_s - time.monotonic()
            if events or left_s <= 0 or self._state == "closed":
                return events
            busy = any(not job.acknowledged and job.inputs for job in self._jobs.values())
            busy = busy or self._files.is_busy
            self._connection.sleep(min(left_s, 0.002 if busy else 0.25))

    # ---- the connection ----

    def _follow_connection(self) -> None:
        change = self._connection.follow()
        if change == "up":
            self._greet()
        elif change == "down":
            self._lose("engine.lost", "The engine stopped or was killed; its jobs are kept.")
        elif change == "flooded":
            self._lose("engine.nonsense", "The engine sent far more than it was asked for.")
        elif isinstance(change, SynCamError):
            if self._state != "refused":
                self._events.append(Lost(error=codec.error_info(change)))
            self._state = "refused"

    def _greet(self) -> None:
        self._hello_id = new_id()
        self._asked_since_s = time.monotonic()
        hello = SayHello(
            client_id=self.client_id, client_name=self.client_name, version=__version__
        )
        self._connection.send(codec.encode(hello, message_id=self._hello_id))

    def _lose(self, code: str, sentence: str) -> None:
        self._asked_since_s = None
        if self._state == "ready":
            self._events.append(Lost(error=ErrorInfo(code=code, sentence=sentence)))
        if self._state not in ("version mismatch", "refused"):
            self._state = "lost" if self.hello else "connecting"
        self.worker = ""

    def _keep_alive(self, now_s: float) -> None:
        silent = self._asked_since_s is not None and now_s - self._asked_since_s > limits.SILENCE_S
        if silent:
            self._lose("engine.silent", f"The engine has not answered for {limits.SILENCE_S:g} s.")
            self._connection.begin_anew()
            return
        if now_s < self._next_sync_s or self._state == "version mismatch":
            return
        self._next_sync_s = now_s + limits.SYNC_INTERVAL_S
        if self._state != "ready":
            if self._asked_since_s is None:
                self._greet()
            return
        jobs = [job_id for job_id, job in self._jobs.items() if job.acknowledged]
        if self._connection.send(codec.encode(Sync(jobs=jobs[: limits.MAX_SYNC_JOBS]))):
            self._asked_since_s = self._asked_since_s or now_s

    # ---- sending ----

    def _call(self, body: Struct, job_id: str = "") -> str:
        message_id = new_id()
        self._pending[message_id] = (body, job_id, None)
        return message_id

    def _send_pending(self, now_s: float) -> None:
        """Send calls that are new, or that the engine has not answered for long."""
        for message_id, (body, job_id, sent_s) in list(self._pending.items()):
            if sent_s is not None and now_s - sent_s < limits.RESEND_AFTER_S:
                continue
            frames = codec.encode(body, message_id=message_id, job=job_id)
            if not self._connection.send(frames):
                return
            self._pending[message_id] = (body, job_id, now_s)

    def _advance_jobs(self, end_s: float) -> None:
        """Bring inputs over and send the jobs whose inputs are there."""
        for job_id, job in list(self._jobs.items()):
            if job.acknowledged or job.submission is None or job_id in self._pending:
                continue
            try:
                if not self._files.advance_inputs(job.inputs, end_s):
                    return
            except SynCamError as error:
                self._tell(Failed(job_id=job_id, error=codec.error_info(error)))
                continue
            if all(outgoing.complete for outgoing in job.inputs):
                if job.inputs:
                    job.submission.request.inputs = [item.digest for item in job.inputs]
                self._pending[job_id] = (job.submission, job_id, None)

    # ---- hearing ----

    def _hear(self, frames: list[Any]) -> None:
        try:
            message = codec.decode(frames, TO_CLIENT)
        except SynCamError as error:
            self._hear_nonsense(frames, error)
            return
        self._asked_since_s = None
        parent, body = message.header.parent, message.body
        if isinstance(body, Hello):
            self._welcome(body)
        elif isinstance(body, Synced):
            self._catch_up(body)
        elif isinstance(body, (Chunk, UploadState)):
            self._files.take(parent, body, message.buffers)
        elif isinstance(body, ErrorInfo):
            self._hear_error(parent, message.header.job, body)
        elif isinstance(body, (Queued, Phase, Progress, Preview, Done, Failed)):
            self._pending.pop(parent, None)
            self._tell(body)
        elif (call := self._pending.pop(parent, None)) is not None:
            if not isinstance(body, ANSWERS.get(type(call[0]), ())):
                body = nonsense(f'the answer to "{type(call[0]).__name__}" is another one\'s')
            self._events.append(Reply(message_id=parent, body=body))

    def _hear_nonsense(self, frames: list[Any], error: SynCamError) -> None:
        """A message that cannot be read is no sign of life, but what it answers has been answered:
        to ask again would bring the same."""
        if error.code == "protocol.version":
            if self._state != "version mismatch":
                self._state = "version mismatch"
                self._events.append(Lost(error=codec.error_info(error)))
            return
        try:
            header = codec.decode_header(frames)
        except SynCamError:
            return
        if header.type in ("done", "failed") and header.job in self._jobs:
            self._tell(Failed(job_id=header.job, error=nonsense(error.sentence)))
        elif header.parent and header.parent != self._hello_id:
            self._hear_error(header.parent, header.job, nonsense(error.sentence))

    def _welcome(self, hello: Hello) -> None:
        hello.presets = [info for info in hello.presets if info.is_sound][: limits.MAX_PRESETS]
        fresh = self.hello is None or self.hello.instance != hello.instance
        self.hello, self.worker, self.device = hello, hello.worker, hello.device
        if self._state == "ready" and not fresh:
            return
        self._state, self._refusal = "ready", ""
        self._next_sync_s = 0.0
        # Whatever was on its way may not have arrived: every verb may be sent twice.
        self._pending = {key: (body, job, None) for key, (body, job, _) in self._pending.items()}
        self._files.restart(self._open_inputs())
        self._events.append(hello)

    def _open_inputs(self) -> list[Outgoing]:
        return [item for job in self._jobs.values() for item in job.inputs if not item.complete]

    def _hear_error(self, parent: str, job_id: str, error: ErrorInfo) -> None:
        if parent == self._hello_id and error.code == "protocol.version":
            self._state = "version mismatch"
            self._events.append(Lost(error=error))
            return
        if parent == self._hello_id and error.code == "keys.refused":
            # The key was revoked while the connection was open.
            if self._state != "refused":
                self._events.append(Lost(error=error))
            self._state = "refused"
            return
        if parent == self._hello_id:
            # It is there and does not take this client (too many are): each second it is asked.
            if self._refusal != error.code:
                self._refusal = error.code
                self._events.append(Lost(error=error))
            return
        if error.code == "hello.first":
            # The engine forgot this client, which was silent for long (a render blocked its host).
            # After the next hello all that is pending is sent again.
            if self._state == "ready":
                self._state = "connecting"
                self._greet()
            return
        transfer = self._files.refused(parent)
        call = self._pending.pop(parent, None)
        if isinstance(transfer, Incoming):
            self._files.end_fetch(transfer, error)
        elif isinstance(transfer, Outgoing):
            for owner, job in list(self._jobs.items()):
                if transfer in job.inputs:
                    self._tell(Failed(job_id=owner, error=error))
        elif call is not None and isinstance(call[0], Submit):
            self._tell(Failed(job_id=call[0].request.job_id, error=error))
        elif call is not None:
            self._events.append(Reply(message_id=parent, body=error))

    # ---- following jobs ----

    def _catch_up(self, synced: Synced) -> None:
        """Make up for events that were dropped, or told while this client was away."""
        if self.hello and synced.instance != self.hello.instance:
            self._greet()
        if (synced.worker, synced.device) != (self.worker, self.device):
            self.worker, self.device = synced.worker, synced.device
            self._events.append(WorkerChanged(worker=synced.worker, device=synced.device))
        for info in synced.jobs:
            for event in as_events(info):
                self._tell(event)
        for job_id in synced.unknown:
            sentence = f"The engine does not know the job {job_id}."
            self._tell(
                Failed(job_id=job_id, error=ErrorInfo(code="job.unknown", sentence=sentence))
            )

    def _tell(self, event: Any) -> None:
        """Pass on what is news about a job that is followed; nothing follows its last event."""
        job = self._jobs.get(event.job_id)
        if job is None:
            return
        job.acknowledged = True
        event = job.as_told(event)
        if isinstance(event, (Done, Failed)):
            del self._jobs[event.job_id]
            self._pending.pop(event.job_id, None)
        if event is not None:
            self._events.append(event)
