# SPDX-License-Identifier: Apache-2.0
"""`syncam evaluate clips`: the scores of one job's clips.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from syncam_engine.data.pictures import clip_facts, read_clip_frames
from syncam_engine.data.scene import BrokenFile
from syncam_engine.evaluation.cameras import CameraScore, Method, score_cameras
from syncam_engine.evaluation.learned import (
    NOT_MEASURED,
    LearnedScore,
    learned_scores,
    not_measured,
)
from syncam_engine.evaluation.matches import Matcher, Sift
from syncam_engine.evaluation.pictures import psnr_db, ssim, temporal_flickering
from syncam_engine.link import json_text
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.fit import FIT_RULES, FitRule, fit_rig
from syncam_engine.link.rig import Rig, frames_shown
from syncam_engine.link.rig_json import read_rig
from syncam_engine.media.read import read_metadata
from syncam_engine.sampling.clips import resize

NONE_FOUND = "none found"

Pairs = Literal["anchor", "neighbours"]
"""Which views are compared: view 0 with every other, or each with the next."""


@dataclass(kw_only=True, slots=True)
class ClipScores:
    """Scores of all clips of a rig."""

    cameras: CameraScore | None
    """None for a rig of one camera."""
    temporal_flickering: float
    psnr_db: float | None = None
    ssim: float | None = None
    learned: list[LearnedScore] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    """What was left out, and which weights would give it."""
    files: list[Path] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str, str]]:
        rows = [("temporal flickering (VBench)", f"{self.temporal_flickering:.4f}", "1 is still")]
        if self.cameras:
            c = self.cameras
            rows = [
                _error("RotErr", c.rot_err_rad, "radians"),
                _error("TransErr", c.trans_err, "unit translations, 0 to 2"),
                ("pairs with a pose", f"{c.found:.2f}", f"of {len(c.pairs)} pairs and frames"),
                (f"{c.matcher} matches", f"{c.matches:.1f}", "a pair; not the paper's Mat. Pix."),
                *rows,
            ]
        if self.psnr_db is not None:
            rows.append(("PSNR", f"{self.psnr_db:.2f} dB", "against the true clips"))
            rows.append(("SSIM", f"{self.ssim:.4f}", "against the true clips"))
        rows += [score.row() for score in self.learned]
        # What was measured first; what could not be, after it.
        return sorted(rows, key=lambda row: row[1] in (NONE_FOUND, NOT_MEASURED))

    def to_dict(self) -> dict[str, Any]:
        return {
            "cameras": self.cameras.summary() if self.cameras else None,
            "temporal_flickering": self.temporal_flickering,
            "psnr_db": self.psnr_db,
            "ssim": self.ssim,
            "learned": {score.name: score.to_dict() for score in self.learned},
            "not_measured": self.not_measured,
            "provenance": {
                **(self.cameras.provenance if self.cameras else {}),
                "learned": {score.name: score.provenance for score in self.learned},
            },
        }


def score_folder(
    folder: Path,
    rig_file: Path,
    *,
    truth: Path | None = None,
    method: Method = "essential",
    every: int = 4,
    pairs: Pairs = "anchor",
    prompt: str | None = None,
    weights: Mapping[str, str] | None = None,
) -> ClipScores:
    """Score FOLDER/CAMERA.mp4 of every camera of the rig; `weights` names networks and files.

    True clips may be of the cameras' own size, rate and length, as a rendered scene's `videos` are:
    they are brought to the clips' as the cameras were.
    """
    weights = weights or {}
    rig = read_rig(rig_file)
    made = _generated(folder)
    if made:  # perhaps of some of the rig's cameras alone
        rig = rig.subset([camera.name for camera in rig.cameras if camera.name in made] or made)
    rig = rig.with_anchor_first()
    files = [clip_file(folder, camera.name) for camera in rig.cameras]
    clips, fps = _read(files)
    fps = fps or rig.fps
    rig = rig.for_clip(clips.shape[1], fps)
    if 1 < rig.frame_count < clips.shape[1]:
        raise SynCamError(
            "rig.frames",
            f"The rig's cameras have {rig.frame_count} poses at {float(rig.fps):g} a second; the "
            f"clips have {clips.shape[1]} pictures at {float(fps):g}.",
            value=rig.frame_count,
            nearest=clips.shape[1],
        )
    matcher = None
    if "efficientloftr" in weights:
        from syncam_engine.evaluation.learned_matches import EfficientLoftr

        matcher = EfficientLoftr.load(weights["efficientloftr"])
    rule = fit_rule_of(files[0])
    scores = score_clips(
        clips, rig, method=method, every=every, matcher=matcher, pairs=pairs, rule=rule
    )
    scores.files = files
    true = None
    if truth is not None:
        true = _true_clips([clip_file(truth, c.name) for c in rig.cameras], clips, fps, rule)
        pairs = list(zip(clips, true, strict=True))
        scores.psnr_db = float(np.mean([psnr_db(a, b) for a, b in pairs]))
        scores.ssim = float(np.mean([ssim(a, b) for a, b in pairs]))
    if weights:
        scores.learned = learned_scores(clips, weights, prompt=prompt, truth_VTHW3=true)
    scores.not_measured = not_measured(weights)
    return scores


def score_clips(
    clips_VTHW3: np.ndarray,
    rig: Rig,
    *,
    method: Method = "essential",
    every: int = 4,
    matcher: Matcher | None = None,
    pairs: Pairs = "anchor",
    rule: FitRule = "crop",
) -> ClipScores:
    """Score clips of a rig, anchor first; cameras of another size are fitted by `rule`."""
    _, count, height, width, _ = clips_VTHW3.shape
    fitted = fit_rig(rig, width, height, rule).cameras
    cameras = None
    if len(fitted) > 1:
        K = np.array([[c.K_at(k) for k in range(count)] for c in fitted])
        c2w = np.array([[c.c2w_cv_m_at(k) for k in range(count)] for c in fitted])
        cameras = score_cameras(
            clips_VTHW3,
            K,
            c2w,
            pairs=[(v - 1 if pairs == "neighbours" else 0, v) for v in range(1, len(fitted))],
            frames=list(range(0, count, every)),
            method=method,
            matcher=matcher or Sift(),
        )
    flickering = float(np.mean([temporal_flickering(clip) for clip in clips_VTHW3]))
    return ClipScores(cameras=cameras, temporal_flickering=flickering)


def fit_rule_of(path: Path) -> FitRule:
    """How the cameras of a job were fitted to its clips, as the clip's own recipe says; "crop", the
    default of jobs, where it says nothing."""
    try:
        rule = read_metadata(path)["syncam"]["request"]["fit_rule"]
    except (KeyError, TypeError):
        return "crop"
    return rule if rule in FIT_RULES else "crop"


def clip_file(folder: Path, name: str) -> Path:
    """The clip of a camera: FOLDER/NAME.mp4, what a `syncam generate` wrote there for it, or that
    of a rendered scene.

    Raises `SynCamError` that names it.
    """
    path = folder / f"{name}.mp4"
    if not path.is_file():
        path = _generated(folder).get(name, path)
    if not path.is_file() and (folder / "videos").is_dir():
        path = folder / "videos" / f"{name}.mp4"
    if not folder.is_dir():
        raise SynCamError("clip.missing", f"There is no folder {folder}.", value=str(folder))
    if not path.is_file():
        raise SynCamError("clip.missing", f"Camera {name} has no clip at {path}.", value=str(path))
    return path


def _generated(folder: Path) -> dict[str, Path]:
    """Camera to clip, as the result.json of `syncam generate` says; {} where there is none."""
    try:
        clips = json_text.loads((folder / "result.json").read_text("utf-8"))["clips"]
        return {
            clip["camera"]: folder / Path(clip["path"]).name
            for clip in clips
            if clip["kind"] == "video/mp4"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _true_clips(
    files: list[Path], clips_VTHW3: np.ndarray, fps: Fraction, rule: FitRule
) -> np.ndarray:
    """The true clips as the clips are: their times, their size, fitted as their cameras were."""
    frames, height, width = clips_VTHW3.shape[1:4]
    true = []
    try:
        for path in files:
            count, *_, rate = clip_facts(path)
            shown = frames_shown(frames, _exact(rate) or fps, fps)
            if shown[-1] >= count:
                raise SynCamError(
                    "clip.short",
                    f"The true clip {path} has {count} pictures; the {frames} of the clips at "
                    f"{float(fps):g} a second need {shown[-1] + 1}.",
                    value=count,
                    nearest=shown[-1] + 1,
                )
            true.append(resize(read_clip_frames(path, shown), width, height, rule))
    except BrokenFile as error:
        raise SynCamError("clip.broken", f"The clip {error}.", value=error.path) from error
    return np.stack(true)


def _exact(rate: float) -> Fraction:
    """A clip's rate as a fraction of small numbers; 0 for a clip that does not say it."""
    return Fraction(rate).limit_denominator(1001)


def _read(files: list[Path]) -> tuple[np.ndarray, Fraction]:
    """Clips VTHW3 of one size and their rate; all are as long as the shortest."""
    try:
        facts = [clip_facts(path) for path in files]
        count, (width, height) = min(frames for frames, *_ in facts), facts[0][1:3]
        for path, (_, *size, _) in zip(files, facts, strict=True):
            if size != [width, height]:
                raise SynCamError(
                    "clip.size",
                    f"The clip {path} is {size[0]}x{size[1]}, {files[0].name} is "
                    f"{width}x{height}; clips of one rig are of one size.",
                    value=size,
                    nearest=[width, height],
                )
        if count < 2:
            raise SynCamError(
                "clip.short",
                f"The clips have {count} picture; scores of them need 2 at least.",
                value=count,
                nearest=2,
            )
        clips = np.stack([read_clip_frames(path, range(count)) for path in files])
        return clips, _exact(facts[0][3])
    except BrokenFile as error:
        raise SynCamError("clip.broken", f"The clip {error}.", value=error.path) from error


def _error(name: str, value: float | None, unit: str) -> tuple[str, str, str]:
    if value is None:
        return name, NONE_FOUND, "no pair had enough matches for a pose"
    return name, f"{value:.4f}", unit
