# SPDX-License-Identifier: Apache-2.0
"""The preview model's autoencoder: space-to-depth patches, linear skips started from PCA.

Four pictures of 8x8 pixels become one latent cell. The first latent frame covers picture 0 alone
(it is repeated four times), so that T = 4(F-1)+1 as in the Wan family and a still is F = 1.

Shape legend: V views or clips, T pictures, F latent frames, H, W in pixels (h, w in latent cells),
C channels (z_channels in latents, 3 in pictures), N patches,
P = 3*4*8*8 = 768 channels of a patch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from einops import rearrange
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.convolutions import ResidualBlock
from syncam_engine.model.weight_files import read_header

AUTOENCODER_FILE = "autoencoder.safetensors"
SPATIAL_STRIDE = 8
TEMPORAL_STRIDE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchAutoencoderConfig:
    """Sizes of a `PatchAutoencoder`."""

    z_channels: int = 24
    """Channels of a latent cell."""
    width: int = 128
    """Channels inside the residual blocks."""
    encoder_blocks: int = 3
    """Residual blocks before the latent."""
    decoder_blocks: int = 5
    """Residual blocks after the latent."""

    def __post_init__(self) -> None:
        for name in ("z_channels", "width", "encoder_blocks", "decoder_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % 8:
            raise ValueError(f"width must divide by 8 (group norm), got {self.width}")


def _tower(channels_in: int, width: int, blocks: int, channels_out: int) -> nn.Sequential:
    tower = nn.Sequential(
        nn.Conv2d(channels_in, width, 1),
        *(ResidualBlock(width) for _ in range(blocks)),
        nn.Conv2d(width, channels_out, 1),
    )
    nn.init.zeros_(tower[-1].weight)
    nn.init.zeros_(tower[-1].bias)
    return tower


class PatchAutoencoder(nn.Module):
    """Encodes pictures to latents of unit overall scale and back.

    `latent_scale` is one number for all channels: whitening each channel made mosaics.
    """

    spatial_stride = SPATIAL_STRIDE
    temporal_stride = TEMPORAL_STRIDE

    def __init__(self, config: PatchAutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or PatchAutoencoderConfig()
        z, width = self.config.z_channels, self.config.width
        patch = 3 * TEMPORAL_STRIDE * SPATIAL_STRIDE**2
        self.encode_line = nn.Conv2d(patch, z, 1)
        self.encode_tower = _tower(patch, width, self.config.encoder_blocks, z)
        self.decode_line = nn.Conv2d(z, patch, 1)
        self.decode_tower = _tower(z, width, self.config.decoder_blocks, patch)
        self.register_buffer("latent_scale", torch.ones(()))

    @property
    def z_channels(self) -> int:
        return self.config.z_channels

    @property
    def device(self) -> torch.device:
        return self.latent_scale.device

    @property
    def dtype(self) -> torch.dtype:
        return self.encode_line.weight.dtype

    def encode(self, video_VCTHW: Tensor) -> Tensor:
        """Pictures in [-1, 1], T = 4(F-1)+1, H and W multiples of 8 -> z_VCFHW.

        Raises `ValueError` with the size when it does not fit.
        """
        patches = to_patches(video_VCTHW)
        z = self.encode_patches(patches) * self.latent_scale
        return rearrange(z, "(v f) c h w -> v c f h w", v=video_VCTHW.shape[0])

    def decode(self, z_VCFHW: Tensor) -> Tensor:
        """Latents -> pictures in [-1, 1], video_VCTHW with T = 4(F-1)+1."""
        views = z_VCFHW.shape[0]
        z = rearrange(z_VCFHW, "v c f h w -> (v f) c h w") / self.latent_scale
        return from_patches(self.decode_patches(z), views).clamp(-1.0, 1.0)

    def preview(self, z_VCHW: Tensor) -> Tensor:
        """One latent frame -> the last picture it covers, by the linear part alone; rgb_VCHW."""
        line = self.decode_line(z_VCHW / self.latent_scale)
        picture = rearrange(
            line,
            "v (c t a b) h w -> v t c (h a) (w b)",
            c=3,
            t=TEMPORAL_STRIDE,
            a=SPATIAL_STRIDE,
            b=SPATIAL_STRIDE,
        )
        return picture[:, -1].clamp(-1.0, 1.0)

    def encode_patches(self, patches_NPhw: Tensor) -> Tensor:
        """Patches -> latents before scaling, z_NChw."""
        return self.encode_line(patches_NPhw) + self.encode_tower(patches_NPhw)

    def decode_patches(self, z_NChw: Tensor) -> Tensor:
        """Latents before scaling -> patches_NPhw, not clamped."""
        return self.decode_line(z_NChw) + self.decode_tower(z_NChw)

    @torch.no_grad()
    def start_from_pca(self, patches_NP: Tensor) -> float:
        """Set both linear parts from the principal components of sample patches.

        Returns the share of the patches' variance that the kept components explain.
        """
        mean_P = patches_NP.mean(0)
        centred = (patches_NP - mean_P).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        kept = vectors[:, -self.z_channels :].flip(1).to(patches_NP)
        self.encode_line.weight.copy_(kept.T[:, :, None, None])
        self.encode_line.bias.copy_(-(kept.T @ mean_P))
        self.decode_line.weight.copy_(kept[:, :, None, None])
        self.decode_line.bias.copy_(mean_P)
        return float(values[-self.z_channels :].sum() / values.sum())

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
        """Write the weights, with the config in the file's metadata."""
        path = Path(folder) / AUTOENCODER_FILE
        tensors = {
            k: v.detach().to("cpu", dtype).contiguous() for k, v in self.state_dict().items()
        }
        # The scale multiplies everything: it alone stays in full precision.
        tensors["latent_scale"] = self.latent_scale.detach().to("cpu", torch.float32)
        save_file(tensors, path, metadata={"config": json.dumps(asdict(self.config))})
        return path

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> PatchAutoencoder:
        """Read what `save` wrote. Raises `SynCamError` when it is not such a file."""
        path = Path(folder) / AUTOENCODER_FILE
        if not path.is_file():
            raise SynCamError(
                "weights.missing", f"The autoencoder file {path} is not there.", value=str(path)
            )
        read_header(path)  # A file that was cut is one sentence.
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).to(dtype) for key in file.keys()}  # noqa: SIM118
        if "config" not in metadata:
            raise SynCamError(
                "weights.format", f"{path} is not a SynCam patch autoencoder.", value=str(path)
            )
        model = cls(PatchAutoencoderConfig(**json.loads(metadata["config"]))).to(dtype)
        model.load_state_dict(tensors)
        return model.eval()


