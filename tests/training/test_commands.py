# SPDX-License-Identifier: Apache-2.0
"""From rendered shards to a preset that makes clips, by the commands that a person types."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from syncam_engine.cli import main
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import GenerateRequest
from syncam_engine.link.rig_json import rig_to_dict
from syncam_engine.model.presets import Preset
from syncam_engine.preview.score_run import rig_of
from syncam_engine.sampling.pipeline import load_pipeline
from syncam_engine.service.catalog import read_catalog
from syncam_engine.training.config_file import read_config
from tests.data.files import write_shard
from tests.data.synthetic import BoxSource

SIZE = {"width": 64, "height": 32}
SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 1,
    "ffn_dim": 48,
    "in_channels": 6,
    "text_dim": 32,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Shards -> autoencoder -> latents -> model, all through the command line."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("commands")
    shards = folder / "shards"
    shards.mkdir()
    write_shard(shards / "shard-00000.npz", BoxSource(scenes=4, cameras=4, frames=5))
    rendered = {"kind": "rendered", "path": str(shards)}
    autoencoder = {
        "name": "ae",
        "kind": "autoencoder",
        "data": {"sources": [rendered], "views": 2, "frames": 5, **SIZE},
        "phases": [{"until_step": 6, "stills": 0.5}],
        "autoencoder": {"z_channels": 6, "width": 16, "encoder_blocks": 1, "decoder_blocks": 1,
                        "pca_clips": 4},
        "run": {"device": "cpu", "sheet_steps": 6},
    }  # fmt: skip
    latents = {"kind": "latents", "path": str(folder / "latents")}
    model = {
        "name": "mv",
        "data": {"sources": [latents], "views": 2, "frames": 5, **SIZE},
        "phases": [{"until_step": 6, "stills": 0.5}],
        "model": {
            "transformer": SMALL,
            "autoencoder": str(folder / "coder"),
            "fps": 11,
            "licence": "MIT",
            "envelope": {"fps": [11.0, 11.0], "distance_m": [1.0, 2.0]},
        },
        "flow": {"prediction": "x0"},
        "optim": {"ema_decay": 0.9},
        "run": {"device": "cpu", "sheet_steps": 6},
    }
    for name, config in (("ae", autoencoder), ("mv", model)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    run = ["train", str(folder / "ae.yaml"), "--out", str(folder / "ae-run")]
    assert main(run) == 0
    assert main([*run, "--export", str(folder / "coder")]) == 0
    encode = ["data", "latents", "rendered", str(shards), "--size", "64x32"]
    encode += ["--out", str(folder / "latents"), "--autoencoder", str(folder / "coder")]
    assert main(encode) == 0
    run = ["train", str(folder / "mv.yaml"), "--out", str(folder / "mv-run")]
    assert main([*run, "--until", "3"]) == 0
    assert main(run) == 0
    assert main([*run, "--export", str(folder / "preset")]) == 0
    return folder


def test_run_leaves_checkpoints_curves_log_and_sheets(trained):
    run = trained / "mv-run"
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == [
        "step-00000003",
        "step-00000006",
    ]
    assert list((run / "curves").iterdir())
    for sheets in (run / "sheets", trained / "ae-run" / "sheets"):
        with Image.open(sheets / "step-00000006.png") as sheet:
            assert np.asarray(sheet).std() > 10


def test_exported_preset_makes_clips_wherever_it_is_moved(trained, tmp_path):
    names = {p.name for p in (trained / "preset").iterdir()}
    assert names == {
        "preset.json",
        "transformer.safetensors",
        "autoencoder.safetensors",
        "text_encoder.safetensors",
        "vocabulary.json",
    }
    preset = json.loads((trained / "preset" / "preset.json").read_text())
    assert preset["fps"] == 11
    assert preset["envelope"]["distance_m"] == [1.0, 2.0]
    # Outside the package the preset is the run's own, and names the folder that it lies in.
    assert preset["source"] == {"kind": "package", "base": ".", "mvs_file": "", "licence": "MIT"}
    assert (preset["name"], preset["title"]) == ("mv", "mv, 6 steps of training")
    path = tmp_path / "moved" / "preset.json"
    shutil.copytree(trained / "preset", path.parent)
    pipeline = load_pipeline(str(path), "cpu")
    scene = BoxSource(scenes=1, size=(160, 96)).scenes[0]
    request = GenerateRequest(
        rig=rig_to_dict(rig_of(scene, [0, 1, 2])),
        prompt="a red box",
        steps=2,
        guidance_scale=2.0,
        width=160,
        height=96,
        frames=5,
        fps=(11, 1),
        preset="mv",
    )
    clips = pipeline.generate(request)
    assert clips.shape == (3, 5, 96, 160, 3)
    assert clips.std() > 1


def test_preset_files_whose_weights_are_elsewhere_are_refused_at_the_start(trained, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(trained / "preset", moved)
    catalog = read_catalog("mv", [moved / "preset.json"])
    assert [info.available for info in catalog.infos() if info.name == "mv"] == [True]
    (moved / "autoencoder.safetensors").unlink()
    with pytest.raises(SynCamError, match=r"where autoencoder\.safetensors is missing"):
        read_catalog("mv", [moved / "preset.json"])
    # As exports were written before: a folder that is no more.
    preset = json.loads((moved / "preset.json").read_text())
    preset["source"]["base"] = str(tmp_path / "gone")
    (moved / "preset.json").write_text(json.dumps(preset))
    with pytest.raises(
        SynCamError, match=r"gone, where transformer\.safetensors is missing"
    ) as said:
        read_catalog("mv", [moved / "preset.json"])
    assert 'set source.base in it to "."' in said.value.fix


def test_export_goes_by_the_config_that_the_run_was_trained_with(trained, tmp_path, capsys):
    run = ["train", str(trained / "mv.yaml"), "--out", str(tmp_path / "run")]
    changed = ["--set", "model.transformer.num_layers=2", "--set", "model.fps=13"]
    assert main([*run, *changed, "--until", "2"]) == 0
    own = read_config(tmp_path / "run" / "config.yaml")
    assert own == read_config(trained / "mv.yaml", changed[1::2])
    capsys.readouterr()
    assert main([*run, "--export", str(tmp_path / "out"), "--set", "model.title=Mine"]) == 0
    said = capsys.readouterr().out
    assert "config.yaml; the one given differs in model.transformer, model.fps" in said
    preset = Preset.read(tmp_path / "out" / "preset.json")
    assert (preset.transformer.num_layers, preset.fps, preset.title) == (2, 13, "Mine")


def test_check_says_what_a_run_needs_and_all_that_is_missing(trained, tmp_path, capsys):
    run = ["train", str(trained / "mv.yaml"), "--out", str(tmp_path / "run"), "--check"]
    assert main(run) == 0
    said = capsys.readouterr().out
    assert "multiview run named mv, 6 steps" in said
    assert "latents: 4 scenes, no broken files" in said
    assert "M parameters" in said
    assert "GiB a process" in said
    assert not (tmp_path / "run").exists()
    gone = ["data.sources.0.path=/nowhere", "model.autoencoder=/nothing"]
    assert main([*run, "--set", gone[0], "--set", gone[1]]) == 2
    said = capsys.readouterr().out
    assert "/nowhere of the latents source is not there" in said
    assert "/nothing/autoencoder.safetensors is not there" in said
    pictures = ["data.sources.0.kind=rendered", f"data.sources.0.path={trained / 'shards'}"]
    pictures += ["model.autoencoder=''"]
    assert main([*run, *(x for one in pictures for x in ("--set", one))]) == 2
    assert "gives pictures, and the config's model.autoencoder" in capsys.readouterr().err


def test_first_steps_are_told(trained, tmp_path, capsys):
    run = ["train", str(trained / "mv.yaml"), "--out", str(tmp_path / "run"), "--until", "3"]
    assert main(run) == 0
    said = capsys.readouterr().out
    assert [n for n in range(1, 7) if f"step {n}/3" in said] == [1, 2]
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_encoding_again_does_nothing(trained, capsys):
    encode = ["data", "latents", "rendered", str(trained / "shards"), "--size", "64x32"]
    encode += ["--out", str(trained / "latents"), "--autoencoder", str(trained / "coder")]
    assert main(encode) == 0
    assert "0 scenes encoded" in capsys.readouterr().out


def test_source_is_listed(trained, capsys):
    assert main(["data", "list", "rendered", str(trained / "shards")]) == 0
    assert "4 scenes, 16 cameras, no broken files" in capsys.readouterr().out


def test_faults_are_one_sentence(trained, capsys):
    config = str(trained / "mv.yaml")
    for change, words in (
        ("optim.learning_rat=1", "no field optim.learning_rat"),
        ("data.frames=16", "data.frames is 16; it must be 4(F-1)+1"),
        ("data.sources.0.path=/nowhere", "/nowhere of the latents source is not there"),
        ("model.transformer.in_channels=7", "6 latent channels, the transformer reads 7"),
        ("flow.time=tuesday", "flow.time is 'tuesday'; it must be one of"),
        ("optim.learning_rate=-1", "optim.learning_rate is -1"),
        ("nonsense", "'nonsense' is not FIELD=VALUE"),
        ("seed=[", "'seed=[' is not valid YAML"),
        ("model.camera.pattern=round", "model.camera.pattern is 'round'; it must be one of"),
        ("model.camera.unit_m=0", "unit_m is 0.0; it must be positive"),
        ("model.camera.ground_frequencies=2", "its camera encoding has 21"),
        ("model.transformer.num_layers=many", "model.transformer.num_layers is 'many'"),
        ("model.transformer.num_layers=0", "num_layers is 0; it must be at least 1"),
        ("model.transformer.refiner_width=7", "refiner_width is 7; it must be 0 or a multiple"),
        ("model.transformer.patch_size=[1,4,4]", "patch_size is [1, 4, 4]; it must be [1, 2, 2]"),
        ("model.transformer.rope_max_seq_len=3", "is 3; it must be at least 4"),
        ("model.transformer.text_dim=30", "width 30 must divide by heads 4"),
        ("data.width=128", "are of 64x32 pictures; the training config's data.width"),
        ("model.envelope.fps=3", "model.envelope.fps is 3"),
        ("model.envelope.sizes=[[160, x]]", "model.envelope.sizes is 'x'"),
        ("phases.9.until_step=8", "no field phases.9.until_step"),
        ("data.frames.x=1", "no field data.frames.x"),
    ):
        assert main(["train", config, "--set", change, "--out", str(trained / "none")]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
    without = ["--set", "model.autoencoder=''", "--set", "model.transformer.in_channels=7"]
    assert main(["train", config, *without, "--out", str(trained / "none")]) == 2
    assert "has 6 latent channels, the transformer reads 7" in capsys.readouterr().err
    (trained / "notes.md").write_text("# Notes\n\none: two: three\n")
    assert main(["train", str(trained / "notes.md")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (trained / "not-text.yaml").write_bytes(b"\xff\xfename: x")
    assert main(["train", str(trained / "not-text.yaml")]) == 2
    assert "not-text.yaml is not valid YAML" in capsys.readouterr().err
    encode = ["data", "latents", "rendered", str(trained / "shards"), "--part", "4/4"]
    encode += ["--out", str(trained / "none"), "--autoencoder", str(trained / "coder")]
    assert main(encode) == 2
    assert "--part is 4/4; its I/N counts from 0/N to N-1/N." in capsys.readouterr().err
    assert main(["train", str(trained / "absent.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_one_sentence(trained, tmp_path, capsys):
    for file, text, words in (
        ("state.json", "{", "Expecting property name"),
        ("state.json", "[]", "not a SynCam checkpoint"),
        ("state.json", '{"format": "syncam-checkpoint", "version": 1, "stepp": 3}', "stepp"),
        ("model.safetensors", "cut", "Error while deserializing header"),
        ("optimizer.pt", "cut", "optimizer.pt cannot be read"),
    ):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(trained / "mv-run", run)
        (run / "checkpoints" / "step-00000006" / file).write_text(text)
        longer = ["--set", "phases.0.until_step=7"]
        assert main(["train", str(trained / "mv.yaml"), "--out", str(run), *longer]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
    # As the fix says: without the damaged one, the run goes on from the one before.
    assert "Delete" in said
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    assert main(["train", str(trained / "mv.yaml"), "--out", str(run), *longer]) == 0
    assert "resumed at step 3" in capsys.readouterr().out


def test_weights_that_were_cut_are_one_sentence(trained, tmp_path, capsys):
    for place, field in (("coder", "model.autoencoder"), ("preset", "model.base")):
        cut = tmp_path / place
        shutil.copytree(trained / place, cut)
        name = "autoencoder" if place == "coder" else "text_encoder"
        file = cut / f"{name}.safetensors"
        file.write_bytes(file.read_bytes()[:200])
        change = ["--set", f"{field}={cut}", "--out", str(tmp_path / "run")]
        assert main(["train", str(trained / "mv.yaml"), *change]) == 2
        said = capsys.readouterr().err
        assert file.name in said
        assert "Traceback" not in said


def test_latents_of_two_autoencoders_are_said(trained, tmp_path, capsys):
    config = yaml.safe_load((trained / "mv.yaml").read_text())
    other = tmp_path / "other"
    shutil.copytree(trained / "latents", other)
    config["data"]["sources"].append({"kind": "latents", "path": str(other)})
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(config))
    run = ["train", str(tmp_path / "two.yaml"), "--out", str(tmp_path / "run"), "--until", "0"]
    assert main(run) == 0
    assert "different files of an autoencoder" not in capsys.readouterr().out
    store = json.loads((other / "store.json").read_text())
    (other / "store.json").write_text(json.dumps({**store, "autoencoder": "an older one"}))
    assert main(run) == 0
    assert "different files of an autoencoder" in capsys.readouterr().out
