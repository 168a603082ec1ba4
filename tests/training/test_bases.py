# SPDX-License-Identifier: Apache-2.0
"""Multi-view modules trained on a diffusers-format base of toy size; nothing is downloaded."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from syncam_engine.cli import main
from syncam_engine.data.latents import LatentStore
from syncam_engine.data.mixture import Mixture
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import WAN_1_3B
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import config_from_dict
from syncam_engine.training.multiview import MultiViewTask
from syncam_engine.training.runs import export
from syncam_engine.training.trainer import Trainer
from tests.data.files import write_shard
from tests.data.synthetic import BoxSource

TOY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 2,
    "ffn_dim": 40,
    "in_channels": 4,
    "text_dim": 11,
    "freq_dim": 16,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """FOLDER/{transformer, vae, text_encoder, tokenizer} as on the hub, of toy networks."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(6)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    sizes = {**TOY, "out_channels": 4, "cross_attn_norm": True, "rope_max_seq_len": 1024}
    WanTransformer3DModel(**sizes).save_pretrained(folder / "transformer")
    AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).save_pretrained(folder / "vae")
    UMT5EncoderModel(
        UMT5Config(vocab_size=16, d_model=11, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(folder / "text_encoder")
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "box": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "tokenizer")
    return folder


def config_on(base, **changes) -> TrainConfig:
    document = {
        "name": "toy",
        "seed": 2,
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            "views": 2,
            "frames": 5,
            "width": 64,
            "height": 32,
        },
        "phases": [{"until_step": 2}],
        "model": {
            "preset": WAN_1_3B.name,
            "transformer": TOY,
            "base": str(base),
            "trainable": "new",
        },
        "flow": {"prediction": "velocity", "time": "shifted-uniform", "weight": "bell"},
        "run": {"device": "cpu"},
    }
    return config_from_dict(TrainConfig, {**document, **changes}, "")


def test_new_modules_learn_on_a_frozen_base_and_are_exported_alone(base, tmp_path):
    config = config_on(base)
    mixture = Mixture([(BoxSource(scenes=2), 1.0)], seed=2, width_px=64, height_px=32)
    task = MultiViewTask(config, mixture.sources[0][0].scenes)
    trainer = Trainer(config, task, mixture, tmp_path / "run", say=lambda text: None)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.train()
    after = trainer.net.state_dict()
    changed = {k for k in after if not torch.equal(after[k], before[k])}
    assert changed
    assert all(".mvs." in name for name in changed)
    assert torch.equal(
        before["transformer.blocks.1.mvs.attn.to_q.weight"],
        before["transformer.blocks.1.attn1.to_q.weight"],
    )

    export(config, tmp_path / "out", tmp_path / "run", say=lambda text: None)
    with safe_open(tmp_path / "out" / "toy-mvs.safetensors", "pt") as file:
        assert file.metadata()["form"] == "released"
        assert set(file.keys()) == {k.removeprefix("transformer.") for k in after if ".mvs." in k}


def test_latents_of_the_bases_autoencoder_are_encoded_by_the_command(base, tmp_path, capsys):
    shards = tmp_path / "shards"
    shards.mkdir()
    source = BoxSource(scenes=2, cameras=2, frames=5)
    write_shard(shards / "shard-00000.npz", source)
    command = ["data", "latents", "rendered", str(shards), "--size", "64x32", "--out"]
    command += [str(tmp_path / "latents"), "--autoencoder", str(base / "vae")]
    assert main(command) == 0
    assert "2 scenes encoded" in capsys.readouterr().out
    task = MultiViewTask(config_on(base), [])
    video = torch.from_numpy(source.read_pictures(1, [1], range(5))).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        wanted = task.autoencoder.encode(video.float() / 127.5 - 1.0)
    found = LatentStore(tmp_path / "latents").read_latents(1, [1], 2)
    assert found.shape == (1, 4, 2, 4, 8)
    assert torch.allclose(torch.from_numpy(found).float(), wanted, atol=2e-3)
    if not torch.cuda.is_available():
        assert main([*command, "--device", "cuda"]) == 2
        assert "no usable GPU" in capsys.readouterr().err


def test_prompts_are_encoded_once(base):
    task = MultiViewTask(config_on(base), [])
    tokens, mask = task.base.frozen_text(["a red box", "", "a red box"])
    assert tokens.shape == (3, 512, 11)
    assert torch.equal(tokens[0], tokens[2])
    assert mask[0].sum() > mask[1].sum()
    kept = dict(task.base.frozen_text._known)
    task.base.frozen_text(["", "a red box"])
    assert task.base.frozen_text._known == kept


def test_a_missing_or_other_base_is_one_sentence(base):
    with pytest.raises(SynCamError, match=r"The base folder /nowhere .* is not there"):
        MultiViewTask(config_on("/nowhere"), [])
    model = {
        "preset": WAN_1_3B.name,
        "transformer": {**TOY, "num_layers": 3},
        "base": str(base),
    }
    with pytest.raises(SynCamError, match="The base transformer in"):
        MultiViewTask(config_on(base, model=model), [])
