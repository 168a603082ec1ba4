# SPDX-License-Identifier: Apache-2.0
"""The scores that need networks: by their formulas, and by the commands with toy weights."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from syncam_engine.cli import main
from syncam_engine.evaluation import networks, vbench
from syncam_engine.evaluation.features import view_sequence
from syncam_engine.evaluation.frechet import frechet_distance
from syncam_engine.evaluation.learned_matches import EfficientLoftr
from syncam_engine.evaluation.lpips import HEADS, Lpips, lpips
from syncam_engine.link.rig_json import write_rig
from syncam_engine.preview.score_run import rig_of
from tests.data.synthetic import BoxSource
from tests.evaluation import toy_networks as toy
from tests.evaluation.test_clips import write_clip as write_mp4


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """NAME -> PLACE of every network, of toy size."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("networks")
    head = torch.nn.Linear(12, 1)
    torch.save(head.state_dict(), folder / "head.pth")
    return {
        "clip": toy.write_clip(folder / "clip"),
        "clip-aesthetic": folder / "clip",
        "dino": toy.write_dino(folder / "dino"),
        "aesthetic": folder / "head.pth",
        "amt": toy.write_script(toy.Between(), folder / "amt.pt"),
        "musiq": toy.write_script(toy.Brightness(), folder / "musiq.pt"),
        "lpips-alex": toy.write_alexnet(folder / "alexnet.pth"),
        "efficientloftr": toy.write_loftr(folder / "loftr"),
        "inception": toy.write_script(toy.Inception(), folder / "inception.pt"),
        "i3d": toy.write_script(toy.I3D(), folder / "i3d.pt"),
    }


def options(places, names) -> list[str]:
    return [text for name in names for text in ("--weights", f"{name}={places[name]}")]


def write_job(folder, number: int, frames: int = 12):
    """One job's clips of two cameras, and its rig."""
    source = BoxSource(scenes=number + 1, cameras=2, frames=frames)
    rig = rig_of(source.scenes[number], [0, 1])
    clips = source.read_pictures(number, [0, 1], range(frames))
    for camera, clip in zip(rig.cameras, clips, strict=True):
        write_mp4(folder / f"{camera.name}.mp4", clip)
    return rig


@pytest.fixture(scope="module")
def scored(places, tmp_path_factory):
    """`syncam evaluate clips` with every network that it knows."""
    folder = tmp_path_factory.mktemp("job")
    rig = write_rig(write_job(folder / "clips", 0), folder / "rig.json")
    write_job(folder / "truth", 0)
    names = [name for name in networks.OF_CLIPS if name != "lpips-vgg"]
    command = ["evaluate", "clips", str(folder / "clips"), "--rig", str(rig), "--prompt"]
    command += ["a red box", "--truth", str(folder / "truth"), "--out", str(folder / "report")]
    assert main([*command, *options(places, names)]) == 0
    return folder


def test_every_score_stands_with_its_provenance(scored):
    scores = json.loads((scored / "report" / "scores.json").read_text())
    learned = scores["learned"]
    assert set(learned) == {
        "CLIP-T",
        "CLIP-F",
        "CLIP-V",
        "LPIPS (AlexNet)",
        "subject consistency (VBench)",
        "background consistency (VBench)",
        "aesthetic quality (VBench)",
        "motion smoothness (VBench)",
        "imaging quality (VBench)",
    }
    for score in learned.values():
        assert np.isfinite(score["value"])
        assert len(score["provenance"]["digest"]) == 64
        assert "not run with real weights" in score["provenance"]["note"]
    # The clips are their own truth here, and six of Table 7 with the one that needs no network.
    assert learned["LPIPS (AlexNet)"]["value"] == 0.0
    assert 0.9 < scores["temporal_flickering"] <= 1.0
    assert scores["cameras"]["matcher"] == "EfficientLoFTR"
    assert scores["provenance"]["matcher"] == "efficientloftr"
    assert scores["provenance"]["threshold"] == 0.2
    assert list(scores["not_measured"]) == ["LPIPS (VGG)"]
    page = (scored / "report" / "index.html").read_text()
    assert "CLIP-V" in page
    assert "../clips/cam02.mp4" in page


