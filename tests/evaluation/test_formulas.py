# SPDX-License-Identifier: Apache-2.0
"""Frechet distance, CLIP scores and the paper's set-ups against their definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from syncam_engine.cli import main
from syncam_engine.evaluation.clip_scores import ClipEmbedder, clip_scores
from syncam_engine.evaluation.frechet import frechet_distance
from syncam_engine.evaluation.setups import SETUPS, setup_rig
from syncam_engine.link import poses
from syncam_engine.link.rig_json import read_rig


def test_frechet_is_its_formula():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(90, 7)), rng.normal(size=(70, 7)) @ rng.normal(size=(7, 7)) + 0.4
    S1, S2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected = means + np.trace(S1 + S2 - 2 * sqrtm(S1 @ S2).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(a, a + 2.0) == pytest.approx(28.0, rel=1e-6)
    with pytest.raises(ValueError, match="N >= 2"):
        frechet_distance(a[:1], b)


class FakeClip:
    """Embeds a picture as its mean colour, a prompt as red."""

    name = "fake"

    def pictures(self, pictures_NHW3):
        means = torch.from_numpy(pictures_NHW3.reshape(len(pictures_NHW3), -1, 3).mean(1))
        return torch.nn.functional.normalize(means.float(), dim=-1)

    def prompt(self, text):
        return torch.tensor([1.0, 0.0, 0.0])


def test_clip_scores_are_cosines_of_frames_prompt_and_views():
    clips = np.zeros((2, 2, 4, 4, 3), np.uint8)
    clips[0, 0, ..., 0] = clips[0, 1, ..., 0] = 200  # red, red
    clips[1, 0, ..., 0] = 90  # red
    clips[1, 1, ..., 2] = 90  # blue
    score = clip_scores(clips, "red", FakeClip())
    assert score.clip_t == pytest.approx(75.0)
    assert score.clip_f == pytest.approx(50.0)
    assert score.clip_v == pytest.approx(50.0)
    still = clip_scores(clips[:1, :1], "red", FakeClip())
    assert (still.clip_f, still.clip_v) == (None, None)


def test_embedder_takes_a_real_clip_of_toy_size():
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    config = CLIPConfig(
        text_config={**small, "num_attention_heads": 2, "vocab_size": 20},
        vision_config={**small, "num_attention_heads": 2, "image_size": 16, "patch_size": 8},
        projection_dim=12,
    )

    class Processor:
        def __call__(self, images=None, text=None, **options):
            if images is not None:
                stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
                return {"pixel_values": stack}
            return {"input_ids": torch.tensor([[3, 5, 7]])}

    embedder = ClipEmbedder(CLIPModel(config), Processor(), "toy")
    pictures = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    found = embedder.pictures(pictures)
    assert found.shape == (5, 12)
    assert torch.allclose(found.norm(dim=-1), torch.ones(5), atol=1e-5)
    assert embedder.prompt("a dog").shape == (12,)


@pytest.mark.parametrize("name", SETUPS)
def test_neighbours_are_their_angle_apart(name):
    rig = setup_rig(name, width_px=832, height_px=480)
    step = sum(SETUPS[name])
    for a, b in pairwise(rig.cameras):
        relative = poses.relative_c2w(a.c2w_cv_m, b.c2w_cv_m)
        turned = poses.rotation_angle_deg(poses.rotation_of(relative))
        # A turn about the vertical, seen from 10 degrees up, is a little less of a turn.
        assert turned == pytest.approx(step, rel=0.02)


def test_setups_are_written(tmp_path, capsys):
    assert main(["evaluate", "rigs", "--out", str(tmp_path), "--size", "320x176"]) == 0
    assert sorted(p.stem for p in tmp_path.glob("*.json")) == sorted(SETUPS)
    assert read_rig(tmp_path / "azimuth-20.json").cameras[0].width_px == 320
    assert "5 rigs" in capsys.readouterr().out
