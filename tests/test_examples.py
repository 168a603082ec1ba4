# SPDX-License-Identifier: Apache-2.0
"""The example of the library makes clips, one for each camera, on the packaged weights."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np

from syncam_engine.media.read import read_clip

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "generate_clips.py"


def test_the_library_in_one_page(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("generate_clips", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    out = tmp_path / "clips"
    example.main(["--out", str(out), "--cameras", "3", "--frames", "5", "--steps", "1"])
    assert capsys.readouterr().out.count("wrote") == 3
    clips = [read_clip(path) for path in sorted(out.iterdir())]
    assert [path.name for path in sorted(out.iterdir())] == [f"camera_{k}.mp4" for k in (1, 2, 3)]
    assert all(clip.frames_THW3.shape == (5, 96, 160, 3) for clip in clips)
    assert all(clip.fps == Fraction(15) for clip in clips)
    assert not np.array_equal(clips[0].frames_THW3, clips[1].frames_THW3)
