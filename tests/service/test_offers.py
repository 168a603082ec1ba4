# SPDX-License-Identifier: Apache-2.0
"""What the engine offers, and what an open field of a request becomes at its door."""

from __future__ import annotations

import dataclasses

import pytest

from syncam_engine.devtools.harness import sample_request
from syncam_engine.model.hub_files import find_local_base, find_mvs_file
from syncam_engine.service.acceptance import fill_in
from syncam_engine.service.catalog import is_available, read_catalog

WAN = "wan2.1-1.3b"


def test_a_model_in_the_models_folder_is_available(tmp_path, monkeypatch):
    """Where SynCam itself downloads to; without the multi-view weights no job could run."""
    monkeypatch.setenv("SYNCAM_MODELS_DIR", str(tmp_path))
    preset = read_catalog().get(WAN)
    assert not is_available(preset)
    folder = tmp_path / preset.source.base.rsplit("/", 1)[-1]
    (folder / "transformer").mkdir(parents=True)
    assert find_local_base(preset.source.base) == folder
    assert not is_available(preset)
    (tmp_path / preset.source.mvs_file).write_bytes(b"")
    assert find_mvs_file(preset.source.mvs_file).parent == tmp_path
    assert is_available(preset)
    assert [info.available for info in read_catalog().infos() if info.name == WAN] == [True]


@pytest.mark.parametrize(("mode", "scale"), [("text", 5.0), ("reference", 7.5)])
def test_an_open_field_is_the_presets_own_in_the_requests_mode(mode, scale):
    preset = read_catalog().get(WAN)
    open_ = dataclasses.replace(preset, sampling=dataclasses.replace(preset.sampling, steps=23))
    request = sample_request(1, mode=mode, steps=None, guidance_scale=None, negative_prompt=None)
    filled = fill_in(request, open_)
    assert (filled.steps, filled.guidance_scale) == (23, scale)
    assert filled.negative_prompt == preset.sampling.negative_prompt != ""
    assert filled.preset == WAN


def test_an_empty_negative_prompt_is_one():
    filled = fill_in(sample_request(1, negative_prompt=""), read_catalog().get(WAN))
    assert filled.negative_prompt == ""


def test_no_preset_is_the_engines_default():
    catalog = read_catalog(WAN)
    assert catalog.get("").name == WAN
    assert fill_in(sample_request(1, preset=""), catalog.get("")).preset == WAN
