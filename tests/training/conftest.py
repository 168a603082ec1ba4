# SPDX-License-Identifier: Apache-2.0
"""One thread a test, and an autoencoder for all that train on its latents."""

from __future__ import annotations

import pytest
import torch

from syncam_engine.preview.train_autoencoder import AutoencoderTask
from syncam_engine.training.trainer import Trainer
from tests.training.small_runs import autoencoder_config, mixture_of


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def autoencoder_folder(tmp_path_factory):
    """An autoencoder trained for 30 steps, and the folder it was saved in."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("autoencoder")
    config = autoencoder_config()
    mixture = mixture_of(config)
    trainer = Trainer(config, AutoencoderTask(config, mixture), mixture, folder, say=lambda s: None)
    result = trainer.train()
    assert result.step == 30
    assert sum(result.losses[-5:]) < sum(result.losses[:5])
    trainer.net.autoencoder.save(folder)
    return folder