def to_patches(video_VCTHW: Tensor) -> Tensor:
    """Pictures -> patches_NPhw with N = V*F; picture 0 is repeated to fill its group."""
    _, _, frames, height, width = video_VCTHW.shape
    if frames % TEMPORAL_STRIDE != 1:
        raise ValueError(f"the number of pictures must be 4(F-1)+1, got {frames}")
    if height % SPATIAL_STRIDE or width % SPATIAL_STRIDE:
        raise ValueError(f"width and height must divide by 8, got {width}x{height}")
    lead = video_VCTHW[:, :, :1].expand(-1, -1, TEMPORAL_STRIDE - 1, -1, -1)
    padded = torch.cat([lead, video_VCTHW], dim=2)
    return rearrange(
        padded,
        "v c (f t) (h a) (w b) -> (v f) (c t a b) h w",
        t=TEMPORAL_STRIDE,
        a=SPATIAL_STRIDE,
        b=SPATIAL_STRIDE,
    )


def from_patches(patches_NPhw: Tensor, views: int) -> Tensor:
    """The inverse of `to_patches`: of the first group its last picture is kept."""
    padded = rearrange(
        patches_NPhw,
        "(v f) (c t a b) h w -> v c (f t) (h a) (w b)",
        v=views,
        c=3,
        t=TEMPORAL_STRIDE,
        a=SPATIAL_STRIDE,
        b=SPATIAL_STRIDE,
    )
    return padded[:, :, TEMPORAL_STRIDE - 1 :]
