# SPDX-License-Identifier: Apache-2.0
"""Static cameras pass, moving ones do not, and a walking subject tells the two rules apart."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest
import torch

from syncam_engine.cli import main
from syncam_engine.data.point_tracks import (
    CoTracker,
    SamPoints,
    corner_points,
    mask_centres,
    track_klt,
)
from syncam_engine.data.static_clips import StaticClips
from syncam_engine.data.static_filter import displacements_px, judge
from syncam_engine.link.errors import SynCamError


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


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    """A SAM of toy size with random weights, in a folder as on the hub."""
    from transformers import SamConfig, SamImageProcessorPil, SamModel

    torch.manual_seed(2)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sam")
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "num_pos_feats": 8,
            "window_size": 2,
            "global_attn_indexes": [0],
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    SamModel(config).save_pretrained(folder)
    SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    ).save_pretrained(folder)
    return folder


def test_sam_gives_points_inside_the_picture(sam):
    points = SamPoints.load(str(sam))(clip(frames=1)[0])
    assert 0 < len(points) <= 64
    assert (points >= 0).all()
    assert (points < [320, 180]).all()


def test_masks_are_counted_once_and_a_rings_centre_lies_on_it():
    y, x = np.mgrid[0:60, 0:80]
    disc = (x - 20) ** 2 + (y - 30) ** 2 < 100
    nearly = (x - 21) ** 2 + (y - 30) ** 2 < 100
    distance = (x - 55) ** 2 + (y - 30) ** 2
    ring = (distance < 300) & (distance > 120)
    masks = np.stack([nearly, disc, ring, np.zeros_like(disc)])
    centres = mask_centres(masks, np.array([0.5, 0.9, 0.7, 0.8]))
    assert centres[0].tolist() == [20, 30]
    assert len(centres) == 2
    assert ring[int(centres[1, 1]), int(centres[1, 0])]


def stand_in_cotracker(monkeypatch):
    """A `cotracker` package whose predictor follows points as Lucas-Kanade does."""

    class Predictor:
        def __init__(self, checkpoint):
            assert Path(checkpoint).is_file()

        def __call__(self, video, queries):
            assert video.shape[2] == 3
            assert (queries[..., 0] == 0).all()
            pictures = video[0].permute(0, 2, 3, 1).to(torch.uint8).numpy()
            tracks = torch.from_numpy(track_klt(pictures, queries[0, :, 1:].numpy()))[None]
            visible = torch.ones(tracks.shape[:3], dtype=torch.bool)
            visible[0, -1, 0] = False  # one point is lost in the last frame
            return tracks, visible

    package, module = ModuleType("cotracker"), ModuleType("cotracker.predictor")
    module.CoTrackerPredictor = Predictor
    monkeypatch.setitem(sys.modules, "cotracker", package)
    monkeypatch.setitem(sys.modules, "cotracker.predictor", module)


def test_the_papers_way_runs_with_sam_and_cotracker(sam, tmp_path, monkeypatch, capsys):
    write(tmp_path / "still.mp4", clip())
    write(tmp_path / "pan.mp4", clip(pan_px=3))
    (tmp_path / "tracker.pth").write_bytes(b"weights")
    stand_in_cotracker(monkeypatch)
    monkeypatch.setattr("syncam_engine.data.static_filter.FEWEST_POINTS", 1)
    command = ["data", "filter-static", str(tmp_path), "--sam", str(sam)]
    tracker = ["--cotracker", str(tmp_path / "tracker.pth"), "--accept-licence", "CC-BY-NC-4.0"]
    assert main([*command, *tracker]) == 0
    document = json.loads((tmp_path / "static-filter.json").read_text())
    assert document["tracker"] == f"SAM {sam}, CoTracker tracker.pth"
    passed = {c["clip"]: c["passed"] for c in document["clips"]}
    assert passed == {"still.mp4": True, "pan.mp4": False}


def test_a_lost_point_is_left_out(tmp_path, monkeypatch):
    stand_in_cotracker(monkeypatch)
    (tmp_path / "t.pth").write_bytes(b"weights")
    tracker = CoTracker.load(tmp_path / "t.pth", "CC-BY-NC-4.0")
    points = corner_points(clip()[0])
    assert tracker(clip(), points).shape[1] == track_klt(clip(), points).shape[1] - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sam", "/nowhere"], "The SAM weights /nowhere cannot be loaded"),
        (["--cotracker", "x.pth"], "to accept that, say --accept-licence CC-BY-NC-4.0"),
        (
            ["--cotracker", "x.pth", "--accept-licence", "CC-BY-NC-4.0"],
            "CoTracker is not installed",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.setitem(sys.modules, "cotracker", None)
    assert main(["data", "filter-static", str(tmp_path), *options]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert main(["data", "filter-static", str(tmp_path)]) == 2
    assert "has no clip in it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(["data", "filter-static", str(tmp_path / "absent")]) == 2
    assert "is not there" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    stand_in_cotracker(monkeypatch)
    with pytest.raises(SynCamError, match=r"checkpoint .*x\.pth is not there"):
        CoTracker.load(tmp_path / "x.pth", "CC-BY-NC-4.0")
