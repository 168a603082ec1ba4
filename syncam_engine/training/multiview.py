# SPDX-License-Identifier: Apache-2.0
"""The main task: the transformer with its MVS modules, and its text encoder where it has its own.

Shape legend: B samples, V views, C latent channels, F latent frames, H, W latent cells, S tokens of
a latent frame, K = V x S, R numbers of a camera, L text tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import Sample, Scene
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.camera_encoding import EncodedCameras, encode_cameras
from syncam_engine.model.focus import focus_point
from syncam_engine.model.interfaces import Autoencoder, TextEncoder, latent_frame_count
from syncam_engine.model.pixels import to_network
from syncam_engine.model.presets import Preset, get_preset
from syncam_engine.model.registry import named
from syncam_engine.model.token_grid import TOKEN_PX
from syncam_engine.model.transformer import MultiViewWanTransformer
from syncam_engine.training import flow
from syncam_engine.training.bases import Base, Text
from syncam_engine.training.config import TrainConfig, config_fault, impossible_model
from syncam_engine.training.config_file import convert
from syncam_engine.training.registry import BASES
from syncam_engine.training.tasks import Task


class MultiViewNet(nn.Module):
    """Transformer and text encoder under one roof, so that both are wrapped and saved together.

    A frozen text encoder (UMT5) stays outside: its tokens come with the batch.
    """

    def __init__(
        self, transformer: MultiViewWanTransformer, text_encoder: nn.Module | None
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder

    def forward(
        self, z_BVCFHW: Tensor, t_BV: Tensor, cameras: Tensor, pattern: Tensor | None, text: Text
    ) -> Tensor:
        """The network's output for times t in [0, 1]."""
        tokens_BLD, mask_BL = text.tokens_BLD, text.mask_BL
        if text.ids_BL is not None:
            tokens_BLD, mask_BL = self.text_encoder(text.ids_BL)
        return self.transformer(
            z_BVCFHW, t_BV * 1000.0, tokens_BLD, mask_BL, cameras, pattern_FhKK=pattern
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiViewBatch:
    """Tensors of one micro-batch; `keys` name its samples for messages."""

    z0_BVCFHW: Tensor
    noise_BVCFHW: Tensor
    t_BV: Tensor
    """0 for a clean reference view."""
    weight_B: Tensor
    text: Text
    cameras_BVFSR: Tensor
    pattern_BFhKK: Tensor | None
    keys: tuple[str, ...]

    def to(self, device: torch.device) -> MultiViewBatch:
        moved = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "keys"}
        return replace(self, **{k: None if v is None else v.to(device) for k, v in moved.items()})


