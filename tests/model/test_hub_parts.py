# SPDX-License-Identifier: Apache-2.0
"""A diffusers-format base folder plus an MVS file, at toy size; and what is said without them.

Nothing is downloaded: the folder is made here, the hub's address is a closed port.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import Autoencoder, TextEncoder
from syncam_engine.model.loading import check_files
from syncam_engine.sampling.pipeline import load_pipeline
from syncam_engine.sampling.placement import Placement
from tests.model.toy_base import preset_file, write_base
from tests.sampling.tiny import make_request, make_rig


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return folder, write_base(folder)


def test_folder_and_mvs_file_make_clips(base):
    torch.set_num_threads(1)
    said = []
    pipeline = load_pipeline(
        preset_file(base), "cpu", on_progress=lambda fraction, text: said.append(text)
    )
    assert isinstance(pipeline.parts.autoencoder, Autoencoder)
    assert isinstance(pipeline.parts.text_encoder, TextEncoder)
    assert said[-1] == "ready"
    reports = []
    clips = pipeline.generate(
        make_request(make_rig(3), steps=2, frames=5, fps=(15, 1)), on_report=reports.append
    )
    assert clips.shape == (3, 5, 96, 160, 3)
    previews = [r.preview_VHW3 for r in reports if r.preview_VHW3 is not None]
    assert [p.shape for p in previews] == [(3, 12, 20, 3)] * 2


@pytest.mark.parametrize("offload", ["model", "group"])
def test_offload_keeps_the_clips(base, offload):
    torch.set_num_threads(1)
    request = make_request(make_rig(2), steps=1, frames=5, fps=(15, 1))
    exact = load_pipeline(preset_file(base), "cpu").generate(request)
    placement = Placement(
        device="cpu", dtype="float32", matmul_dtype="auto", offload=offload, tiling=True
    )
    pipeline = load_pipeline(preset_file(base), placement=placement)
    assert np.abs(pipeline.generate(request).astype(int) - exact).max() <= 1
    assert len(pipeline.parts.offload_hooks) == (3 if offload == "model" else 1)


def test_under_offload_all_that_meets_the_networks_is_on_their_device(base):
    """`meta` stands for a GPU: like one it refuses to be mixed with main memory."""
    placement = Placement(device="meta", dtype="float32", offload="model")
    pipeline = load_pipeline(preset_file(base), placement=placement)
    autoencoder, text_encoder = pipeline.parts.autoencoder, pipeline.parts.text_encoder
    words = torch.nn.Embedding(32, 11, device="meta")  # UMT5 reads its mask, which `meta` cannot
    text_encoder.encoder = lambda ids, mask: SimpleNamespace(last_hidden_state=words(ids))
    with torch.no_grad():
        tokens, mask = text_encoder.encode(["a red dog", ""])
        z = autoencoder.encode(torch.zeros(1, 3, 5, 32, 48, device="meta"))
        video = autoencoder.decode(z)
    assert {x.device.type for x in (tokens, mask, z, video)} == {"meta"}


def test_latents_are_whitened_and_back(base):
    pipeline = load_pipeline(preset_file(base), "cpu")
    autoencoder, vae = pipeline.parts.autoencoder, pipeline.parts.autoencoder.vae
    video = torch.rand(2, 3, 5, 32, 48) * 2 - 1
    with torch.no_grad():
        z = autoencoder.encode(video)
        raw = vae.encode(video).latent_dist.mode()
        mean = torch.tensor([0.1, -0.2, 0.3, 0.0]).reshape(1, 4, 1, 1, 1)
        std = torch.tensor([1.1, 0.9, 1.3, 0.7]).reshape(1, 4, 1, 1, 1)
        assert torch.allclose(z, (raw - mean) / std, atol=1e-6)
        decoded = vae.decode(raw).sample.clamp(-1, 1)
        assert torch.allclose(autoencoder.decode(z), decoded, atol=1e-5)


def test_text_is_zero_after_its_end(base):
    tokens, mask = load_pipeline(preset_file(base), "cpu").parts.text_encoder.encode(
        ["a red  dog", ""]
    )
    assert tokens.shape == (2, 512, 11)
    assert mask[0].sum() == 3
    assert tokens[0, :3].abs().sum() > 0
    assert not tokens[0, 3:].any()
    assert not tokens[1].any()


def test_check_lists_every_file(base, tmp_path):
    from syncam_engine.model.presets import get_preset

    lines = check_files(get_preset(preset_file(base)))
    assert len(lines) > 2  # shards and the MVS
    assert all(line.endswith("whole") for line in lines)


def test_a_file_of_the_other_form_is_refused(base):
    folder, _ = base
    from safetensors.torch import load_file

    path = folder / "paper.safetensors"
    save_file(load_file(folder / "mvs.safetensors"), path, metadata={"form": "paper"})
    with pytest.raises(SynCamError, match="are of the paper form"):
        load_pipeline(preset_file(base, mvs_file=str(path)), "cpu")


@pytest.mark.parametrize("cut", ["transformer", "vae", "text_encoder", "mvs"])
def test_a_cut_file_is_refused_before_anything_is_read(base, tmp_path, monkeypatch, cut):
    import shutil

    folder, _ = base
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shards = [copy / "mvs.safetensors"] if cut == "mvs" else (copy / cut).glob("*.safetensors")
    shard = max(shards)
    shard.write_bytes(shard.read_bytes()[:-7])

    def read(*_args, **_kwargs):
        raise AssertionError("a file was read into memory")

    monkeypatch.setattr("syncam_engine.model.hub_parts.load_file", read)
    monkeypatch.setattr("diffusers.AutoencoderKLWan.from_pretrained", read)
    mvs_file = str(copy / "mvs.safetensors")
    with pytest.raises(SynCamError, match="was cut off") as caught:
        load_pipeline(preset_file(base, base=str(copy), mvs_file=mvs_file), "cpu")
    assert caught.value.code == "weights.truncated"
    assert str(shard) in str(caught.value)


def test_more_views_than_trained_go_as_pairs(base):
    """The toy preset, like the released checkpoint, was trained on two views."""
    pipeline = load_pipeline(preset_file(base), "cpu")
    assert [pipeline._use_pairs(views) for views in (1, 2, 3, 16)] == [False, False, True, True]


def test_a_missing_mvs_file_says_how_to_make_it(base):
    with pytest.raises(SynCamError, match="syncam checkpoint convert"):
        load_pipeline(preset_file(base, mvs_file="nowhere.safetensors"), "cpu")


@pytest.mark.processes
def test_without_a_network_the_message_says_what_to_put_where(base, tmp_path):
    path = preset_file(base, base="Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    code = (
        "import sys\nfrom syncam_engine.link.errors import SynCamError\n"
        "from syncam_engine.sampling.pipeline import load_pipeline\n"
        "try:\n    load_pipeline(sys.argv[1], 'cpu')\n"
        "except SynCamError as error:\n    print(error.code, error)\n"
    )
    env = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
        "SYNCAM_MODELS_DIR": str(tmp_path / "models"),
    }
    result = subprocess.run(
        [sys.executable, "-c", code, path], env=env, capture_output=True, text=True, timeout=300,
        check=True,
    )  # fmt: skip
    assert result.stdout.startswith("weights.offline")
    assert "hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers" in result.stdout
    assert str(tmp_path / "models" / "Wan2.1-T2V-1.3B-Diffusers") in result.stdout
