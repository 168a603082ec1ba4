# SPDX-License-Identifier: Apache-2.0
"""The preview's autoencoder as a task of the trainer.

Shape legend: N clips (samples x views), T pictures, C channels, H, W pixels, P channels of a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from syncam_engine.data.mixture import Mixture
from syncam_engine.data.scene import Sample
from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.media.sheets import contact_sheet, strip
from syncam_engine.model.pixels import to_network, to_pictures
from syncam_engine.preview.autoencoder import (
    PatchAutoencoder,
    PatchAutoencoderConfig,
    from_patches,
    to_patches,
)
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.tasks import Task

SHEET_SAMPLES = 3
MOVING_THRESHOLD = 0.06
"""A pixel moves when it leaves its own mean over the clip by this much, in [-1, 1] units."""
L1_SHARE = 0.1
"""Absolute error beside the squared one keeps small edges from washing out."""

LINE_SHARE = 0.1
"""Share of the rate at which the linear parts learn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch:
    """Pictures of one micro-batch."""

    video_NCTHW: Tensor
    noise_seed: int
    keys: tuple[str, ...]

    def to(self, device: torch.device) -> ClipBatch:
        return replace(self, video_NCTHW=self.video_NCTHW.to(device))


class AutoencoderModel(nn.Module):
    """The autoencoder with a forward of its own: noisy round trip of pictures."""

    def __init__(self, autoencoder: PatchAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, video_NCTHW: Tensor, noise: float, block: int, seed: int) -> Tensor:
        """`noise`, `block`: `AutoencoderConfig.latent_noise` and `.noise_block`."""
        z = self.autoencoder.encode_patches(to_patches(video_NCTHW))
        if noise:
            generator = torch.Generator(device="cpu").manual_seed(seed)
            spread = noise_like(z, noise, block, generator) / self.autoencoder.latent_scale
            z = z + spread
        return from_patches(self.autoencoder.decode_patches(z), video_NCTHW.shape[0])


