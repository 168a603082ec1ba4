# SPDX-License-Identifier: Apache-2.0
"""Static cameras pass, moving ones do not, and a walking subject tells the two rules apart."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from syncam_engine.cli import main
from syncam_engine.data.static_clips import StaticClips
from syncam_engine.data.static_filter import displacements_px, judge


def textured(width=420, height=240) -> np.ndarray:
    rng = np.random.default_rng(7)
    picture = np.full((height, width, 3), 120, np.uint8)
    for _ in range(700):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, centre, int(rng.integers(2, 9)), rng.integers(0, 255, 3).tolist(), -1)
    return picture


def clip(pan_px: float = 0.0, walker: bool = False, frames: int = 8) -> np.ndarray:
    wide = textured()
    pictures = []
    for k in range(frames):
        left = round(pan_px * k)
        picture = wide[:180, left : left + 320].copy()
        if walker:
            x = 30 + 12 * k
            picture[60:150, x : x + 30] = textured()[60:150, 200:230]
        pictures.append(picture)
    return np.stack(pictures)


def test_a_static_camera_has_no_displacement():
    moved = displacements_px(clip())
    assert len(moved) > 50
    assert moved.max() < 0.1


def test_a_pan_is_measured():
    moved = displacements_px(clip(pan_px=3))
    assert np.median(moved) == pytest.approx(21, abs=1.0)


def test_a_walking_subject_fails_the_papers_rule_and_passes_the_quantile():
    moved = displacements_px(clip(walker=True))
    assert not judge("a", moved, rule="all").passed
    assert judge("a", moved, rule="quantile", quantile=0.5).passed
    assert not judge("b", displacements_px(clip(pan_px=3)), rule="quantile").passed


def test_a_blank_clip_cannot_be_judged():
    flat = np.full((4, 120, 160, 3), 90, np.uint8)
    motion = judge("flat", displacements_px(flat))
    assert not motion.passed
    assert "only 0 points" in motion.reason


def write(path: Path, pictures: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(8), options={"crf": "12"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def test_the_command_writes_a_report_that_the_reader_obeys(tmp_path, capsys):
    write(tmp_path / "still.mp4", clip())
    write(tmp_path / "pan.mp4", clip(pan_px=3))
    (tmp_path / "cut.mp4").write_bytes(b"no clip")
    assert main(["data", "filter-static", str(tmp_path)]) == 0
    assert "1 of 3 clips pass" in capsys.readouterr().out
    document = json.loads((tmp_path / "static-filter.json").read_text())
    assert {c["clip"]: c["passed"] for c in document["clips"]} == {
        "still.mp4": True,
        "pan.mp4": False,
    }
    assert "cut.mp4" in document["broken"]
    assert (tmp_path / "static-filter" / "pan.mp4.jpg").is_file()
    assert [s.key for s in StaticClips(tmp_path).scenes] == ["still.mp4"]
