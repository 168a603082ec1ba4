# SPDX-License-Identifier: Apache-2.0
"""A folder as on the hub, of toy networks, with an MVS file beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from syncam_engine.model.presets import WAN_1_3B, TransformerConfig
from tests.model.networks import base_of, randomized, small_config


def write_base(folder: Path) -> TransformerConfig:
    """Write the networks, of seeded random weights; return the sizes of the transformer."""
    from diffusers import AutoencoderKLWan
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(4)
    config = small_config(mvs_form="released", in_channels=4)
    ours = randomized(config)
    base_of(ours).save_pretrained(folder / "transformer", max_shard_size="20KB")
    mvs = {k: v for k, v in ours.state_dict().items() if ".mvs." in k}
    save_file(mvs, folder / "mvs.safetensors", metadata={"form": "released"})
    AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.1, 0.9, 1.3, 0.7],
    ).save_pretrained(folder / "vae")
    UMT5EncoderModel(
        UMT5Config(vocab_size=32, d_model=11, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(folder / "text_encoder")
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "dog": 5, "runs": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "tokenizer")
    return config


def preset_file(toy: tuple[Path, TransformerConfig], **source) -> str:
    """Write a preset of the folder that `write_base` filled; return its path."""
    folder, config = toy
    preset = replace(
        WAN_1_3B,
        name="toy",
        transformer=config,
        source=replace(
            WAN_1_3B.source,
            **{"base": str(folder), "mvs_file": str(folder / "mvs.safetensors"), **source},
        ),
        envelope=replace(WAN_1_3B.envelope, sizes=((160, 96),), frames=(5, 9)),
    )
    path = folder / f"preset{abs(hash(tuple(source.items())))}.json"
    preset.write(path)
    return str(path)
