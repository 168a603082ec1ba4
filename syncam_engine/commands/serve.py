# SPDX-License-Identifier: Apache-2.0
"""`syncam serve`: the engine, in the foreground, until it is stopped."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from syncam_engine.commands.parsing import above_zero, whole
from syncam_engine.link.endpoint import user_state_dir
from syncam_engine.link.errors import EXIT_ENGINE_RUNS, SynCamError
from syncam_engine.link.limits import MIB
from syncam_engine.service.parent import EXIT_FAULT, keep_serving, take_place
from syncam_engine.service.processes import end_with_the_starter

DEFAULT_PIPELINE = "syncam_engine.sampling.pipeline:load_pipeline"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--state-dir", type=Path, help="folder of jobs, results and logs (see docs/operations.md)")
    add("--preset", default="", help="model to load at the start (preview)")
    add("--preset-file", type=Path, action="append", help="a preset.json to offer as well")
    add(
        "--device",
        action="append",
        metavar="NAME",
        help="cpu, cuda:0, ...; several times for one worker on each (default: the best one)",
    )
    add("--bind", default="", metavar="tcp://HOST:PORT", help="also let trusted keys in from afar")
    add("--lazy", action="store_true", help="load the model with the first job, not at the start")
    add(
        "--yield-gpu",
        type=above_zero,
        metavar="SECONDS",
        help="free the device's memory after so many idle seconds (never)",
    )
    add(
        "--metrics-port",
        type=int,
        default=0,
        metavar="PORT",
        help="Prometheus metrics on this loopback port (none)",
    )
    add(
        "--max-jobs",
        type=whole(1, 1_000_000),
        default=64,
        metavar="N",
        help="jobs of one client that wait or run (64)",
    )
    add(
        "--max-disk-gb",
        type=above_zero,
        default=20.0,
        metavar="GB",
        help="disk that one client's jobs may hold (20)",
    )
    add(
        "--reserve-mb",
        type=whole(0, 1_000_000_000),
        default=256,
        metavar="MB",
        help="disk that is kept free (256)",
    )
    add(
        "--max-memory-mb",
        type=whole(1, 1_000_000_000),
        default=2048,
        metavar="MB",
        help="memory that clients may fill at the server (2048)",
    )
    add(
        "--worker-memory-mb",
        type=whole(1, 1_000_000_000),
        metavar="MB",
        help="a worker that holds more of the machine's memory is ended (nine tenths of it)",
    )
    add(
        "--hang-s",
        type=above_zero,
        default=30.0,
        metavar="SECONDS",
        help="a worker silent for so long is replaced (30)",
    )
    add(
        "--stall-s",
        type=above_zero,
        default=900.0,
        metavar="SECONDS",
        help="so is one without a step for so long (900)",
    )
    add(
        "--max-deaths",
        type=whole(1, 1000),
        default=2,
        metavar="N",
        help="give a job up when the worker died so often (2)",
    )
    add(
        "--checkpoint-steps",
        type=whole(0, 1_000_000),
        default=0,
        metavar="N",
        help="keep a running job's latents after every N steps; after a kill it goes on from them "
        "(0: never)",
    )
    add(
        "--exit-when-idle",
        type=above_zero,
        metavar="SECONDS",
        help="end after so long without a client and without a job (never)",
    )
    add("--cluster", metavar="auto|ADDRESS", help="run workers on a Ray cluster")
    add(
        "--cluster-workers",
        type=whole(1, 10_000),
        default=1,
        metavar="N",
        help="how many there, one for each GPU or node (1)",
    )
    add(
        "--pipeline",
        default=DEFAULT_PIPELINE,
        metavar="MODULE:FUNCTION",
        help="what makes the clips; another one is for tests and `syncam soak`",
    )


def run(args: argparse.Namespace) -> int:
    """Keep a server running; or be that server, where a parent has started this process."""
    parent_pid, accident = take_place()
    if parent_pid:
        end_with_the_starter()
        return _serve(args, parent_pid, accident)
    return keep_serving(args.command_line, (args.state_dir or user_state_dir()).absolute())


def _serve(args: argparse.Namespace, parent_pid: int, accident: str) -> int:
    from syncam_engine.service.catalog import read_catalog
    from syncam_engine.service.engine import Rules
    from syncam_engine.service.memory import machine_mb
    from syncam_engine.service.server import ServeConfig, serve
    from syncam_engine.service.supervisor import WORKER_SHARE, WorkerPlan

    if args.bind and not args.bind.startswith("tcp://"):
        raise SynCamError(
            "serve.bind",
            f'"{args.bind}" is no address to listen on; tcp://0.0.0.0:7788 is.',
            value=args.bind,
            nearest="tcp://0.0.0.0:7788",
        )
    if args.bind:
        _check_bind(args.bind)
    if args.metrics_port and not _is_free(args.metrics_port):
        raise SynCamError(
            "serve.metrics_port",
            f"The metrics port {args.metrics_port} is used by another program, or is no port.",
            value=args.metrics_port,
            nearest=9401,
        )
    catalog = read_catalog(args.preset, args.preset_file)
    devices, pipeline = tuple(args.device or ("",)), args.pipeline
    if args.cluster:
        # Workers inherit these; the server itself never touches Ray.
        os.environ["SYNCAM_CLUSTER"] = args.cluster
        os.environ["SYNCAM_CLUSTER_PIPELINE"] = pipeline
        pipeline = "syncam_engine.service.cluster:load_pipeline"
        devices = devices[:1] * args.cluster_workers
    config = ServeConfig(
        state_dir=(args.state_dir or user_state_dir()).absolute(),
        catalog=catalog,
        plan=WorkerPlan(
            preset=catalog.default,
            presets=catalog.sources,
            pipeline=pipeline,
            devices=devices,
            preload=not args.lazy,
            hang_s=args.hang_s,
            stall_s=args.stall_s,
            most_memory_mb=args.worker_memory_mb or WORKER_SHARE * machine_mb(),
        ),
        rules=Rules(
            max_jobs_per_client=args.max_jobs,
            max_disk_bytes_per_client=int(args.max_disk_gb * 1024 * MIB),
            reserve_bytes=args.reserve_mb * MIB,
            max_deaths=args.max_deaths,
            yield_after_s=args.yield_gpu,
            checkpoint_steps=args.checkpoint_steps,
        ),
        bind=args.bind,
        metrics_port=args.metrics_port,
        max_memory_bytes=args.max_memory_mb * MIB,
        exit_when_idle_s=args.exit_when_idle,
        parent_pid=parent_pid,
        accident=accident,
    )
    try:
        return 0 if serve(config) else EXIT_FAULT
    except SynCamError as error:
        if error.code != "engine.runs":
            raise
        print(f"syncam: {error}", file=sys.stderr)
        return EXIT_ENGINE_RUNS


def _check_bind(address: str) -> None:
    """Raise `SynCamError` "serve.bind" where nothing can listen, before anything has begun."""
    import zmq

    with zmq.Context() as context, context.socket(zmq.ROUTER) as probe:
        try:
            probe.bind(address)
        except zmq.ZMQError as error:
            raise SynCamError(
                "serve.bind",
                f"The engine cannot listen at {address}: {error.strerror}; "
                "tcp://0.0.0.0:7788 is an address and port of this machine.",
                value=address,
                nearest="tcp://0.0.0.0:7788",
            ) from None


def _is_free(port: int) -> bool:
    """Whether metrics can be served there: asked before anything of the engine has begun."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except (OSError, OverflowError):
        return False
