# SPDX-License-Identifier: Apache-2.0
"""The main task: the transformer with its MVS modules, and its text encoder where it has its own.

Shapes: B samples, V views, C latent channels, F latent frames, H, W latent cells, S tokens of a
latent frame, R numbers of a camera, L text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from syncam_engine.data.mixture import BatchRequest
from syncam_engine.data.scene import Sample, Scene
from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.camera_encoding import encode_cameras
from syncam_engine.model.presets import Preset, get_preset
from syncam_engine.model.preview_autoencoder import PatchAutoencoder
from syncam_engine.model.preview_text_encoder import WordTextEncoder, WordTextEncoderConfig
from syncam_engine.model.preview_vocabulary import Vocabulary
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.training import flow
from syncam_engine.training.config import PhaseConfig, TrainConfig


class MultiViewNet(nn.Module):
    """Transformer and text encoder under one roof, so that both are wrapped and saved together."""

    def __init__(self, transformer: MultiViewWanTransformer, text_encoder: WordTextEncoder) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder

    def forward(self, z_BVCFHW: Tensor, t_BV: Tensor, ids_BL: Tensor, cameras: Tensor) -> Tensor:
        """The network's output for times t in [0, 1]."""
        tokens_BLD, mask_BL = self.text_encoder(ids_BL)
        return self.transformer(z_BVCFHW, t_BV * 1000.0, tokens_BLD, mask_BL, cameras)


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiViewBatch:
    """Tensors of one micro-batch; `keys` name its samples for messages."""

    z0_BVCFHW: Tensor
    noise_BVCFHW: Tensor
    t_BV: Tensor
    """0 for a clean reference view."""
    weight_B: Tensor
    ids_BL: Tensor
    cameras_BVFSR: Tensor
    keys: tuple[str, ...]

    def to(self, device: torch.device) -> MultiViewBatch:
        moved = {
            name: getattr(self, name).to(device)
            for name in ("z0_BVCFHW", "noise_BVCFHW", "t_BV", "weight_B", "ids_BL", "cameras_BVFSR")
        }
        return replace(self, **moved)


class MultiViewTask:
    """Builds the model, makes batches, computes the loss."""

    def __init__(self, config: TrainConfig, scenes: Sequence[Scene], vocabulary: Vocabulary | None):
        self.config = config
        self.preset = trained_preset(config)
        captions = (text for scene in scenes for text in scene.captions)
        self.vocabulary = vocabulary or Vocabulary.from_captions(captions)
        unknown = {w for s in scenes for c in s.captions for w in self.vocabulary.unknown_words(c)}
        if unknown:
            grown = Vocabulary.from_captions(
                (c for s in scenes for c in s.captions), keep=self.vocabulary.words
            )
            self.vocabulary = grown
        self.autoencoder: PatchAutoencoder | None = None
        if config.model.autoencoder:
            self.autoencoder = PatchAutoencoder.load(expand(config.model.autoencoder))
            self.autoencoder.requires_grad_(False)
            z_channels = self.preset.transformer.in_channels
            if self.autoencoder.z_channels != z_channels:
                raise SynCamError(
                    "config.autoencoder",
                    f"The autoencoder has {self.autoencoder.z_channels} latent channels, the "
                    f"transformer reads {z_channels}.",
                )

    def build(self) -> MultiViewNet:
        """A fresh model, from the config's seed."""
        torch.manual_seed(self.config.seed)
        transformer = build_transformer(self.preset.transformer)
        transformer.gradient_checkpointing = self.config.run.gradient_checkpointing
        width = self.preset.transformer.text_dim
        text_encoder = WordTextEncoder(self.vocabulary, WordTextEncoderConfig(width=width))
        if self.config.model.base:
            load_base(transformer, Path(self.config.model.base).expanduser())
        if self.config.model.trainable == "new":
            transformer.freeze_base()
            text_encoder.requires_grad_(False)
        return MultiViewNet(transformer, text_encoder)

    def request(self, phase: PhaseConfig) -> BatchRequest:
        data = self.config.data
        return BatchRequest(
            views=data.views,
            frames=data.frames,
            stills=phase.stills,
            batch=phase.batch,
            stills_batch=phase.stills_batch_or_batch,
            degrees=phase.degrees,
        )

    def prepare(self, samples: Sequence[Sample], generator: torch.Generator) -> MultiViewBatch:
        """Tensors of a micro-batch; every draw comes from `generator`."""
        z0 = torch.stack([self.latents(sample) for sample in samples])
        cameras = torch.stack([torch.from_numpy(self.cameras(sample)) for sample in samples])
        conditioning = self.config.conditioning
        count, views = z0.shape[:2]
        t_B = flow.draw_times(self.config.flow, count, generator)
        noise = torch.randn(z0.shape, generator=generator)
        no_text = torch.rand(count, generator=generator) < conditioning.text_dropout
        with_reference = torch.rand(count, generator=generator) < conditioning.reference
        prompts = ["" if no_text[i] else sample.caption for i, sample in enumerate(samples)]
        t_BV = t_B[:, None].repeat(1, views)
        if views > 1:
            t_BV[with_reference, 0] = 0.0
        return MultiViewBatch(
            z0_BVCFHW=z0,
            noise_BVCFHW=noise,
            t_BV=t_BV,
            weight_B=flow.loss_weights(self.config.flow, t_B),
            ids_BL=token_ids(self.vocabulary, prompts),
            cameras_BVFSR=cameras,
            keys=tuple(f"{sample.source}/{sample.key}" for sample in samples),
        )

    def loss(self, model: nn.Module, batch: MultiViewBatch) -> tuple[Tensor, dict[str, float]]:
        """Weighted squared error over the views that are not clean; and what to log."""
        z_t = flow.add_noise(batch.z0_BVCFHW, batch.noise_BVCFHW, batch.t_BV)
        output = model(z_t, batch.t_BV, batch.ids_BL, batch.cameras_BVFSR).float()
        wanted = flow.target(self.config.flow, batch.z0_BVCFHW, batch.noise_BVCFHW)
        error_BV = (output - wanted).square().mean(dim=(2, 3, 4, 5))
        noisy_BV = (batch.t_BV > 0).float()
        error_B = (error_BV * noisy_BV).sum(1) / noisy_BV.sum(1)
        kind = "clips" if batch.z0_BVCFHW.shape[3] > 1 else "stills"
        # The weighted loss swings with the drawn times; this one can be compared between steps.
        logged = {f"error_{kind}": float(error_B.detach().mean())}
        return (error_B * batch.weight_B).mean(), logged

    def latents(self, sample: Sample) -> Tensor:
        """Clean latents z_VCFHW of a sample, read or encoded."""
        if sample.latents_VZFhw is not None:
            return torch.from_numpy(np.ascontiguousarray(sample.latents_VZFhw)).float()
        if self.autoencoder is None:
            raise SynCamError(
                "config.autoencoder",
                f"Source {sample.source} gives pictures, and the config's model.autoencoder is "
                "empty.",
                fix="Name the autoencoder's folder, or encode with `syncam data latents`",
            )
        video = torch.from_numpy(sample.pictures_VTHW3).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
        with torch.inference_mode():
            return self.autoencoder.encode(video).clone()

    def cameras(self, sample: Sample) -> np.ndarray:
        """What the network reads of a sample's cameras, numbers_VFSR, view 0 the anchor."""
        encoded = encode_cameras(
            sample.c2w_cv_m_VF44,
            sample.K_VF33,
            self.preset.camera,
            sample.width_px,
            sample.height_px,
        )
        return encoded.numbers_VFSR


