# SPDX-License-Identifier: Apache-2.0
"""Wan's own autoencoder and text encoder behind the project's interfaces, and their loading.

Shape legend: V views, C channels, T pictures, F latent frames, H, W, B prompts, L text tokens,
D text width.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.hub_files import Say, find_base, find_mvs_file, headers_of
from syncam_engine.model.interfaces import SPATIAL_STRIDE, TEMPORAL_STRIDE
from syncam_engine.model.parts import Parts
from syncam_engine.model.presets import Preset
from syncam_engine.model.transformer_files import expected_shapes, load_transformer
from syncam_engine.model.weight_files import check_shapes, digest_of, read_header

TEXT_TOKENS = 512


class WanAutoencoder:
    """diffusers' AutoencoderKLWan; latents whitened by its own statistics, as Wan expects them."""

    spatial_stride = SPATIAL_STRIDE
    temporal_stride = TEMPORAL_STRIDE

    def __init__(self, vae: nn.Module, device: torch.device) -> None:
        self.vae, self.device = vae, device
        self.z_channels = int(vae.config.z_dim)
        shape = (1, self.z_channels, 1, 1, 1)
        self._mean = torch.tensor(vae.config.latents_mean).reshape(shape)
        self._std = torch.tensor(vae.config.latents_std).reshape(shape)
        self._rgb: Tensor | None = None

    def enable_tiling(self) -> None:
        """Decode in tiles and clip by clip: less memory, seams blended."""
        self.vae.enable_slicing()
        self.vae.enable_tiling()

    def encode(self, video_VCTHW: Tensor) -> Tensor:
        latents = self.vae.encode(video_VCTHW.to(self.device, self.vae.dtype)).latent_dist.mode()
        return (latents.float() - self._mean.to(latents.device)) / self._std.to(latents.device)

    def decode(self, z_VCFHW: Tensor) -> Tensor:
        z = z_VCFHW.float() * self._std.to(z_VCFHW.device) + self._mean.to(z_VCFHW.device)
        video = self.vae.decode(z.to(self.device, self.vae.dtype)).sample
        return video.float().clamp(-1.0, 1.0)

    def preview(self, z_VCHW: Tensor) -> Tensor:
        """Return rgb_VCHW by one linear map of the latents, fitted on the first call."""
        if self._rgb is None:
            self._rgb = self._fit_rgb()
        ones = torch.ones_like(z_VCHW[:, :1])
        features = torch.cat([z_VCHW, ones], dim=1).float()
        return torch.einsum("vchw,cr->vrhw", features, self._rgb.to(z_VCHW.device)).clamp(-1, 1)

    @torch.no_grad()
    def _fit_rgb(self) -> Tensor:
        """Return [C + 1, 3]: least squares from latents to the mean colour of their 8 x 8 pixels.

        The pictures are smooth random colours: what the map has to tell are colours.
        """
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(8, 3, 6, 6, generator=generator) * 2.4 - 1.2
        pictures = nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(-1, 1)
        z = self.encode(pictures[:, :, None])[:, :, 0].cpu()
        colours = nn.functional.avg_pool2d(pictures, SPATIAL_STRIDE)
        flat = rearrange(torch.cat([z, torch.ones_like(z[:, :1])], 1), "v c h w -> (v h w) c")
        return torch.linalg.lstsq(flat, rearrange(colours, "v c h w -> (v h w) c")).solution


class UMT5Text:
    """The UMT5 encoder with its tokenizer: 512 tokens, zero after the prompt's end, as Wan's."""

    def __init__(self, tokenizer, encoder: nn.Module, device: torch.device) -> None:
        self.tokenizer, self.encoder, self.device = tokenizer, encoder, device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        given = self.tokenizer(
            [clean_prompt(prompt) for prompt in prompts],
            padding="max_length",
            max_length=TEXT_TOKENS,
            truncation=True,
            add_special_tokens=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        ids, mask = given.input_ids.to(self.device), given.attention_mask.to(self.device)
        tokens_BLD = self.encoder(ids, mask).last_hidden_state
        return tokens_BLD * mask[..., None], mask.bool()


def clean_prompt(prompt: str) -> str:
    """Return the prompt as Wan was trained to read it: no HTML escapes, single spaces."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(prompt))).strip()


def load_hub_parts(preset: Preset, device: torch.device, dtype: torch.dtype, say: Say) -> Parts:
    """Return the networks of a diffusers-format base plus an MVS file, all checked beforehand."""
    mvs_file = find_mvs_file(preset.source.mvs_file)
    folder = find_base(preset.source.base, say, preset.source.licence)
    files = check_hub_files(preset, folder, mvs_file)

    say(0.1, "reading the transformer")
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors.update(load_file(path))
    transformer = load_transformer(preset.transformer, tensors, device, dtype)
    say(0.4, "reading the autoencoder")
    autoencoder = read_autoencoder(folder / "vae", device)
    say(0.5, "reading the text encoder")
    text_encoder = read_text_encoder(folder, device, dtype)
    say(1.0, "ready")
    return Parts(transformer, autoencoder, text_encoder, digest_of(files))


def read_autoencoder(folder: Path, device: torch.device) -> WanAutoencoder:
    """Return the frozen autoencoder of a diffusers folder.

    The decoder's last layers lose colour in bfloat16: it stays in float32, as its authors run it.
    """
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan.from_pretrained(folder, torch_dtype=torch.float32)
    return WanAutoencoder(vae.to(device).eval().requires_grad_(False), device)


def read_text_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> UMT5Text:
    """Return the frozen text encoder of a base's folder, with its tokenizer."""
    from transformers import AutoTokenizer, UMT5EncoderModel

    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return UMT5Text(tokenizer, encoder.to(device).eval().requires_grad_(False), device)


def check_hub_files(preset: Preset, folder: Path, mvs_file: Path) -> list[Path]:
    """Return the transformer's files, base then MVS; raise SynCamError for the first that is wrong.

    Only headers are read.
    """
    expected = expected_shapes(preset.transformer)
    base = headers_of(folder / "transformer")
    found = {name: shape for header in base for name, shape in header.shapes.items()}
    check_shapes(
        found,
        {k: v for k, v in expected.items() if ".mvs." not in k},
        f"The base transformer in {folder}",
    )
    mvs = read_header(mvs_file)
    form = mvs.metadata.get("form", preset.transformer.mvs_form)
    if form != preset.transformer.mvs_form:
        raise SynCamError(
            "weights.form",
            f"The multi-view weights {mvs_file} are of the {form} form; preset {preset.name!r} "
            f"has the {preset.transformer.mvs_form} form.",
            value=form,
            nearest=preset.transformer.mvs_form,
        )
    check_shapes(
        mvs.shapes,
        {k: v for k, v in expected.items() if ".mvs." in k},
        f"The multi-view weights {mvs_file}",
    )
    for part in ("vae", "text_encoder"):
        headers_of(folder / part)
    if not (folder / "tokenizer").is_dir():
        raise SynCamError(
            "weights.missing",
            f"The folder {folder / 'tokenizer'} is not there.",
            value=str(folder / "tokenizer"),
        )
    return [*(header.path for header in base), mvs.path]
