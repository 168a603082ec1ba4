# SPDX-License-Identifier: Apache-2.0
"""A pipeline that paints instead of sampling, for tests of the engine around it.

It is exact about what counts here: the clips follow from the request alone, each report may stop
it, and words in the prompt make it misbehave ("sleep=0.2" a step, "crash", "hang", "oom", ...).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import time
from dataclasses import dataclass

import numpy as np

PLACEMENT = {"device": "stub", "matmul_dtype": "float32"}


@dataclass
class Report:
    phase: str
    step: int = 0
    steps: int = 0
    preview_VHW3: np.ndarray | None = None


class StubPipeline:
    device = "stub"
    digest = "0" * 64
    placement_used = PLACEMENT

    def generate(
        self,
        request,
        *,
        start_clips_VTHW3=None,
        reference_clip_THW3=None,
        on_report=None,
        keeper=None,
    ):
        report = on_report or (lambda _: None)
        words = request.prompt.split()
        pause = next((float(w[6:]) for w in words if re.match(r"sleep=[\d.]+$", w)), 0.0)
        views = len(request.rig["cameras"])
        report(Report("encode"))
        clips = paint(request, views)
        # Nothing is needed to go on but how far it was.
        done, _ = keeper.load(request.steps, (1,)) if keeper else (0, None)
        for step in range(done + 1, request.steps + 1):
            time.sleep(pause)
            if step == max(1, request.steps // 2):
                if "harm" in words:
                    flip(keeper.path)
                misbehave(words, request)
            report(Report("sample", step, request.steps, clips[:, 0]))
            if keeper and step % keeper.every == 0:
                keeper.save(step, np.ones(1))
        report(Report("decode", request.steps, request.steps))
        if start_clips_VTHW3 is not None:
            clips = (clips // 2 + np.stack(start_clips_VTHW3) // 2).astype(np.uint8)
        if reference_clip_THW3 is not None:
            clips[0] = reference_clip_THW3
        return clips


def paint(request, views):
    """Slow gradients: different for each seed and view, cheap to encode."""
    name = f"{request.seed}/{request.variation}/{request.prompt}".encode()
    rng = np.random.default_rng(list(hashlib.sha256(name).digest()[:16]))
    base = rng.integers(40, 200, (views, 1, 1, 1, 3))
    base = base + np.arange(request.frames).reshape(1, -1, 1, 1, 1)
    ramp = np.linspace(0, 40, request.width).reshape(1, 1, 1, -1, 1)
    clips = base + ramp + np.zeros((1, 1, request.height, 1, 1))
    return clips.astype(np.uint8)


def misbehave(words, request):
    if "crash" in words or ("crash-once" in words and first_time(request)):
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in words or ("hang-once" in words and first_time(request)):
        os.kill(os.getpid(), signal.SIGSTOP)
    while "hold" in words and not os.path.exists(os.path.join(os.environ["SYNCAM_STUB_DIR"], "go")):
        time.sleep(0.01)
    if "stall" in words:
        time.sleep(3600)
    if "spoil" in words or ("spoil-once" in words and first_time(request)):
        spoil_the_result()
    if "hoard" in words:
        held = np.ones(75 * 2**20)  # 600 MiB
        time.sleep(3600)
        del held
    if "oom" in words:
        raise MemoryError("no room for the stub")
    if "full" in words:
        raise OSError(errno.ENOSPC, "No space left on device")
    if "broken" in words:
        raise RuntimeError("the stub was told to break")


def flip(path):
    """Change one bit near the end of a file."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def spoil_the_result():
    """Have the next result lose a byte of its last clip once all of it is written."""
    from syncam_engine.service import results

    write = results.write_whole

    def write_and_cut(path, data):
        results.write_whole = write
        write(path, data)
        clip = max(path.parent.glob("*.mp4"))
        os.truncate(clip, clip.stat().st_size - 1)

    results.write_whole = write_and_cut


def first_time(request):
    """True once for each job, across worker processes."""
    marker = os.path.join(os.environ["SYNCAM_STUB_DIR"], request.job_id)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def load_pipeline(preset_name, device=None, on_progress=None):
    time.sleep(float(os.environ.get("SYNCAM_STUB_LOAD_S", "0")))
    return StubPipeline()
