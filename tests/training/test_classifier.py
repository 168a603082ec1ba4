# SPDX-License-Identifier: Apache-2.0
"""The prompt classifier: labels from captions, learnt and measured by the commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from syncam_engine.cli import main
from syncam_engine.data.mixture import Mixture
from syncam_engine.data.rendered import PackedShards
from syncam_engine.preview.classifier import PromptClassifier, labels_of
from syncam_engine.preview.content import PromptContent, Tally, content_rows
from syncam_engine.preview.train_classifier import ClassifierTask
from syncam_engine.training.config_file import read_config
from tests.data.files import write_shard
from tests.data.synthetic import BoxSource

CONFIGS = Path(__file__).parents[2] / "configs"
ATTRIBUTES = {
    "colour": {"red": ["red"], "green": ["green"], "blue": ["blue"]},
    "kind": {"person": ["man", "woman"], "thing": ["box"]},
}


def test_the_first_word_that_means_a_class_is_the_label():
    assert labels_of("A green box on the blue ground", ATTRIBUTES) == [1, 1]
    assert labels_of("an old man's dog", ATTRIBUTES) == [-1, 0]
    attributes = read_config(CONFIGS / "prompt-classifier.yaml").section.attributes
    labels = labels_of("a golden dog trots across a green meadow at sunset", attributes)
    classes = [list(attributes[a])[n] for a, n in zip(attributes, labels, strict=True)]
    assert classes == ["dog", "yellow", "grass", "sunset"]
    said = labels_of("an animal stands in a snowy clearing under an overcast sky", attributes)
    classes = [
        list(attributes[a])[n] if n >= 0 else None for a, n in zip(attributes, said, strict=True)
    ]
    assert classes == [None, None, "snow", "overcast"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Boxes of three colours -> a classifier, by the commands."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("classifier")
    for name, scenes, first in (("shards", 9, 0), ("heldout", 12, 9)):
        (folder / name).mkdir()
        source = BoxSource(scenes=scenes, cameras=4, frames=1)
        source.scenes = source.scenes[first:]  # 9 is a multiple of the three colours
        write_shard(folder / name / "shard-00000.npz", source)
    config = {
        "name": "judge",
        "kind": "classifier",
        "data": {
            "sources": [{"kind": "rendered", "path": str(folder / "shards")}],
            "views": 1,
            "frames": 1,
            "width": 64,
            "height": 32,
        },
        "phases": [{"until_step": 60, "stills": 1.0, "batch": 12}],
        "classifier": {"attributes": ATTRIBUTES},
        "optim": {"learning_rate": 3e-3, "ema_decay": 0.9},
        "run": {"device": "cpu", "checkpoint_minutes": 0},
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(config))
    run = ["train", str(folder / "judge.yaml"), "--out", str(folder / "run")]
    assert main(run) == 0
    assert main([*run, "--export", str(folder / "judge")]) == 0
    return folder


def test_it_learns_what_the_captions_say(trained, capsys):
    command = ["evaluate", "classifier", str(trained / "judge"), str(trained / "heldout")]
    assert main([*command, "--out", str(trained / "report")]) == 0
    assert "colour" in capsys.readouterr().out
    found = json.loads((trained / "report" / "scores.json").read_text())
    assert found["accuracy"]["colour"] > 0.8
    assert found["accuracy"]["kind"] == 1.0
    assert found["chance"]["colour"] == pytest.approx(1 / 3)
    assert found["provenance"]["pictures"] == 12
    assert len(found["provenance"]["classifier"]) == 64


def test_wrong_colours_and_views_that_differ_are_seen(trained):
    source = PackedShards(trained / "heldout")
    content = PromptContent(trained / "judge")
    for index, scene in enumerate(source.scenes):
        clips = source.read_pictures(index, range(4), [0])
        other = source.read_pictures((index + 1) % len(source.scenes), range(4), [0])
        content.add("true", scene.captions[0], clips)
        content.add("codec", scene.captions[0], clips)
        content.add("text", scene.captions[0], np.concatenate([clips[:2], other[:2]]))
    result = content.result()
    assert result["true"]["right"]["colour"] > 0.8
    assert 0.35 < result["text"]["right"]["colour"] < 0.65
    assert result["text"]["views_agree"]["colour"] < result["true"]["views_agree"]["colour"]
    rows = content_rows(result)
    assert rows[0][0] == "colour as asked, text mode"
    assert "the classifier itself" in rows[0][2]
    assert rows[-1][0] == "views agree on them, mean"


def test_tally_counts_hits_and_the_views_that_agree():
    tally = Tally()
    tally.add(["colour", "kind"], [1, -1], np.array([[1, 0], [1, 0], [2, 0], [1, 1]]))
    assert tally.right == {"colour": [True, True, False, True]}
    assert tally.agreed == {"colour": [0.75]}
    tally.add(["colour", "kind"], [2, -1], np.array([[2, 0], [1, 0], [0, 0], [2, 1], [2, 0]]))
    assert tally.agreed == {"colour": [0.75, 0.6]}


def test_what_is_no_classifier_is_one_sentence(trained, capsys):
    command = ["evaluate", "preview", str(trained / "heldout"), "--classifier", "/nowhere"]
    assert main(command) == 2
    assert "There is no classifier at /nowhere" in capsys.readouterr().err
    change = ["--set", "classifier.attributes={colour: {red: [red]}}"]
    assert main(["train", str(trained / "judge.yaml"), *change]) == 2
    assert "attributes with two classes or more" in capsys.readouterr().err
    change = ["--set", "classifier.attributes={c: {red: [red], blue: [blue]}}"]
    run = ["--out", str(trained / "run")]
    assert main(["train", str(trained / "judge.yaml"), *change, *run]) == 2
    assert "made with another config" in capsys.readouterr().err


def test_saved_and_loaded_it_says_the_same(trained, tmp_path):
    first = PromptClassifier.load(trained / "judge")
    first.save(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=np.uint8)
    again = PromptClassifier.load(tmp_path)
    assert (first.classify(pictures) == again.classify(pictures)).all()
    assert again.attributes == ATTRIBUTES


def test_a_batch_that_names_no_class_has_a_gradient_of_zero():
    config = read_config(CONFIGS / "prompt-classifier.yaml", ["model.autoencoder=''"])
    task = ClassifierTask(config)
    net = task.build()
    scene = BoxSource(scenes=1, cameras=1, frames=1)
    sample = Mixture([(scene, 1.0)], seed=1, width_px=64, height_px=32).batch(
        task.request(config.phases[0]), step=0
    )[0]
    said, unsaid = replace(sample, caption="a red dog"), replace(sample, caption="a wet road")
    for samples, moved in (([said, unsaid], True), ([unsaid, unsaid], False)):
        loss, _ = task.loss(net, task.prepare(samples, torch.Generator()))
        net.zero_grad()
        loss.backward()
        # Every part takes part, as processes that share their gradients need it.
        assert all(p.grad is not None for p in net.parameters())
        assert any(bool(p.grad.any()) for p in net.parameters()) == moved


def test_an_attribute_that_no_caption_names_is_said(trained, capsys):
    change = ["--set", "classifier.attributes={light: {noon: [noon], night: [night]}}"]
    out = ["--out", str(trained / "none")]
    assert main(["train", str(trained / "judge.yaml"), *change, *out]) == 2
    assert "has a word of the training config's classifier.attributes.light" in (
        capsys.readouterr().err
    )