def test_what_no_network_was_named_for_is_said(scored, capsys):
    command = ["evaluate", "clips", str(scored / "clips"), "--rig", str(scored / "rig.json")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "RotErr" in said
    assert "SIFT matches" in said
    assert re.search(
        r"\nnot measured:\n(.*\n)*  VBench subject consistency: --weights dino=PLACE", said
    )


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("clip=/nowhere", "The clip weights /nowhere cannot be loaded"),
        ("lpips-alex=/nowhere.pth", "The lpips-alex weights /nowhere.pth are not there"),
        ("gim=x", "--weights gim=x is not NAME=PLACE with a NAME of clip, dino"),
        ("amt={alex}", "is not a TorchScript file"),
        ("lpips-vgg={alex}", "does not fit the lpips-vgg network: features"),
        ("lpips-alex={amt}", "is not a file of tensors"),
        ("aesthetic={head}", "--weights clip-aesthetic=PLACE is missing"),
    ],
)
def test_weights_that_cannot_be_used_are_one_sentence(scored, places, capsys, weights, words):
    filled = weights.format(alex=places["lpips-alex"], amt=places["amt"], head=places["aesthetic"])
    command = ["evaluate", "clips", str(scored / "clips"), "--rig", str(scored / "rig.json")]
    assert main([*command, "--weights", filled]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_truth_of_another_length_is_one_sentence(scored, tmp_path, capsys):
    write_job(tmp_path, 0, frames=9)
    command = ["evaluate", "clips", str(scored / "clips"), "--rig", str(scored / "rig.json")]
    assert main([*command, "--truth", str(tmp_path)]) == 2
    said = "cam01.mp4 has 9 pictures; the 12 of the clips at 15 a second need 12."
    assert said in capsys.readouterr().err


def test_sets_have_their_frechet_distances(places, tmp_path, capsys):
    for name, numbers in (("made", (0, 1, 2)), ("truth", (3, 4, 5))):
        for number in numbers:
            write_job(tmp_path / name / f"job{number}", number)
    command = ["evaluate", "sets", str(tmp_path / "made"), "--truth"]
    out = ["--out", str(tmp_path / "report"), *options(places, networks.OF_SETS)]
    assert main([*command, str(tmp_path / "truth"), *out]) == 0
    document = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert set(document["scores"]) == {"FID", "FVD", "FVD-V"}
    assert document["scores"]["FID"]["provenance"]["vectors"] == [18, 18]
    assert document["scores"]["FVD"]["provenance"]["vectors"] == [6, 6]
    assert document["scores"]["FVD-V"]["provenance"]["vectors"] == [9, 9]
    assert "held" in document["scores"]["FVD-V"]["provenance"]["views_as_video"]
    for score in document["scores"].values():
        assert score["value"] > 0.1
        assert "not run with real weights" in score["provenance"]["note"]
    assert "job1" in (tmp_path / "report" / "index.html").read_text()
    assert main([*command, str(tmp_path / "made"), *out]) == 0
    document = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert [round(s["value"], 3) for s in document["scores"].values()] == [0.0, 0.0, 0.0]
    capsys.readouterr()
    assert main([*command, str(tmp_path / "truth")]) == 2
    assert "give --weights inception=PLACE" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "made" / "job1"), *out]) == 2
    assert "has 1 folders of clips" in capsys.readouterr().err


def test_fid_is_the_distance_of_the_networks_features(places):
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8) // k for k in (1, 2)]
    network = networks.from_script("inception", str(places["inception"]))
    mix = network.mix.numpy().astype(np.float64)
    from syncam_engine.evaluation.features import picture_features

    expected = frechet_distance(*(p.reshape(40, -1, 3).mean(1) @ mix for p in pictures))
    found = frechet_distance(*(picture_features(network, p) for p in pictures))
    assert found == pytest.approx(expected, rel=1e-3)


def test_views_of_a_moment_are_held_to_sixteen_frames():
    clips = np.arange(4)[:, None, None, None, None] * np.ones((4, 3, 2, 2, 3), int)
    clips[:, 1] += 10
    video = view_sequence(clips, 1)
    assert video[:, 0, 0, 0].tolist() == [10] * 4 + [11] * 4 + [12] * 4 + [13] * 4
    assert len(view_sequence(clips[:3], 0)) == 18


def test_lpips_is_its_formula(places):
    network = Lpips.load("alex", str(places["lpips-alex"]))
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (2, 64, 80, 3), dtype=np.uint8) for _ in range(2))
    tensors = torch.load(places["lpips-alex"], weights_only=True)
    heads = torch.load(HEADS / "alex.pth", map_location="cpu", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]

    def layers(pictures):
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 127.5 - 1.0
        x = (x - shift) / scale
        for number, (index, stride, pad) in enumerate(
            [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]
        ):
            if number in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            weight, bias = (tensors[f"features.{index}.{k}"].double() for k in ("weight", "bias"))
            x = functional.conv2d(x, weight, bias, stride, pad).relu()
            yield x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)

    expected = 0.0
    for number, (x, y) in enumerate(zip(layers(a), layers(b), strict=True)):
        weight = heads[f"lin{number}.model.1.weight"].double()
        expected += functional.conv2d((x - y) ** 2, weight).mean(dim=(1, 2, 3))
    assert lpips(network, a, b) == pytest.approx(float(expected.mean()), rel=1e-5)
    assert lpips(network, a, a) == 0.0


