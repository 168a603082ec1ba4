# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds on made-up boxes: their configs, mixtures and trainers."""

from __future__ import annotations

from pathlib import Path

from syncam_engine.data.mixture import Mixture
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import config_from_dict
from syncam_engine.training.multiview import MultiViewTask
from syncam_engine.training.trainer import Trainer
from tests.data.synthetic import BoxSource

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "ffn_dim": 48,
    "in_channels": 6,
    "text_dim": 32,
    "pooled_text": False,
    "refiner_width": 0,
}


def autoencoder_config(**changes) -> TrainConfig:
    document = {
        "name": "test-autoencoder",
        "kind": "autoencoder",
        "seed": 5,
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            "views": 2,
            "frames": 5,
            "width": 64,
            "height": 32,
        },
        "phases": [{"until_step": 30, "stills": 0.5, "batch": 2}],
        "autoencoder": {
            "z_channels": 6,
            "width": 16,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
            "pca_clips": 6,
        },
        "optim": {"learning_rate": 2e-3, "ema_decay": 0.99},
        "run": {"device": "cpu", "checkpoint_minutes": 0, "log_steps": 10},
    }
    return config_from_dict(TrainConfig, {**document, **changes}, "")


def multiview_config(autoencoder: Path, **changes) -> TrainConfig:
    document = {
        "name": "test-multiview",
        "seed": 3,
        "data": {
            "sources": [{"kind": "rendered", "path": "unused"}],
            "views": 3,
            "frames": 5,
            "width": 64,
            "height": 32,
        },
        "phases": [
            {"until_step": 4, "stills": 1.0, "batch": 2},
            {"until_step": 8, "stills": 0.4, "batch": 1, "stills_batch": 2},
        ],
        "model": {"transformer": SMALL, "autoencoder": str(autoencoder)},
        "flow": {
            "prediction": "x0",
            "time": "logit-normal",
            "time_mean": 0.4,
            "weight": "inverse-time",
        },
        "conditioning": {"text_dropout": 0.2, "reference": 0.4},
        "optim": {"learning_rate": 1e-3, "ema_decay": 0.99, "accumulation": 2},
        "run": {"device": "cpu", "checkpoint_minutes": 0, "log_steps": 2},
    }
    return config_from_dict(TrainConfig, {**document, **changes}, "")


def mixture_of(config: TrainConfig, source=None) -> Mixture:
    return Mixture(
        [(source or BoxSource(), 1.0)],
        seed=config.seed,
        width_px=config.data.width,
        height_px=config.data.height,
    )


def make_trainer(folder: Path, autoencoder: Path, source=None, said=None, **changes) -> Trainer:
    config = multiview_config(autoencoder, **changes)
    mixture = mixture_of(config, source)
    task = MultiViewTask(config, mixture.sources[0][0].scenes)
    say = said.append if said is not None else lambda s: None
    return Trainer(config, task, mixture, folder, say=say)
