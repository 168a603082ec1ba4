# SPDX-License-Identifier: Apache-2.0
"""What a run of the preview's kind starts from: noise or a folder in our own format, and a
vocabulary whose text encoder learns with the transformer (`bases.Base`).

Shapes: B prompts, L text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from syncam_engine.data.scene import Scene
from syncam_engine.data.sources import expand
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import Autoencoder, TextEncoder
from syncam_engine.model.presets import Preset
from syncam_engine.model.transformer import MultiViewWanTransformer, build_transformer
from syncam_engine.model.transformer_files import TRANSFORMER_FILE, expected_shapes
from syncam_engine.model.weight_files import check_shapes, read_header
from syncam_engine.preview.autoencoder import PatchAutoencoder
from syncam_engine.preview.text_encoder import WordTextEncoder, WordTextEncoderConfig, token_ids
from syncam_engine.preview.vocabulary import Vocabulary
from syncam_engine.training.bases import Text
from syncam_engine.training.config import TrainConfig, impossible_model


class PackageBase:
    """The vocabulary, the weights if the config names some, the autoencoder of the latents."""

    def __init__(
        self, config: TrainConfig, preset: Preset, scenes: Sequence[Scene], words: Sequence[str]
    ) -> None:
        self.config, self.preset = config, preset
        self.folder = package_base(config, preset)
        vocabulary = Vocabulary.from_captions([], keep=tuple(words)) if words else None
        if vocabulary is None and self.folder is not None:
            vocabulary = Vocabulary.read(self.folder)
        self.vocabulary = _grown(vocabulary, scenes)
        self.words = self.vocabulary.words
        self.autoencoder: Autoencoder | None = None
        if config.model.autoencoder:
            self.autoencoder = PatchAutoencoder.load(expand(config.model.autoencoder))
            self.autoencoder.requires_grad_(False)

    def transformer(self) -> MultiViewWanTransformer:
        return build_transformer(self.preset.transformer)

    def text_encoder(self) -> WordTextEncoder:
        width = self.preset.transformer.text_dim
        try:
            sizes = WordTextEncoderConfig(width=width, word_skip=self.config.model.word_skip)
        except ValueError as error:
            raise impossible_model(error) from error
        return WordTextEncoder(self.vocabulary, sizes)

    def start(self, transformer: MultiViewWanTransformer, text_encoder: WordTextEncoder) -> None:
        if self.folder is not None:
            load_package_base(self.folder, transformer, text_encoder)

    def text(self, prompts: Sequence[str]) -> Text:
        return Text(ids_BL=token_ids(self.vocabulary, prompts))

    def encoder(self, text_encoder: WordTextEncoder) -> TextEncoder:
        return text_encoder

    def rate_shares(self) -> dict[str, float]:
        """The text encoder learns slowly, its words' own vectors fast.

        At the full rate what all captions have in common took the text's layers over: one singular
        value of 22 where the next was 2.
        """
        return {"word_skip": 4.0, "text_encoder": 0.3, "text_embedder": 0.3}


def _grown(vocabulary: Vocabulary | None, scenes: Sequence[Scene]) -> Vocabulary:
    """The vocabulary of a run and the words that its data has beyond it."""
    captions = [text for scene in scenes for text in scene.captions]
    kept = () if vocabulary is None else vocabulary.words
    if vocabulary is not None and not any(map(vocabulary.unknown_words, captions)):
        return vocabulary
    try:
        return Vocabulary.from_captions(captions, keep=kept)
    except ValueError as error:
        raise SynCamError(
            "data.words",
            f"The data's captions have more words than the text encoder can hold: {error}.",
            fix="Say less in the captions, or train a preset whose text encoder reads all words",
        ) from error


OWN_PARTS = ("text_pooler.", "refiner.")
"""Parts of a transformer that weights may lack: they start as nothing."""


def package_base(config: TrainConfig, preset: Preset) -> Path | None:
    """The folder in our own format whose weights a run starts from; None to start from noise.

    Raises `SynCamError` when it is not there, or its transformer has other shapes than the preset.
    """
    if not config.model.base:
        return None
    folder = expand(config.model.base)
    if not folder.is_dir():
        raise SynCamError(
            "config.base",
            f"The base folder {config.model.base} of the training config is not there.",
            value=config.model.base,
            fix="Name a folder that `syncam train CONFIG --export FOLDER` wrote",
        )
    header = read_header(folder / TRANSFORMER_FILE)
    wanted = expected_shapes(preset.transformer)
    lacking = {k for k in wanted if k.startswith(OWN_PARTS) and k not in header.shapes}
    wanted = {k: v for k, v in wanted.items() if k not in lacking}
    check_shapes(header.shapes, wanted, f"The base transformer in {folder}")
    return folder


def load_package_base(
    folder: Path, transformer: MultiViewWanTransformer, text_encoder: WordTextEncoder
) -> None:
    """Put a folder's weights into a fresh network and text encoder; words beyond it stay fresh."""
    tensors = load_file(folder / TRANSFORMER_FILE)
    transformer.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    found = WordTextEncoder.load(folder)
    if found.config != replace(text_encoder.config, word_skip=found.config.word_skip) or (
        found.config.word_skip and not text_encoder.config.word_skip
    ):
        raise SynCamError(
            "config.base",
            f"The base's text encoder has {found.config}, the config asks for "
            f"{text_encoder.config}.",
            value=str(folder),
            fix="Set model.word_skip as the base has it",
        )
    # A `word_skip` that the folder's encoder lacks starts as nothing.
    text_encoder.load_state_dict(found.state_dict(), strict=False)
