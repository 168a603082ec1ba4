# SPDX-License-Identifier: Apache-2.0
"""A clip is an MP4 with one video of its own, of the size and length that were told."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from syncam_engine.link import mp4
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.job_results import check_file
from syncam_engine.link.messages import ClipResult
from syncam_engine.media.write import write_mp4

SAID = {"camera": "A", "index": 0, "width": 81, "height": 46, "frames": 7}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    pictures = np.random.default_rng(5).integers(0, 255, (7, 46, 81, 3), np.uint8)
    write_mp4(path, pictures, Fraction(24000, 1001), {"recipe": "url vide moov"})
    return path


def test_a_clip_of_the_engine_is_one(clip):
    assert mp4.video_shape(clip) == (80, 46, 7)
    check_file(clip, ClipResult(**SAID))


@pytest.mark.parametrize("changes", [{"width": 96}, {"height": 48}, {"frames": 8}])
def test_another_size_or_length_is_not(clip, changes):
    with pytest.raises(SynCamError) as caught:
        check_file(clip, ClipResult(**{**SAID, **changes}))
    assert caught.value.code == "fetch.not_video"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"#EXTM3U\nfile:///etc/hostname\n",
        lambda data: b"ffconcat version 1.0\nfile /etc/hostname\n",
        lambda data: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x" * 40,
        lambda data: data[32:],
        lambda data: data.replace(b"vide", b"soun", 1),
        lambda data: data.replace(b"url \0\0\0\1", b"url \0\0\0\0"),
        lambda data: data.replace(b"avc1", b"text"),
        lambda data: data.replace(b"trak", b"free"),
        lambda data: data.replace(b"mdat", b"free"),
        lambda data: data.replace(b"stsz", b"free"),
        lambda data: data[:32] + data[32:].replace(b"\0\0\0\x6cmvhd", b"\0\0\0\x04mvhd"),
    ],
)
def test_whatever_else_is_named_so_is_not(clip, tmp_path, change):
    path = tmp_path / "b.mp4"
    path.write_bytes(change(clip.read_bytes()))
    with pytest.raises(mp4.NotVideo):
        mp4.video_shape(path)


def test_no_bytes_make_it_stumble(clip, tmp_path):
    """Any byte of the index may be wrong: it is a video of some shape, or none."""
    data, path = bytearray(clip.read_bytes()), tmp_path / "c.mp4"
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(400):
        at, kept = int(rng.integers(0, 900)), None
        kept, data[at] = data[at], int(rng.integers(0, 256))
        path.write_bytes(data)
        try:
            mp4.video_shape(path)
        except mp4.NotVideo:
            refused += 1
        data[at] = kept
    assert 0 < refused < 400
