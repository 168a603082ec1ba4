# SPDX-License-Identifier: Apache-2.0
"""PNGs made with zlib alone, and clips of them: read back exactly by the engine's own reader."""

from __future__ import annotations

import io
import random
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from syncam_engine.link import png

read = pytest.importorskip("syncam_engine.media.read")


def noise(seed, width=11, height=7, channels=3):
    rng = random.Random(seed)
    values = [rng.randrange(256) for _ in range(width * height * channels)]
    return np.array(values, np.uint8).reshape(height, width, channels)


def file_of(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def test_a_picture():
    pixels = noise(1)
    made = png.picture(pixels.tobytes(), 11, 7)
    assert (np.asarray(Image.open(io.BytesIO(made))) == pixels).all()
    assert png.size_of(made) == (11, 7)
    with pytest.raises(ValueError, match="not 231"):
        png.picture(b"short", 11, 7)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("count", [1, 5])
def test_files_become_a_clip(tmp_path, channels, count):
    """Files of another writer; with four channels an alpha of any value, which must not count."""
    pictures = [noise(k, channels=channels) for k in range(count)]
    path = tmp_path / "clip.png"
    path.write_bytes(png.clip([file_of(p) for p in pictures], Fraction(8)))
    clip = read.read_clip(path)
    assert len(clip.frames_THW3) == count
    for got, want in zip(clip.frames_THW3, pictures, strict=True):
        assert (got == want[..., :3]).all()
    if count > 1:
        assert clip.fps == 8
    held = read.resample(clip, 5, Fraction(8))
    assert (held[-1] == pictures[-1][..., :3]).all()


def test_large_files_become_a_clip(tmp_path):
    """More than one IDAT chunk in each file."""
    first = np.tile(noise(3, 200, 110), (10, 10, 1))
    files = [file_of(first), file_of(255 - first)]
    assert files[0].count(b"IDAT") > 1
    path = tmp_path / "clip.png"
    path.write_bytes(png.clip(files, Fraction(24000, 1001)))
    clip = read.read_clip(path)
    assert (clip.frames_THW3[1] == 255 - first).all()
    assert clip.times_s == pytest.approx((0.0, 1001 / 24000), abs=1e-5)


def test_what_is_no_clip_is_refused():
    good = file_of(noise(1))
    with pytest.raises(ValueError, match="no PNG"):
        png.clip([b"#?RADIANCE"], Fraction(8))
    with pytest.raises(ValueError, match="another size"):
        png.clip([good, file_of(noise(1, width=12))], Fraction(8))
    with pytest.raises(ValueError, match="ends early"):
        png.clip([good, good[:-20]], Fraction(8))
