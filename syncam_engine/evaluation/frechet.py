# SPDX-License-Identifier: Apache-2.0
"""Frechet distance of two sets of features: the formula of FID, FVD and FVD-V.

||m1 - m2||^2 + Tr(S1 + S2 - 2 (S1 S2)^1/2). Which features (Inception, I3D), frames and reference
set make it one of those scores is for the caller to say in the provenance.

Shape legend: N samples of one set, M of the other, D features.
"""

from __future__ import annotations

import numpy as np


def frechet_distance(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """Distance of two feature sets; each needs at least two rows. Raises `ValueError`."""
    for name, features in (("first", a_ND), ("second", b_MD)):
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(
                f"the {name} feature set has shape {features.shape}; it needs N >= 2, D"
            )
    if a_ND.shape[1] != b_MD.shape[1]:
        raise ValueError(f"features of {a_ND.shape[1]} and {b_MD.shape[1]} numbers differ")
    a, b = a_ND.astype(np.float64), b_MD.astype(np.float64)
    S1, S2 = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # Eigenvalues of S1 S2 are real and not negative: both are covariances.
    roots = np.sqrt(np.clip(np.linalg.eigvals(S1 @ S2).real, 0.0, None)).sum()
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(S1) + np.trace(S2) - 2.0 * roots
    return float(max(0.0, distance))
