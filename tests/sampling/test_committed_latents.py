# SPDX-License-Identifier: Apache-2.0
"""A change that is not meant to change clips leaves them as they were."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.sampling.committed_latents import FILE, MODELS, MODES, latents


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.set_num_threads(1)
    return request.param, MODELS[request.param]()


@pytest.mark.parametrize("mode", MODES)
def test_latents_are_those_that_were_committed(model, mode):
    name, pipeline = model
    found, committed = latents(pipeline, mode), load_file(FILE)[f"{name}/{mode}"]
    assert found.shape == committed.shape
    assert float((found - committed).abs().max()) < 1e-3 * float(committed.max() - committed.min())


def test_committed_latents_tell_modes_apart():
    committed = load_file(FILE)
    assert set(committed) == {f"{name}/{mode}" for name in MODELS for mode in MODES}
    for name in MODELS:
        text = committed[f"{name}/text"]
        for mode in MODES[1:]:
            other = committed[f"{name}/{mode}"]
            assert float((other - text).abs().max()) > 0.02 * float(text.max() - text.min())