class MultiViewTask(Task):
    """Builds the model, makes batches, computes the loss."""

    def __init__(
        self, config: TrainConfig, scenes: Sequence[Scene], words: Sequence[str] = ()
    ) -> None:
        """`words`: the vocabulary that a run which goes on remembers."""
        self.config = config
        self.preset = trained_preset(config)
        make_base = named(BASES[self.preset.source.kind])
        self.base: Base = make_base(config, self.preset, scenes, words)
        self.words = self.base.words
        self.autoencoder: Autoencoder | None = self.base.autoencoder
        data = config.data
        tokens = latent_frame_count(data.frames), data.height // TOKEN_PX, data.width // TOKEN_PX
        longest = max(tokens)
        if longest > self.preset.transformer.rope_max_seq_len:
            raise config_fault(
                "model.transformer.rope_max_seq_len",
                self.preset.transformer.rope_max_seq_len,
                f"at least {longest}, the most tokens of the data's frames, rows or columns",
                longest,
            )
        z_channels = self.preset.transformer.in_channels
        if self.autoencoder is not None and self.autoencoder.z_channels != z_channels:
            raise SynCamError(
                "config.autoencoder",
                f"The autoencoder has {self.autoencoder.z_channels} latent channels, the "
                f"transformer reads {z_channels}.",
            )

    @classmethod
    def of_run(cls, config: TrainConfig, mixture: Mixture, words: Sequence[str]) -> MultiViewTask:
        scenes = [scene for source, _ in mixture.sources for scene in source.scenes]
        task = cls(config, scenes, words)
        for source, weight in mixture.sources:
            if task.autoencoder is None and weight > 0 and not hasattr(source, "read_latents"):
                raise lacks_autoencoder(source.name)
        return task

    def build(self) -> MultiViewNet:
        """The model: the base's weights where there is one, else fresh from the config's seed."""
        torch.manual_seed(self.config.seed)
        transformer = self.base.transformer()
        transformer.train().requires_grad_(True)
        for module in transformer.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.config.model.dropout
        if self.config.run.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        text_encoder = self.base.text_encoder()
        if self.config.model.trainable == "new":
            transformer.freeze_base()
            if text_encoder is not None:
                text_encoder.requires_grad_(False)
        return MultiViewNet(transformer, text_encoder)

    def start(self, net: MultiViewNet) -> None:
        """The weights that a fresh run of our own format starts from, if its config names some."""
        self.base.start(net.transformer, net.text_encoder)

    def rate_shares(self) -> dict[str, float]:
        return self.base.rate_shares()

    def compiled_parts(self, net: MultiViewNet) -> list[nn.Module]:
        """What `run.compile` compiles: each block alone, so that all share one program."""
        return net.transformer.compiled_parts()

    def text_encoder_of(self, net: MultiViewNet) -> TextEncoder:
        """What turns prompts into tokens, for sampling."""
        return self.base.encoder(net.text_encoder)

    def prepare(self, samples: Sequence[Sample], generator: torch.Generator) -> MultiViewBatch:
        """Tensors of a micro-batch; every draw comes from `generator`."""
        z0 = torch.stack([self.latents(sample) for sample in samples])
        z_channels = self.preset.transformer.in_channels
        if z0.shape[2] != z_channels:
            raise SynCamError(
                "config.autoencoder",
                f"Source {samples[0].source} has {z0.shape[2]} latent channels, the transformer "
                f"reads {z_channels}.",
            )
        conditioning = self.config.conditioning
        jitter = conditioning.camera_jitter
        encoded = [
            self.cameras(jittered(sample, jitter, generator) if jitter else sample)
            for sample in samples
        ]
        frames = z0.shape[3]
        count, views = z0.shape[:2]
        t_B = flow.draw_times(self.config.flow, count, generator)
        noise = flow.draw_noise(self.config.flow, z0.shape, generator)
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
            text=self.base.text(prompts),
            cameras_BVFSR=torch.from_numpy(np.stack([e.numbers_VFSR for e in encoded])),
            pattern_BFhKK=_batch_patterns(encoded, frames),
            keys=tuple(f"{sample.source}/{sample.key}" for sample in samples),
        )

    def loss(self, model: nn.Module, batch: MultiViewBatch) -> tuple[Tensor, dict[str, float]]:
        """Weighted squared error over the views that are not clean; and what to log."""
        z_t = flow.add_noise(batch.z0_BVCFHW, batch.noise_BVCFHW, batch.t_BV)
        rig = (batch.cameras_BVFSR, batch.pattern_BFhKK)
        output = model(z_t, batch.t_BV, *rig, batch.text).float()
        wanted = flow.target(self.config.flow, batch.z0_BVCFHW, batch.noise_BVCFHW)
        error_BVHW = (output - wanted).square().mean(dim=(2, 3))
        noisy_BV = (batch.t_BV > 0).float()
        share_BV = noisy_BV / noisy_BV.sum(1, keepdim=True)
        weight_HW = flow.place_weights(self.config.flow, *error_BVHW.shape[2:])
        weighted_BV = (error_BVHW * weight_HW.to(error_BVHW)).mean(dim=(2, 3))
        kind = "clips" if batch.z0_BVCFHW.shape[3] > 1 else "stills"
        # The weighted loss swings with the drawn times; this one can be compared between steps.
        plain_BV = error_BVHW.detach().mean(dim=(2, 3))
        logged = {f"error_{kind}": float((plain_BV * share_BV).sum(1).mean())}
        return ((weighted_BV * share_BV).sum(1) * batch.weight_B).mean(), logged

    def latents(self, sample: Sample) -> Tensor:
        """Clean latents z_VCFHW of a sample, read or encoded."""
        if sample.latents_VZFhw is not None:
            return torch.from_numpy(np.ascontiguousarray(sample.latents_VZFhw)).float()
        if self.autoencoder is None:
            raise lacks_autoencoder(sample.source)
        with torch.inference_mode():
            return self.autoencoder.encode(to_network(sample.pictures_VTHW3)).clone()

    def cameras(self, sample: Sample) -> EncodedCameras:
        """What the network reads of a sample's cameras, view 0 the anchor."""
        return encode_cameras(
            sample.c2w_cv_m_VF44,
            sample.K_VF33,
            self.preset.camera,
            sample.width_px,
            sample.height_px,
        )


