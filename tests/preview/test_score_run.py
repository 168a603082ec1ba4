# SPDX-License-Identifier: Apache-2.0
"""The preview's evaluation by its commands, with a tiny random model: that it is written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from syncam_engine.cli import main
from syncam_engine.preview.classifier import PromptClassifier
from syncam_engine.preview.score_run import generator_of
from syncam_engine.sampling.pipeline import load_pipeline
from tests.data.files import write_shard
from tests.data.synthetic import BoxSource
from tests.sampling.tiny import write_tiny


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("heldout")
    write_shard(
        folder / "shard-00000.npz", BoxSource(scenes=2, cameras=5, frames=5, size=(160, 96))
    )
    (folder / "tiny").mkdir()
    return folder, write_tiny(folder / "tiny")


def test_scores_page_and_sheets_are_written(held_out, tmp_path, capsys):
    folder, preset = held_out
    arguments = ["evaluate", "preview", str(folder), "--preset", str(preset), "--out"]
    assert main([*arguments, str(tmp_path), "--scenes", "2", "--steps", "1"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["scenes"] == 2
    assert scores["retrieval_chance"] == pytest.approx(0.2)
    assert scores["provenance"]["steps"] == 1
    assert len(scores["provenance"]["weights"]) >= 16
    assert scores["psnr_copy_db"] > scores["psnr_text_db"]
    assert scores["psnr_codec_db"] < 40.0  # that of an autoencoder that has learnt nothing
    assert sorted(p.name for p in tmp_path.glob("scene-*.png")) == ["scene-00.png", "scene-01.png"]
    assert "scene-01.png" in (tmp_path / "index.html").read_text()
    assert "camera retrieval" in capsys.readouterr().out


def test_steps_stand_against_scores_with_what_the_prompt_asked_for(held_out, tmp_path, capsys):
    folder, preset = held_out
    torch.manual_seed(2)
    colours = {"red": ["red"], "green": ["green"], "blue": ["blue"]}
    PromptClassifier({"colour": colours}).save(tmp_path / "judge")
    arguments = ["evaluate", "preview", str(folder), "--preset", str(preset), "--scenes", "1"]
    arguments += ["--classifier", str(tmp_path / "judge"), "--out", str(tmp_path / "report")]
    assert main([*arguments, "--steps", "1,2"]) == 0
    said = capsys.readouterr().out
    assert "PSNR, reference" in said
    assert "CPU s a scene" in said
    document = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert [score["steps"] for score in document["by_steps"]] == [1, 2]
    assert all(score["cpu_s_a_scene"] > 0 for score in document["by_steps"])
    content = document["by_steps"][0]["prompt_content"]
    assert set(content) == {"classifier", "gate", "true", "codec", "text", "reference", "chance"}
    assert main([*arguments, "--steps", "few"]) == 2
    assert "--steps is 'few'; it must be N or N,N" in capsys.readouterr().err


def test_sheet_has_a_row_for_each_seed(held_out, tmp_path):
    folder, preset = held_out
    out = tmp_path / "docs" / "sheet.png"
    arguments = ["evaluate", "sheet", str(folder), "--preset", str(preset), "--out", str(out)]
    assert main([*arguments, "--samples", "3", "--steps", "1"]) == 0
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 3 * 160, 3 * (96 + 12))
        assert np.asarray(sheet).std() > 5


def test_options_and_scenes_that_cannot_be_are_one_sentence(held_out, tmp_path, capsys):
    folder, preset = held_out
    small = tmp_path / "small"
    small.mkdir()
    write_shard(small / "shard-0.npz", BoxSource(scenes=1, cameras=5, frames=5, size=(64, 32)))
    scores = ["evaluate", "preview", str(folder), "--preset", str(preset)]
    sheet = ["evaluate", "sheet", str(folder), "--preset", str(preset), "--out"]
    for command, words in (
        ([*scores, "--steps", "0,2"], "--steps is '0,2'"),
        ([*scores, "--seed", "-1"], "--seed is -1"),
        ([*scores, "--threads", "0"], "--threads is 0"),
        ([*sheet, str(tmp_path / "a.png"), "--steps", "0"], "--steps is 0"),
        ([*sheet, str(tmp_path)], "it must end in .jpg"),
        ([*scores[:2], str(small), *scores[3:], "--steps", "1"], "is 64x32; the preset makes"),
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said


def test_of_16_pictures_13_are_scored_and_chance_is_each_scenes_own(held_out, tmp_path, capsys):
    _, preset = held_out
    for cameras in (5, 10):
        source = BoxSource(scenes=1, cameras=cameras, frames=16, size=(160, 96))
        write_shard(tmp_path / f"shard-{cameras}.npz", source)
    scores = ["evaluate", "preview", str(tmp_path), "--preset", str(preset), "--steps", "1"]
    assert main([*scores, "--out", str(tmp_path / "report")]) == 0
    found = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert found["provenance"]["frames"] == 13
    assert found["retrieval_chance"] == pytest.approx((1 / 5 + 1 / 10) / 2)


def test_each_mode_is_asked_with_the_presets_own_scales(tmp_path):
    source = BoxSource(scenes=1, cameras=3, frames=5, size=(160, 96))
    reference = source.read_pictures(0, [0], range(5))[0]
    made = {}
    for text_scale, of_reference in ((2.0, 2.0), (2.0, 6.0), (6.0, 2.0)):
        folder = tmp_path / f"{text_scale}-{of_reference}"
        folder.mkdir()
        scales = {"guidance_scale": text_scale, "reference_text_scale": of_reference}
        pipeline = load_pipeline(str(write_tiny(folder, **scales)), "cpu")
        generate = generator_of(pipeline, frames=5, steps=2)
        for mode, clip in (("text", None), ("reference", reference)):
            made[mode, text_scale, of_reference] = generate(
                source.scenes[0], [0, 1], "a red dog", 3, clip
            )
    assert np.array_equal(made["text", 2.0, 2.0], made["text", 2.0, 6.0])
    assert not np.array_equal(made["text", 2.0, 2.0], made["text", 6.0, 2.0])
    assert not np.array_equal(made["reference", 2.0, 2.0], made["reference", 2.0, 6.0])
    assert np.array_equal(made["reference", 2.0, 2.0], made["reference", 6.0, 2.0])