def test_vgg_trunk_has_torchvisions_names():
    found = {k for k in Lpips("vgg").state_dict() if k.endswith("weight") and "features" in k}
    numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert found == {f"features.{k}.weight" for k in numbers}
    assert [h.in_channels for h in Lpips("vgg").heads] == [64, 128, 256, 512, 512]


def test_consistency_is_vbench_formula():
    rng = np.random.default_rng(1)
    f = rng.normal(size=(5, 7))
    unit = f / np.linalg.norm(f, axis=1, keepdims=True)
    expected = np.mean(
        [0.5 * (max(0, unit[i] @ unit[i - 1]) + max(0, unit[i] @ unit[0])) for i in range(1, 5)]
    )
    assert vbench.consistency(torch.from_numpy(f)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="at least 2 frames"):
        vbench.consistency(torch.ones(1, 3))


@pytest.mark.parametrize("frames", [4, 5])
def test_motion_smoothness_drops_and_interpolates_every_second_frame(places, frames):
    network = networks.from_script("amt", str(places["amt"]))
    ramp = np.arange(frames)[:, None, None, None] * np.full((1, 20, 24, 3), 10)
    assert vbench.motion_smoothness(network, ramp.astype(np.uint8)) == pytest.approx(1.0)
    ramp[1] += 51  # one dropped frame is off by 51: of one or two pairs
    score = vbench.motion_smoothness(network, ramp.astype(np.uint8))
    assert score == pytest.approx(1.0 - 0.2 / ((frames - 1) // 2))


def test_imaging_and_aesthetic_quality_are_scaled_as_vbench_does(places):
    network = networks.from_script("musiq", str(places["musiq"]))
    clip = np.full((2, 300, 700, 3), 102, np.uint8)
    assert vbench.imaging_quality(network, clip) == pytest.approx(0.4)
    head = vbench.AestheticHead.load(str(places["aesthetic"]))
    features = functional.normalize(torch.randn(4, 12), dim=-1)
    expected = (features @ head.weight[0] + head.bias).mean() / 10
    assert head.score(features) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_learned_matches_are_pairs(places):
    matcher = EfficientLoftr.load(str(places["efficientloftr"]), threshold=0.0)
    # Cell i of the first picture belongs to cell i + 2 of the second, the last to none.
    scores = torch.zeros(6, 6)
    for cell in range(5):
        scores[cell, (cell + 2) % 6] = 0.9 - 0.1 * cell
    cells, values = matcher.model._get_matches_from_scores(scores.view(1, 2, 3, 2, 3))
    assert cells[0].tolist() == [[0, 1, 2, 3, 4, -1], [2, 3, 4, 5, 0, -1]]
    assert values[0, 0].tolist() == values[0, 1].tolist()
    assert values[0, 0, :3].tolist() == pytest.approx([0.9, 0.8, 0.7])

    # The toy finds hardly anything; what it finds lies in the picture's own pixels.
    pictures = np.random.default_rng(0).integers(0, 256, (2, 128, 288, 3), dtype=np.uint8)
    found = matcher(*pictures)
    assert found.a_N2.shape == found.b_N2.shape == (len(found), 2)
    assert len(EfficientLoftr.load(str(places["efficientloftr"]), threshold=1.1)(*pictures)) == 0

    def known(pixel_values):
        assert pixel_values.shape == (1, 2, 3, 64, 96)
        points = torch.tensor([[[0.0, 0.0], [0.5, 0.25]], [[0.25, 0.5], [0.75, 0.75]]])
        return SimpleNamespace(
            keypoints=points[None],
            matches=torch.tensor([[[0, 1], [3, 4]]]),
            matching_scores=torch.tensor([[[0.9, 0.3], [0.9, 0.3]]]),
        )

    matcher.model = known
    found = matcher(*pictures)  # 288x128 seen as 96x64: pixel k's centre is at (k + 0.5) x 3
    assert found.a_N2.tolist() == [[1.5, 1.0], [145.5, 33.0]]
    assert found.b_N2.tolist() == [[73.5, 65.0], [217.5, 97.0]]
    matcher.threshold = 0.5
    assert len(matcher(*pictures)) == 1


def test_digest_follows_the_tensors():
    torch.manual_seed(1)
    layer = torch.nn.Linear(3, 2)
    first = networks.digest_of(layer)
    assert first == networks.digest_of(layer)
    with torch.no_grad():
        layer.bias[0] += 1e-3
    assert networks.digest_of(layer) != first
