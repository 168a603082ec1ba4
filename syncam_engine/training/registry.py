# SPDX-License-Identifier: Apache-2.0
"""What the trainer finds by its name alone (`model.registry.named`), so that importing it reads no
model's own room."""

from __future__ import annotations

TASKS = {
    "multiview": "syncam_engine.training.multiview:MultiViewTask",
    "autoencoder": "syncam_engine.preview.train_autoencoder:AutoencoderTask",
    "classifier": "syncam_engine.preview.train_classifier:ClassifierTask",
}
"""`TrainConfig.kind` to a class that is a `tasks.Task`."""

SHEETS = {
    "multiview": "syncam_engine.training.sheets:multiview_sheet",
    "autoencoder": "syncam_engine.preview.train_autoencoder:autoencoder_sheet",
}
"""`TrainConfig.kind` to (config, task, mixture) -> what draws `run.sheet_steps`' sheets."""

EXPORTS = {
    "autoencoder": "syncam_engine.preview.train_autoencoder:export_autoencoder",
    "classifier": "syncam_engine.preview.train_classifier:export_classifier",
}
"""`TrainConfig.kind` to what writes the trained weights as the files that ship; the multi-view
model's, a preset, are written by `runs.py`."""

SECTIONS = {
    "autoencoder": "syncam_engine.preview.train_config:AutoencoderConfig",
    "classifier": "syncam_engine.preview.train_config:ClassifierConfig",
}
"""`TrainConfig.kind` to the dataclass of its own section, which has the kind's name in YAML."""

BASES = {
    "diffusers": "syncam_engine.training.bases:HubBase",
    "package": "syncam_engine.preview.train_base:PackageBase",
}
"""`Source.kind` of the trained preset to a class that is a `bases.Base`."""
