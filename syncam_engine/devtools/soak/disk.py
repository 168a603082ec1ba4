# SPDX-License-Identifier: Apache-2.0
"""A disk that really fills: the state folder on a small tmpfs, where one may be mounted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from syncam_engine.devtools.harness import LocalEngine, follow, sample_request
from syncam_engine.link.messages import Done
from syncam_engine.service.files import digest_of

from .findings import Finding

_MEGABYTES = 24


def soak_disk(pipeline: str) -> Finding | None:
    """Fill the disk with results and ballast; return None where no tmpfs can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="syncam-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m,mode=0700", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        return None
    finding = Finding("disk full", "a small tmpfs", f"a tmpfs of {_MEGABYTES} MB")
    engine = LocalEngine("--reserve-mb", "2", pipeline=pipeline, folder=folder)
    try:
        engine.start()
        client = engine.client()
        first = _run(client, 1)
        ballast = folder / "ballast"
        # Leave less than the reserve, but some: new jobs are refused, nothing else changes.
        free = _MEGABYTES * 2**20 - sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        ballast.write_bytes(b"\0" * max(0, free - 1_500_000))
        refused = _run(client, 2)
        if isinstance(refused, Done) or refused.error.code != "disk.full":
            finding.fault(f"a job on a full disk: {refused}")
        # Now nothing at all is left, and the engine is killed and started over it.
        with open(folder / "more", "wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        refused = _run(client, 3)
        if isinstance(refused, Done):
            finding.fault("a job was done on a disk without a byte left")
        for path in (ballast, folder / "more"):
            path.unlink()
        again = _run(client, 4)
        if not isinstance(again, Done):
            finding.fault(f"no job after room was made: {again.error.sentence}")
        for clip in first.clips:
            if digest_of(engine.clip_file(first, clip.index)) != clip.digest:
                finding.fault("an earlier clip has changed")
        engine.kill()
        engine.start()
        client.watch(first.job_id)
        kept = follow(client, [first.job_id], 60)[0][first.job_id]
        if not isinstance(kept, Done) or kept.clips != first.clips:
            finding.fault("an earlier result was not kept")
        finding.figures = {"refused with": refused.error.sentence}
    except TimeoutError as error:
        finding.fault(str(error)[:1000])
    finally:
        for client in engine._clients:
            client.close()
        engine._clients.clear()
        if engine.process is not None and engine.process.poll() is None:
            engine.stop()
        subprocess.run(["umount", str(folder)], capture_output=True)
        folder.rmdir()
    return finding


def _run(client, seed: int):
    request = sample_request(2, seed=seed)
    client.submit(request)
    return follow(client, [request.job_id], 60)[0][request.job_id]
