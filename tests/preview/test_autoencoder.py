# SPDX-License-Identifier: Apache-2.0
"""The patch autoencoder: shapes, the first frame alone, PCA start, files."""

from __future__ import annotations

import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import Autoencoder
from syncam_engine.preview.autoencoder import (
    PatchAutoencoder,
    PatchAutoencoderConfig,
    from_patches,
    to_patches,
)

SMALL = PatchAutoencoderConfig(z_channels=5, width=16, encoder_blocks=1, decoder_blocks=2)


@pytest.fixture
def coder():
    torch.manual_seed(2)
    return PatchAutoencoder(SMALL).eval()


def video(views=2, frames=9, height=24, width=40, seed=1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(views, 3, frames, height, width, generator=generator) * 2 - 1


def test_it_is_what_the_sampler_asks_for(coder):
    assert isinstance(coder, Autoencoder)
    z = coder.encode(video())
    assert z.shape == (2, 5, 3, 3, 5)
    assert coder.decode(z).shape == (2, 3, 9, 24, 40)
    assert coder.preview(z[:, :, 1]).shape == (2, 3, 24, 40)


def test_patches_and_back_are_the_same_pictures():
    pictures = video(frames=13)
    assert torch.equal(from_patches(to_patches(pictures), 2), pictures)


def test_first_latent_frame_is_picture_0_alone(coder):
    clip = video(frames=9)
    still = coder.encode(clip[:, :, :1])
    assert torch.allclose(coder.encode(clip)[:, :, :1], still, atol=1e-6)
    later = clip.clone()
    later[:, :, 1:5] = 0.0
    z, z_later = coder.encode(clip), coder.encode(later)
    assert torch.equal(z[:, :, 2], z_later[:, :, 2])
    assert not torch.allclose(z[:, :, 1], z_later[:, :, 1])


def test_pca_start_is_the_best_linear_code(coder):
    generator = torch.Generator().manual_seed(4)
    basis = torch.randn(5, 768, generator=generator)
    patches = torch.randn(300, 5, generator=generator) @ basis + 0.3
    assert coder.start_from_pca(patches) == pytest.approx(1.0, abs=1e-5)
    x = patches[:, :, None, None]
    assert torch.allclose(coder.decode_patches(coder.encode_patches(x)), x, atol=2e-3)


def test_scale_changes_latents_not_pictures(coder):
    clip = video()
    before = coder.decode(coder.encode(clip))
    z = coder.encode(clip)
    coder.latent_scale.fill_(3.5)
    assert torch.allclose(coder.encode(clip), 3.5 * z, atol=1e-5)
    assert torch.allclose(coder.decode(coder.encode(clip)), before, atol=1e-5)


def test_impossible_sizes_are_named(coder):
    with pytest.raises(ValueError, match=r"4\(F-1\)\+1, got 8"):
        coder.encode(video(frames=8))
    with pytest.raises(ValueError, match="got 40x20"):
        coder.encode(video(height=20))
    with pytest.raises(ValueError, match="width must divide by 8"):
        PatchAutoencoderConfig(width=12)


def test_saved_in_16_bits_and_read_again(coder, tmp_path):
    coder.latent_scale.fill_(0.123456789)
    path = coder.save(tmp_path)
    read = PatchAutoencoder.load(tmp_path)
    assert read.config == SMALL
    assert float(read.latent_scale) == pytest.approx(0.123456789, rel=1e-6)
    assert torch.allclose(read.encode(video()), coder.encode(video()), atol=2e-2)
    assert path.stat().st_size < 2.3 * sum(p.numel() for p in coder.parameters()) + 4000


def test_a_missing_or_foreign_file_is_one_sentence(tmp_path):
    with pytest.raises(SynCamError, match="is not there"):
        PatchAutoencoder.load(tmp_path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "autoencoder.safetensors")
    with pytest.raises(SynCamError, match="not a SynCam patch autoencoder"):
        PatchAutoencoder.load(tmp_path)
