# SPDX-License-Identifier: Apache-2.0
"""Does each view stand where its camera does? RotErr and TransErr of the paper (Tab. 4, App. C).

For two views: matches, relative pose from them, compared with the relative pose of the cameras.
RotErr is the angle in radians; TransErr the distance of the two unit translations, 0 to 2.
The default estimates an essential matrix (poselib); `homography` is the paper's way, ambiguous and
kept for comparison only.

Shape legend: V views, T pictures, H, W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
import poselib

from syncam_engine.evaluation.matches import Matcher, Matches, Sift

Method = Literal["essential", "homography"]
FEWEST_MATCHES = 8
REPROJECTION_PX = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairScore:
    """One pair of views at one frame. The errors are None where no pose was found."""

    first: int
    second: int
    frame: int
    matches: int
    inliers: int
    rot_err_rad: float | None
    trans_err: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraScore:
    """Means over pairs and frames whose pose was found, and the share that was."""

    rot_err_rad: float | None
    trans_err: float | None
    found: float
    matcher: str
    matches: float
    """Mean matches of a pair at a frame: not the paper's Mat. Pix., whose matcher is GIM."""
    pairs: tuple[PairScore, ...]
    provenance: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return {**{k: v for k, v in asdict(self).items() if k != "pairs"}, "count": len(self.pairs)}


def relative_cv(c2w_first_44: np.ndarray, c2w_second_44: np.ndarray) -> np.ndarray:
    """The second camera's world-to-camera seen from the first: x_2 = R x_1 + t, 4x4."""
    return np.linalg.inv(c2w_second_44) @ c2w_first_44


def pose_errors(estimated_34: np.ndarray, true_34: np.ndarray) -> tuple[float, float]:
    """(RotErr in radians, TransErr of unit translations). Zero baselines give TransErr nan."""
    cosine = (np.trace(estimated_34[:3, :3] @ true_34[:3, :3].T) - 1.0) / 2.0
    t_estimated, t_true = estimated_34[:3, 3], true_34[:3, 3]
    lengths = np.linalg.norm(t_estimated), np.linalg.norm(t_true)
    if min(lengths) < 1e-9:
        return float(np.arccos(np.clip(cosine, -1.0, 1.0))), float("nan")
    difference = t_estimated / lengths[0] - t_true / lengths[1]
    return float(np.arccos(np.clip(cosine, -1.0, 1.0))), float(np.linalg.norm(difference))


def estimate_essential(
    matches: Matches, K_first: np.ndarray, K_second: np.ndarray
) -> tuple[np.ndarray, int] | None:
    """(relative pose 3x4, inliers) by poselib's robust essential matrix, or None."""
    if len(matches) < FEWEST_MATCHES:
        return None
    pose, info = poselib.estimate_relative_pose(
        matches.a_N2,
        matches.b_N2,
        _poselib_camera(K_first),
        _poselib_camera(K_second),
        {"max_epipolar_error": REPROJECTION_PX, "max_iterations": 10000, "seed": 0},
        {},
    )
    inliers = int(info["num_inliers"])
    if inliers < FEWEST_MATCHES:
        return None
    return np.hstack([pose.R, np.asarray(pose.t).reshape(3, 1)]), inliers


def estimate_homography(
    matches: Matches, K_first: np.ndarray, K_second: np.ndarray, true_34: np.ndarray
) -> tuple[np.ndarray, int] | None:
    """The paper's way: of the 2 to 4 poses of a homography, the one nearest in rotation.

    Choosing by the truth flatters; without it the choice is arbitrary. Needs equal intrinsics.
    """
    if len(matches) < FEWEST_MATCHES:
        return None
    del K_second
    H, mask = cv2.findHomography(matches.a_N2, matches.b_N2, cv2.USAC_MAGSAC, 8.0)
    if H is None:
        return None
    _, rotations, translations, _ = cv2.decomposeHomographyMat(H, K_first)
    poses = [np.hstack([R, t]) for R, t in zip(rotations, translations, strict=True)]
    return min(poses, key=lambda pose: pose_errors(pose, true_34)[0]), int(mask.sum())


def score_cameras(
    clips_VTHW3: np.ndarray,
    K_VT33: np.ndarray,
    c2w_cv_m_VT44: np.ndarray,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    frames: Sequence[int] | None = None,
    method: Method = "essential",
    matcher: Matcher | None = None,
) -> CameraScore:
    """Score clips against their cameras; default pairs: view 0 with every other view."""
    views, count = clips_VTHW3.shape[:2]
    matcher = matcher or Sift()
    pairs = list(pairs) if pairs is not None else [(0, v) for v in range(1, views)]
    frames = list(frames) if frames is not None else list(range(count))
    scores = [
        _score_pair(clips_VTHW3, K_VT33, c2w_cv_m_VT44, a, b, t, method, matcher)
        for a, b in pairs
        for t in frames
    ]
    found = [s for s in scores if s.rot_err_rad is not None]
    placed = [s.trans_err for s in found if s.trans_err == s.trans_err]
    return CameraScore(
        rot_err_rad=float(np.mean([s.rot_err_rad for s in found])) if found else None,
        trans_err=float(np.mean(placed)) if placed else None,
        found=len(found) / len(scores),
        matcher=matcher.name,
        matches=float(np.mean([s.matches for s in scores])),
        pairs=tuple(scores),
        provenance={
            "method": method,
            "pairs": [list(pair) for pair in pairs],
            "frames": frames,
            "reprojection_px": REPROJECTION_PX if method == "essential" else 8.0,
            "fewest_matches": FEWEST_MATCHES,
            **matcher.provenance(),
        },
    )


def _score_pair(clips, K, c2w, a, b, t, method, matcher) -> PairScore:
    def at(matrices: np.ndarray, view: int) -> np.ndarray:
        return matrices[view, min(t, matrices.shape[1] - 1)].astype(np.float64)

    true = relative_cv(at(c2w, a), at(c2w, b))[:3]
    matches = matcher(clips[a, t], clips[b, t])
    K_a, K_b = at(K, a), at(K, b)
    if method == "essential":
        found = estimate_essential(matches, K_a, K_b)
    else:
        found = estimate_homography(matches, K_a, K_b, true)
    errors = pose_errors(found[0], true) if found else (None, None)
    return PairScore(
        first=a,
        second=b,
        frame=t,
        matches=len(matches),
        inliers=found[1] if found else 0,
        rot_err_rad=errors[0],
        trans_err=errors[1],
    )


def _poselib_camera(K: np.ndarray) -> dict[str, Any]:
    # Width and height do not enter a pinhole's mathematics; poselib wants them all the same.
    return {
        "model": "PINHOLE",
        "width": max(1, round(2 * K[0, 2])),
        "height": max(1, round(2 * K[1, 2])),
        "params": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]],
    }