def noise_like(z_NChw: Tensor, most: float, block: int, generator: torch.Generator) -> Tensor:
    """Noise of a deviation drawn for each picture up to `most`, half of it alike in squares."""
    count, channels, rows, columns = z_NChw.shape
    noise = torch.randn(z_NChw.shape, generator=generator)
    if block > 1:
        squares = (count, channels, -(-rows // block), -(-columns // block))
        coarse = torch.randn(squares, generator=generator)
        coarse = coarse.repeat_interleave(block, 2).repeat_interleave(block, 3)
        noise = (noise + coarse[:, :, :rows, :columns]) * 0.5**0.5
    share = torch.rand(count, 1, 1, 1, generator=generator)
    return (most * share * noise).to(z_NChw)


class AutoencoderTask(Task):
    """Builds the autoencoder (linear start from PCA), makes batches, computes the loss.

    Without a mixture it builds, and samples nothing.
    """

    def __init__(self, config: TrainConfig, mixture: Mixture | None) -> None:
        self.config = config
        self.mixture = mixture

    @classmethod
    def of_run(cls, config: TrainConfig, mixture: Mixture, words: Sequence[str]) -> AutoencoderTask:
        return cls(config, mixture)

    def build(self) -> AutoencoderModel:
        torch.manual_seed(self.config.seed)
        sizes = self.config.section
        if sizes.decoder_only:
            return self._with_frozen_encoder()
        autoencoder = PatchAutoencoder(
            PatchAutoencoderConfig(
                z_channels=sizes.z_channels,
                width=sizes.width,
                encoder_blocks=sizes.encoder_blocks,
                decoder_blocks=sizes.decoder_blocks,
            )
        )
        return AutoencoderModel(autoencoder)

    def _with_frozen_encoder(self) -> AutoencoderModel:
        base = self.config.model.base
        if not base:
            raise SynCamError(
                "config.base",
                "The training config asks for decoder_only and names no autoencoder to start from.",
                fix="Name the autoencoder's folder in model.base",
            )
        autoencoder = PatchAutoencoder.load(expand(base))
        autoencoder.encode_line.requires_grad_(False)
        autoencoder.encode_tower.requires_grad_(False)
        return AutoencoderModel(autoencoder)

    def start(self, net: AutoencoderModel) -> None:
        """The linear start of a fresh run, from the data's principal components."""
        if self.config.section.decoder_only:
            return
        net.autoencoder.start_from_pca(self._patches(self.config.section.pca_clips))
        set_latent_scale(net.autoencoder, self.sample_videos(32))

    def rate_shares(self) -> dict[str, float]:
        """The linear parts start as the best there is: they follow slowly."""
        return {"encode_line": LINE_SHARE, "decode_line": LINE_SHARE}

    def prepare(self, samples: Sequence[Sample], generator: torch.Generator) -> ClipBatch:
        videos = [video_of(sample) for sample in samples]
        seed = int(torch.randint(2**31, (), generator=generator))
        return ClipBatch(
            video_NCTHW=torch.cat(videos),
            noise_seed=seed,
            keys=tuple(f"{sample.source}/{sample.key}" for sample in samples),
        )

    def loss(self, model: nn.Module, batch: ClipBatch) -> tuple[Tensor, dict[str, float]]:
        """Squared and a little absolute error, more for pixels that move."""
        video = batch.video_NCTHW
        sizes = self.config.section
        output = model(video, sizes.latent_noise, sizes.noise_block, batch.noise_seed).float()
        error = (output - video).square()
        weight = 1.0 + (sizes.moving_weight - 1.0) * moving_pixels(video)
        both = error + L1_SHARE * (output - video).abs()
        kind = "clips" if video.shape[2] > 1 else "stills"
        psnr = float(10.0 * torch.log10(4.0 / error.detach().mean()))
        return (both * weight).sum() / (weight.sum() * video.shape[1]), {f"psnr_{kind}": psnr}

    def sample_videos(self, clips: int) -> Iterator[Tensor]:
        """Some training clips one by one, half of them stills where there are any."""
        request = self.request(self.config.phases[0])
        for step in range(clips):
            stills = float(step % 2) if 0.0 < request.stills < 1.0 else request.stills
            asked = replace(request, batch=1, stills_batch=1, stills=stills)
            # Micro-batch numbers far above any run's: the training order stays its own.
            samples = self.mixture.batch(asked, step=step, micro=2**20)
            yield torch.cat([video_of(sample) for sample in samples])

    def _patches(self, clips: int) -> Tensor:
        """Patches for PCA, patches_NP, a random 60 of each clip."""
        generator = torch.Generator().manual_seed(self.config.seed)
        chosen = []
        for video in self.sample_videos(clips):
            flat = to_patches(video).permute(0, 2, 3, 1).flatten(0, 2)
            chosen.append(flat[torch.randperm(len(flat), generator=generator)[:60]])
        return torch.cat(chosen)


def moving_pixels(video_NCTHW: Tensor) -> Tensor:
    """1 where a pixel leaves its mean over the clip, else 0; N1THW."""
    away = (video_NCTHW - video_NCTHW.mean(dim=2, keepdim=True)).abs().amax(dim=1, keepdim=True)
    return (away > MOVING_THRESHOLD).float()


@torch.no_grad()
def set_latent_scale(autoencoder: PatchAutoencoder, videos: Iterable[Tensor]) -> float:
    """Scale the latents to unit deviation over these clips; returns the scale."""
    z = torch.cat([autoencoder.encode_patches(to_patches(v)).flatten() for v in videos])
    spread = float(z.std())
    if not spread > 0:
        raise SynCamError("data.flat", "The training pictures are all alike; nothing to encode.")
    autoencoder.latent_scale.fill_(1.0 / spread)
    return 1.0 / spread


def video_of(sample: Sample) -> Tensor:
    """Pictures of a sample as video_VCTHW in [-1, 1]."""
    if sample.pictures_VTHW3 is None:
        raise SynCamError(
            "config.source",
            f"Source {sample.source} gives latents; an autoencoder trains on pictures.",
        )
    return to_network(sample.pictures_VTHW3)


def autoencoder_sheet(
    config: TrainConfig, task: AutoencoderTask, mixture: Mixture
) -> Callable[[AutoencoderModel, int, Path], None]:
    """A drawer of sheets: pictures and their round trip."""
    request = replace(task.request(config.phases[-1]), stills=0.0, batch=SHEET_SAMPLES)

    def draw(net: AutoencoderModel, step: int, path: Path) -> None:
        samples = mixture.batch(request, step=0, micro=2**22)
        rows, captions = [], []
        for sample in samples:
            video = video_of(sample)
            with torch.no_grad():
                back = net.autoencoder.decode(net.autoencoder.encode(video))
            rows += [strip(to_pictures(video)), strip(to_pictures(back))]
            captions += [f"true: {sample.caption}", f"step {step}"]
        contact_sheet(rows, captions).save(path)

    return draw


def export_autoencoder(
    config: TrainConfig,
    tensors: dict[str, Tensor],
    target: Path,
    open_data: Callable[[], Mixture],
) -> None:
    """Write `autoencoder.safetensors`, its latents scaled to the data unless they keep theirs."""
    keeps_latents = config.section.decoder_only
    task = AutoencoderTask(config, None if keeps_latents else open_data())
    net = task.build()
    net.load_state_dict(tensors)
    if not keeps_latents:
        set_latent_scale(net.autoencoder, task.sample_videos(64))
    net.autoencoder.save(target)
