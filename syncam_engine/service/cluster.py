# SPDX-License-Identifier: Apache-2.0
"""Workers on a Ray cluster: the same worker process, with its pipeline in an actor on some node.

The server keeps one local worker process for each cluster worker. That process talks to the server
as always, writes the results, and is watched as always; only `generate` runs elsewhere. When the
actor or its node dies the local process ends with it, and what follows is what follows any worker's
death: the job runs again, on a node that is left.

Every node needs the same SynCam and the same weights. Only bytes and arrays cross: the request as
MessagePack, clips through Ray's object store.

Shape legend: V views, H, W rows and columns.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest

from .kept_latents import KeptLatents

ADDRESS_VARIABLE = "SYNCAM_CLUSTER"
PIPELINE_VARIABLE = "SYNCAM_CLUSTER_PIPELINE"
LOADER = "syncam_engine.service.cluster:load_pipeline"
_ASK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class RemoteReport:
    phase: str
    step: int
    steps: int
    preview_VHW3: np.ndarray | None


@dataclass(slots=True, kw_only=True)
class SentLatents(KeptLatents):
    """A node's side of `KeptLatents`: the file came along, and new ones go with the reports."""

    kept: bytes | None
    send: Callable[[bytes], None]

    def read(self) -> bytes:
        if self.kept is None:
            raise FileNotFoundError
        return self.kept

    def write(self, data: bytes) -> None:
        self.send(data)


class RemoteStop(Exception):
    """Raised on the node at the next report after the job was cancelled."""


class Sampler:
    """The actor: one pipeline on one node. `generate` runs in one thread, the others answer."""

    def __init__(self) -> None:
        self._pipeline: Any = None
        self._lock = threading.Lock()
        self._reports: list[tuple] = []
        self._stop = False

    def load(
        self, pipeline: str, preset: str, device: str | None
    ) -> tuple[str, str, str, dict[str, Any]] | dict[str, Any]:
        """Return device, weights digest, node and placement, or a `SynCamError` as a dictionary."""
        import importlib

        import ray

        from .worker import as_syncam_error

        module, _, function = pipeline.partition(":")
        try:
            self._pipeline = getattr(importlib.import_module(module), function)(
                preset, device, None
            )
        except Exception as error:  # noqa: BLE001  (told in words: Ray would wrap what it is)
            return as_syncam_error(error, "load", None).to_dict()
        node = ray.get_runtime_context().get_node_id()
        pipeline = self._pipeline
        return str(pipeline.device), str(pipeline.digest), node, pipeline.placement_used

    def generate(
        self, packed: bytes, given: dict[str, Any], latents: dict[str, Any] | None
    ) -> np.ndarray | dict | None:
        """Return the clips, None when it was stopped, or a `SynCamError` as a dictionary.

        `latents`: key, every and kept of `SentLatents`, where they are kept.
        """
        from .memory import forget_frames, free_device
        from .worker import as_syncam_error

        request = msgspec.msgpack.decode(packed, type=GenerateRequest)
        phase = "encode"
        with self._lock:
            self._reports, self._stop = [], False

        def on_report(report: Any) -> None:
            nonlocal phase
            phase = report.phase
            said = (report.phase, report.step, report.steps, report.preview_VHW3)
            self._tell("report", *said)
            if self._stop:
                raise RemoteStop

        if latents is not None:
            given["keeper"] = SentLatents(
                folder=Path(),
                say=lambda text: self._tell("note", text),
                send=lambda data: self._tell("latents", data),
                **latents,
            )
        try:
            return self._pipeline.generate(request, **given, on_report=on_report)
        except RemoteStop:
            return None
        except Exception as error:  # noqa: BLE001  (a job's fault is told in words, not by Ray)
            told = as_syncam_error(error, phase, request).to_dict()
            forget_frames(error)
            free_device()
            return told

    def reports(self) -> list[tuple]:
        with self._lock:
            said, self._reports = self._reports, []
        return said

    def stop(self) -> None:
        with self._lock:
            self._stop = True

    def _tell(self, *what: Any) -> None:
        with self._lock:
            self._reports.append(what)


class ClusterPipeline:
    """Looks like a pipeline to the worker; `device` names the node as well."""

    def __init__(
        self, actor: Any, kind: str, node: str, digest: str, placement_used: dict[str, Any]
    ) -> None:
        self._actor, self.digest, self.placement_used = actor, digest, placement_used
        self.device = f"{kind} on node {node[:8]}"
        self.device_kind = kind
        """What latents depend on: they may go on at another node."""

    def generate(
        self,
        request: GenerateRequest,
        *,
        on_report: Callable[[Any], None],
        keeper: KeptLatents | None = None,
        **given: Any,
    ) -> np.ndarray:
        import ray

        packed = msgspec.msgpack.encode(request)
        clips_ref = self._actor.generate.remote(packed, given, _latents_of(keeper))
        try:
            while True:
                ready, _ = ray.wait([clips_ref], timeout=_ASK_EVERY_S)
                for kind, *said in ray.get(self._actor.reports.remote()):
                    if kind == "report":
                        on_report(RemoteReport(*said))
                    elif kind == "latents":
                        keeper.write(*said)
                    else:
                        keeper.say(*said)
                if ready:
                    return _or_raise(ray.get(clips_ref))
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            _die_with_the_node(error)
        except SynCamError:
            raise
        except BaseException:
            # Stopped: the node must be free before the next job comes.
            self._actor.stop.remote()
            ray.wait([clips_ref], timeout=600)
            raise


def load_pipeline(
    preset_name: str, device: str | None = None, on_progress: Any = None
) -> ClusterPipeline:
    """Connect to the cluster and load the preset in an actor there. Raises "cluster.*"."""
    try:
        import ray
    except ImportError as error:
        raise SynCamError(
            "cluster.ray", "Ray is not installed.", fix="pip install 'syncam[cluster]'"
        ) from error
    address = os.environ[ADDRESS_VARIABLE]
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SynCamError(
                "cluster.unreachable",
                f"No Ray cluster answers at {address}: {str(error)[:200]}",
                value=address,
                fix="ray start --head",
            ) from error
    gpus = ray.cluster_resources().get("GPU", 0) >= 1
    actor_class = ray.remote(
        num_cpus=1, num_gpus=1 if gpus else 0, max_concurrency=2, scheduling_strategy="SPREAD"
    )(Sampler)
    inner = os.environ[PIPELINE_VARIABLE]
    actor = actor_class.remote()
    try:
        answer = ray.get(actor.load.remote(inner, preset_name, device or None))
    except ray.exceptions.RayActorError as error:
        _die_with_the_node(error)
    kind, digest, node, placement_used = _or_raise(answer)
    return ClusterPipeline(actor, kind, node, digest, placement_used)


def _latents_of(keeper: KeptLatents | None) -> dict[str, Any] | None:
    """What a node needs to go on from what is kept here."""
    if keeper is None:
        return None
    try:
        kept = keeper.read()
    except OSError:
        kept = None
    return {"key": keeper.key, "every": keeper.every, "kept": kept}


def _or_raise(answer: Any) -> Any:
    """Return a node's answer; an error comes as a dictionary."""
    if isinstance(answer, dict):
        raise SynCamError.from_dict(answer)
    return answer


def _die_with_the_node(error: Exception) -> None:
    """End this worker: the server gives its job to another one."""
    print(f"the cluster's worker is gone: {str(error)[:500]}", file=sys.stderr, flush=True)
    os._exit(3)