def lacks_autoencoder(source: str) -> SynCamError:
    """The error for a source of pictures where nothing encodes them."""
    return SynCamError(
        "config.autoencoder",
        f"Source {source} gives pictures, and the config's model.autoencoder is empty.",
        fix="Name the autoencoder's folder, or encode with `syncam data latents`",
    )


def jittered(sample: Sample, deviation: float, generator: torch.Generator) -> Sample:
    """The sample with each camera told a little off, the same at all moments.

    Equal cameras, those of a static clip that was copied to all views, are told as they are.
    """
    c2w_VF44 = np.array(sample.c2w_cv_m_VF44, np.float64)
    if not np.ptp(c2w_VF44, axis=0).any():
        return sample
    views = len(c2w_VF44)
    place, turn = deviation * torch.randn(2, views, 3, generator=generator).double()
    distance_V = np.linalg.norm(c2w_VF44[:, 0, :3, 3] - focus_point(c2w_VF44[:, 0]), axis=-1)
    c2w_VF44[:, :, :3, 3] += (place.numpy() * distance_V[:, None])[:, None]
    skew_V33 = torch.linalg.cross(turn[:, None], torch.eye(3, dtype=turn.dtype).expand(views, 3, 3))
    turned_V33 = torch.linalg.matrix_exp(skew_V33).numpy()
    c2w_VF44[:, :, :3, :3] = c2w_VF44[:, :, :3, :3] @ turned_V33[:, None]
    return replace(sample, c2w_cv_m_VF44=c2w_VF44)


def _batch_patterns(encoded: Sequence[EncodedCameras], frames: int) -> Tensor | None:
    """Attention patterns of a batch, pattern_BFhKK; one frame where no camera of it moves."""
    patterns = [e.pattern_FhKK for e in encoded]
    if patterns[0] is None:
        return None
    if any(len(p) > 1 for p in patterns):
        patterns = [np.broadcast_to(p, (frames, *p.shape[1:])) for p in patterns]
    return torch.from_numpy(np.stack(patterns))


def trained_preset(config: TrainConfig) -> Preset:
    """The preset that the config trains: its base preset with the config's own sizes and limits."""
    preset = get_preset(config.model.preset)
    transformer = _changed(preset.transformer, config.model.transformer, "transformer")
    camera = _changed(preset.camera, config.model.camera, "camera")
    envelope = _changed(preset.envelope, config.model.envelope, "envelope")
    sampling = replace(
        preset.sampling,
        prediction=config.flow.prediction,
        shared_noise=config.flow.shared_noise,
    )
    return _replaced(
        preset,
        transformer=transformer,
        camera=camera,
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
    hints = get_type_hints(type(part))
    values = {key: convert(hints[key], v, f"model.{name}.{key}") for key, v in changes.items()}
    return _replaced(part, **values)


def _replaced(part: Any, **values: Any) -> Any:
    """`dataclasses.replace`; what the part itself refuses is an error of the config."""
    try:
        return replace(part, **values)
    except ValueError as error:
        raise impossible_model(error) from error
