# SPDX-License-Identifier: Apache-2.0
"""The preview model's text encoder: a small transformer over a closed vocabulary.

Shape legend: B prompts, L tokens (the vocabulary's `max_tokens`), D width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.weight_files import read_header
from syncam_engine.preview.vocabulary import PADDING, Vocabulary

TEXT_ENCODER_FILE = "text_encoder.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class WordTextEncoderConfig:
    """Sizes of a `WordTextEncoder`."""

    width: int = 128
    """D: width of a token, the transformer's `text_dim`."""
    layers: int = 2
    heads: int = 4
    word_skip: bool = False
    """Add each word's own vector to what the layers make of it, so that they cannot lose it."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must divide by heads {self.heads}")


def token_ids(vocabulary: Vocabulary, prompts: Sequence[str]) -> Tensor:
    """ids_BL, padded with `PADDING` to the vocabulary's length."""
    ids_BL = torch.full((len(prompts), vocabulary.max_tokens), PADDING, dtype=torch.long)
    for row, prompt in zip(ids_BL, prompts, strict=True):
        ids = vocabulary.encode(prompt)
        row[: len(ids)] = torch.tensor(ids)
    return ids_BL


class WordTextEncoder(nn.Module):
    """Words to tokens; trained together with the transformer that reads them.

    After the prompt's last token the output is zero, as the Wan family pads its text. Trained on
    pictures of which few words tell much, the layers alone end with tokens that are all but equal;
    `word_skip` starts as nothing and gives every word a way past them.
    """

    def __init__(self, vocabulary: Vocabulary, config: WordTextEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or WordTextEncoderConfig()
        self.vocabulary = vocabulary
        width = self.config.width
        self.word_embedding = nn.Embedding(vocabulary.capacity, width)
        self.place_embedding = nn.Parameter(torch.randn(vocabulary.max_tokens, width) * 0.02)
        nn.init.normal_(self.word_embedding.weight, std=0.5)
        layer = nn.TransformerEncoderLayer(
            width,
            self.config.heads,
            dim_feedforward=4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, self.config.layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.word_skip = None
        if self.config.word_skip:
            self.word_skip = nn.Embedding(vocabulary.capacity, width)
            nn.init.zeros_(self.word_skip.weight)

    @property
    def text_dim(self) -> int:
        return self.config.width

    def forward(self, ids_BL: Tensor) -> tuple[Tensor, Tensor]:
        mask_BL = ids_BL != PADDING
        x_BLD = self.word_embedding(ids_BL) + self.place_embedding
        x_BLD = self.layers(x_BLD, src_key_padding_mask=~mask_BL)
        if self.word_skip is not None:
            x_BLD = x_BLD + self.word_skip(ids_BL)
        return x_BLD * mask_BL.unsqueeze(-1), mask_BL

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts -> (tokens_BLD, mask_BL); the empty prompt is the begin token alone."""
        return self(token_ids(self.vocabulary, prompts).to(self.place_embedding.device))

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
        """Write weights and vocabulary."""
        path = Path(folder) / TEXT_ENCODER_FILE
        tensors = {
            k: v.detach().to("cpu", dtype).contiguous() for k, v in self.state_dict().items()
        }
        save_file(tensors, path, metadata={"config": json.dumps(asdict(self.config))})
        self.vocabulary.write(folder)
        return path

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> WordTextEncoder:
        """Read what `save` wrote. Raises `SynCamError` when it is not such a file."""
        path = Path(folder) / TEXT_ENCODER_FILE
        if not path.is_file():
            raise SynCamError(
                "weights.missing", f"The text encoder file {path} is not there.", value=str(path)
            )
        read_header(path)  # A file that was cut is one sentence.
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).to(dtype) for key in file.keys()}  # noqa: SIM118
        if "config" not in metadata:
            raise SynCamError(
                "weights.format", f"{path} is not a SynCam text encoder.", value=str(path)
            )
        config = WordTextEncoderConfig(**json.loads(metadata["config"]))
        model = cls(Vocabulary.read(folder), config).to(dtype)
        model.load_state_dict(tensors)
        return model.eval()
