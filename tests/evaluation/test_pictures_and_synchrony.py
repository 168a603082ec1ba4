# SPDX-License-Identifier: Apache-2.0
"""Picture scores against their formulas, synchrony scores against clips that match or do not."""

from __future__ import annotations

import numpy as np
import pytest

from syncam_engine.evaluation.pictures import psnr_db, ssim, temporal_flickering
from syncam_engine.evaluation.synchrony import blocks, moves, retrieval_hits, time_hits


def noise_clip(seed: int, shape=(5, 32, 48, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_is_its_formula():
    a = np.full((2, 16, 16, 3), 100, np.uint8)
    assert psnr_db(a, a + 10) == pytest.approx(20 * np.log10(255 / 10))
    assert psnr_db(a, a) == 100.0
    with pytest.raises(ValueError, match="shapes"):
        psnr_db(a, a[:1])


def test_ssim_is_one_for_equal_and_falls_with_noise():
    clip = noise_clip(1)
    other = np.clip(clip.astype(int) + 60 * (noise_clip(2) > 128), 0, 255).astype(np.uint8)
    assert ssim(clip, clip) == pytest.approx(1.0)
    assert 0.3 < ssim(clip, other) < 0.95
    assert ssim(clip, noise_clip(3)) < 0.1


def test_flickering_is_vbench_formula():
    clip = np.zeros((3, 8, 8, 3), np.uint8)
    clip[1] = 51
    assert temporal_flickering(clip) == pytest.approx((255 - 51) / 255)
    with pytest.raises(ValueError, match="at least 2"):
        temporal_flickering(clip[:1])


def test_blocks_are_means():
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 8:] = 255
    picture[0, 0] = 64
    assert blocks(picture)[0, 1] == pytest.approx([1, 1, 1])
    assert blocks(picture)[0, 0, 0] == pytest.approx(64 / 64 / 255)


def test_retrieval_finds_its_own_camera_and_is_chance_for_noise():
    true = np.stack([noise_clip(i) for i in range(12)])
    soft = (0.7 * true[[3, 8]] + 40).astype(np.uint8)
    assert retrieval_hits(soft, true, [3, 8]) == [True, True]
    assert retrieval_hits(soft, true, [8, 3]) == [False, False]
    hits = [h for k in range(40) for h in retrieval_hits(noise_clip(100 + k)[None], true, [k % 12])]
    assert np.mean(hits) < 0.3


def moving_clip(step: int, background: int = 90) -> np.ndarray:
    clip = np.full((5, 32, 64, 3), background, np.uint8)
    for k in range(5):
        left = 4 + step * k
        clip[k, 8:24, left : left + 10] = 220
    return clip


def test_time_alignment_finds_the_moment_whatever_the_background():
    assert time_hits(moving_clip(9, background=30), moving_clip(9)) == [True] * 5
    # A made clip that is faint, before a wall that is bright where the box ends.
    wall = np.linspace(0, 180, 64)[:, None]
    faint = (moving_clip(9) // 4 + wall).astype(np.uint8)
    assert time_hits(faint, moving_clip(9)) == [True] * 5
    backwards = time_hits(moving_clip(9)[::-1], moving_clip(9))
    assert backwards == [False, False, True, False, False]
    assert moves(moving_clip(9))
    assert not moves(moving_clip(0))