def token_ids(vocabulary: Vocabulary, prompts: Sequence[str]) -> Tensor:
    """ids_BL, padded with 0 to the vocabulary's length."""
    ids_BL = torch.zeros(len(prompts), vocabulary.max_tokens, dtype=torch.long)
    for row, prompt in zip(ids_BL, prompts, strict=True):
        ids = vocabulary.encode(prompt)
        row[: len(ids)] = torch.tensor(ids)
    return ids_BL


def trained_preset(config: TrainConfig) -> Preset:
    """The preset that the config trains: its base preset with the config's own sizes and limits."""
    preset = get_preset(config.model.preset)
    transformer = _changed(preset.transformer, config.model.transformer, "transformer")
    envelope = _changed(preset.envelope, config.model.envelope, "envelope")
    sampling = replace(preset.sampling, prediction=config.flow.prediction)
    return replace(
        preset,
        transformer=transformer,
        envelope=envelope,
        sampling=sampling,
        fps=config.model.fps or preset.fps,
    )


def _changed(part: Any, changes: dict[str, Any], name: str) -> Any:
    """A preset's part with some fields changed; raises `SynCamError` for one that it has not."""
    unknown = sorted(set(changes) - set(part.__dataclass_fields__))
    if unknown:
        raise SynCamError(
            "config.field",
            f"The training config has no field model.{name}.{unknown[0]}.",
            value=unknown[0],
        )
    return replace(
        part, **{key: tuple(v) if isinstance(v, list) else v for key, v in changes.items()}
    )


def load_base(transformer: MultiViewWanTransformer, folder: Path) -> None:
    """Load a base's weights (our own `transformer.safetensors` or a diffusers folder)."""
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SynCamError(
            "config.base",
            f"There are no safetensors in the base folder {folder}.",
            value=str(folder),
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors.update(load_file(file))
    missing, unexpected = transformer.load_state_dict(tensors, strict=False)
    foreign = [name for name in missing if ".mvs." not in name]
    if foreign or unexpected:
        raise SynCamError(
            "config.base",
            f"The base in {folder} does not fit: it lacks {len(foreign)} weights and has "
            f"{len(unexpected)} unknown ones (first: {(foreign + unexpected)[0]}).",
        )
    if missing:
        transformer.start_mvs_from_base()
