# SPDX-License-Identifier: Apache-2.0
"""Networks of toy size, random weights, saved as real ones come: folders, tensors, scripts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


def write_clip(folder: Path, width: int = 12) -> Path:
    """A CLIP with its processor, in the hub's folder format."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPProcessor,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    CLIPModel(
        CLIPConfig(
            text_config={
                **small,
                "num_attention_heads": 2,
                "vocab_size": 8,
                "eos_token_id": 1,
                "max_position_embeddings": 16,
            },
            vision_config={
                **small,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
            },
            projection_dim=width,
        )
    ).save_pretrained(folder)
    words = {"<pad>": 0, "<end>": 1, "<unk>": 2, "a": 3, "red": 4, "box": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    CLIPProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
        ),
    ).save_pretrained(folder)
    return folder


def write_dino(folder: Path) -> Path:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(4)
    ViTModel(
        ViTConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=224,
            patch_size=32,
        )
    ).save_pretrained(folder)
    return folder


def write_loftr(folder: Path, size: tuple[int, int] = (96, 64)) -> Path:
    """An EfficientLoFTR that sees pictures of WIDTHxHEIGHT; every mutual best pair is a match."""
    from transformers import (
        EfficientLoFTRConfig,
        EfficientLoFTRForKeypointMatching,
        EfficientLoFTRImageProcessorPil,
    )

    torch.manual_seed(0)
    EfficientLoFTRForKeypointMatching(
        EfficientLoFTRConfig(
            stage_num_blocks=[1, 1, 1],
            out_features=[32, 32, 64],
            stage_stride=[2, 1, 2],
            q_aggregation_kernel_size=1,
            kv_aggregation_kernel_size=1,
            q_aggregation_stride=1,
            kv_aggregation_stride=1,
            num_attention_layers=1,
            num_attention_heads=8,
            hidden_size=64,
            fine_kernel_size=2,
            coarse_matching_threshold=0.0,
            coarse_matching_border_removal=0,
            coarse_matching_temperature=1e-4,
        )
    ).save_pretrained(folder)
    width, height = size
    EfficientLoFTRImageProcessorPil(size={"height": height, "width": width}).save_pretrained(folder)
    return folder


def write_alexnet(path: Path) -> Path:
    """Random weights under torchvision's names, the classifier's too."""
    torch.manual_seed(5)
    sizes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    tensors = {"classifier.6.bias": torch.zeros(1000)}
    for index, (out, into, side) in sizes.items():
        weight = torch.randn(out, into, side, side) / (into * side * side) ** 0.5
        tensors |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.randn(out)}
    torch.save(tensors, path)
    return path


class Between(nn.Module):
    """Stands for AMT: the mean of both frames, as it needs multiples of 16."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.shape[2] % 16 == 0
        assert a.shape[3] % 16 == 0
        return 0.5 * (a + b)


class Brightness(nn.Module):
    """Stands for MUSIQ: 0 to 100."""

    def forward(self, picture: Tensor) -> Tensor:
        assert max(picture.shape[2], picture.shape[3]) <= 512
        return 100.0 * picture.mean()


class Inception(nn.Module):
    """Takes what the FID Inception takes: uint8 pictures and a flag."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mix", torch.randn(3, 6))

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert x.dtype == torch.uint8
        assert return_features
        return x.float().mean(dim=[2, 3]) @ self.mix


class I3D(nn.Module):
    """Takes what StyleGAN-V's I3D takes: float videos from 0 to 255 and three flags."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mix", torch.randn(6, 5))

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        assert all([rescale, resize, return_features])
        assert x.shape[2] >= 10
        change = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=[2, 3, 4])
        return torch.cat([x.mean(dim=[2, 3, 4]), change], dim=1) @ self.mix


def write_script(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path
