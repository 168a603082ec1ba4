# SPDX-License-Identifier: Apache-2.0
"""The worker's memory: how much it holds, when it ran out, and what would fit."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest

_OUT_OF_MEMORY_WORDS = (
    "can't allocate memory",
    "cuda error: out of memory",
    "_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Host or device memory ran out. torch says it with a class of its own, and with RuntimeErrors
    of the CPU's allocator, of the driver (no room for its own), and of CUDA's libraries."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(words in said for words in _OUT_OF_MEMORY_WORDS)


def out_of_memory(phase: str, request: GenerateRequest | None) -> SynCamError:
    """Say what would fit: memory goes with views x frames x pixels, so half of one is half."""
    if request is None:
        return SynCamError(
            "device.out_of_memory",
            "The device has not enough memory to load the model.",
            fix="Close other programs that use the device",
        )
    views = len(request.rig.get("cameras", ()))
    what = f"{views} views of {request.frames} frames at {request.width}x{request.height}"
    if views > 1:
        nearest: dict[str, int] = {"views": views // 2}
        fix = f"Use {views // 2} cameras at a time"
    else:
        nearest = {"frames": max(1, (request.frames // 2 - 1) // 4 * 4 + 1)}
        fix = f"Use {nearest['frames']} frames"
    return SynCamError(
        "device.out_of_memory",
        f"The device ran out of memory in {phase} with {what}; half of it should fit.",
        value={"views": views, "frames": request.frames},
        nearest=nearest,
        fix=fix,
    )


def forget_frames(error: BaseException) -> None:
    """Let go of the tensors in the frames that an error passed through, and those that it came of
    (a first attempt that had no room either): its tracebacks hold them."""
    chain: list[BaseException] = [error]
    for one in chain:
        one.__traceback__ = None
        chain += [e for e in (one.__cause__, one.__context__) if e is not None and e not in chain]


def free_device() -> None:
    """Give cached memory back. torch is only touched where a pipeline has imported it."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_mb() -> float:
    """The device's memory held by this process where there is a GPU, else its resident memory."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return cuda.memory_reserved() / 2**20
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def held_mb(pid: int) -> float:
    """Private resident memory of a process; files that are mapped do not count, nor does what it
    shares. 0 where nothing can be said."""
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0.0
    return (info.rss - getattr(info, "shared", 0)) / 2**20


def machine_mb() -> float:
    """The memory that this machine, or the container that this is, has in all."""
    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total / 2**20


def memory_free_mb(device: str = "") -> float:
    """What `device` ("": the first GPU in use) has left for anyone; on a CPU the machine has."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        try:
            return cuda.mem_get_info(device if device.startswith("cuda") else None)[0] / 2**20
        except RuntimeError:
            # A device in trouble is the main thread's to tell; this one only reports.
            return 0.0
    return psutil.virtual_memory().available / 2**20
