# SPDX-License-Identifier: Apache-2.0
"""A finished job's files: written aside, flushed, then renamed into place in one step.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from syncam_engine import __version__
from syncam_engine.link import rig_json
from syncam_engine.link.clip_names import clip_name
from syncam_engine.link.fit import fit_camera
from syncam_engine.link.messages import ClipResult, Done, GenerateRequest
from syncam_engine.media.write import write_mp4, write_png_sequence

from .files import digest_of, sync_file, sync_folder, write_whole


def write_result(
    folder: Path,
    attempt: int,
    request: GenerateRequest,
    clips_VTHW3: np.ndarray,
    *,
    seconds: Callable[[], dict[str, float]],
    model: str,
    device: str,
    weights_digest: str,
    placement: dict[str, Any],
    sampling: dict[str, Any],
) -> Done:
    """Write `folder`/result with a clip a camera and result.json, and return what it holds.

    `seconds` is asked once the clips are written. Each clip's metadata is the recipe that makes it
    again. Raises `OSError` on a full disk, and leaves nothing behind then.
    """
    rig = rig_json.rig_from_dict(request.rig)
    expected = (len(rig.cameras), request.frames, request.height, request.width, 3)
    if clips_VTHW3.shape != expected or clips_VTHW3.dtype != np.uint8:
        raise ValueError(
            f"the model returned {clips_VTHW3.dtype} {list(clips_VTHW3.shape)}, "
            f"not uint8 {list(expected)}"
        )
    part = folder / f"attempt-{attempt}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    ran = {"weights_digest": weights_digest, "placement": placement, "sampling": sampling}
    recipe = recipe_of(request, model=model, **ran)
    try:
        clips = [
            _write_clip(part, index, camera, clips_VTHW3[index], request, recipe)
            for index, camera in enumerate(rig.cameras)
        ]
        if "png" in request.outputs:
            clips += [_write_png_beside(part, clip, clips_VTHW3[clip.index]) for clip in clips]
        done = Done(
            job_id=request.job_id,
            clips=clips,
            seconds=seconds(),
            seed=request.seed,
            model=model,
            device=device,
            **ran,
        )
        write_whole(part / "result.json", msgspec.json.encode(done))
        sync_folder(part)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    os.replace(part, folder / "result")
    sync_folder(folder)
    return done


def recipe_of(
    request: GenerateRequest,
    *,
    model: str,
    weights_digest: str,
    placement: dict[str, Any],
    sampling: dict[str, Any],
) -> dict[str, Any]:
    """All that makes the clips again: the request, the weights, how they ran, the versions. No
    paths, no times, so that the same job gives the same bytes."""
    import av

    versions = {"syncam": __version__, "python": sys.version.split()[0], "av": av.__version__}
    if "torch" in sys.modules:
        versions["torch"] = sys.modules["torch"].__version__
    request = msgspec.structs.replace(request, job_id="0" * 8, priority=0)
    return {
        "request": msgspec.to_builtins(request),
        "model": model,
        "weights_digest": weights_digest,
        "placement": placement,
        "sampling": sampling,
        "versions": versions,
    }


def _write_clip(
    part: Path,
    index: int,
    camera: Any,
    frames_THW3: np.ndarray,
    request: GenerateRequest,
    recipe: dict[str, Any],
) -> ClipResult:
    name = clip_name(index, camera.name)
    write_mp4(
        part / name,
        frames_THW3,
        Fraction(*request.fps),
        {"syncam": recipe, "camera": camera.name, "index": index},
    )
    sync_file(part / name)
    fitted = fit_camera(camera, request.width, request.height, request.fit_rule)
    return ClipResult(
        camera=camera.name,
        index=index,
        digest=digest_of(part / name),
        bytes=(part / name).stat().st_size,
        frames=frames_THW3.shape[0],
        fps=tuple(request.fps),
        width=frames_THW3.shape[2],
        height=frames_THW3.shape[1],
        plate_crop=fitted.plate,
    )


def _write_png_beside(part: Path, clip: ClipResult, frames_THW3: np.ndarray) -> ClipResult:
    """A PNG sequence of the same clip: a folder, which has no digest and is not fetched."""
    name = clip_name(clip.index, clip.camera, "image/png")
    for path in write_png_sequence(part / name, frames_THW3):
        sync_file(path)
    sync_folder(part / name)
    return msgspec.structs.replace(clip, digest="", bytes=0, kind="image/png")
