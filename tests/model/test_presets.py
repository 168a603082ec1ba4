# SPDX-License-Identifier: Apache-2.0
"""Presets are plain data, readable without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import WAN_1_3B, Preset, get_preset, list_presets
from syncam_engine.model.transformer_files import expected_shapes


@pytest.mark.parametrize("preset", [get_preset("preview"), WAN_1_3B], ids=lambda p: p.name)
def test_json_round_trip(preset, tmp_path):
    preset.write(tmp_path / "preset.json")
    assert Preset.read(tmp_path / "preset.json") == preset


def test_every_listed_preset_is_there():
    for name in list_presets():
        assert get_preset(name).name == name
    with pytest.raises(SynCamError, match="there are preview"):
        get_preset("wan9")


def test_faults_in_a_file_are_named(tmp_path):
    data = json.loads(json.dumps(get_preset("preview").to_dict()))
    data["transformer"]["depth"] = 3
    with pytest.raises(SynCamError, match="unknown field 'depth'"):
        Preset.from_dict(data)
    data = json.loads(json.dumps(get_preset("preview").to_dict()))
    data["transformer"]["camera_numbers"] = 5
    with pytest.raises(SynCamError, match="its camera encoding has"):
        Preset.from_dict(data)
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(SynCamError, match="cannot be read"):
        Preset.read(tmp_path / "p.json")


DEEP = []
for _ in range(900):  # so much of it json.loads still reads
    DEEP = [DEEP]


@pytest.mark.parametrize("wrong", [DEEP, [], True], ids=["deep", "list", "bool"])
@pytest.mark.parametrize("field", ["", "name", "source", "envelope", "transformer.eps"])
def test_wrong_kinds_of_values_are_said(field, wrong):
    data = json.loads(json.dumps(WAN_1_3B.to_dict()))
    *parts, last = field.split(".")
    place = data[parts[0]] if parts else data
    place[last] = wrong
    with pytest.raises(SynCamError) as caught:
        Preset.from_dict(data if field else wrong)
    assert caught.value.code == "preset.fields"


def test_file_nested_without_end_is_said(tmp_path):
    (tmp_path / "p.json").write_text('{"envelope":' + "[" * 100_000)
    with pytest.raises(SynCamError, match="nested too deeply") as caught:
        Preset.read(tmp_path / "p.json")
    assert caught.value.code == "preset.file"


@pytest.mark.processes
def test_no_torch_is_imported():
    code = (
        "import sys, syncam_engine.model.presets as p; p.get_preset('preview');"
        "import syncam_engine.model.interfaces, syncam_engine.model.camera_encoding;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_released_layout_has_the_published_size():
    shapes = expected_shapes(WAN_1_3B.transformer)
    sizes = {}
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        sizes[name] = count
    assert len(shapes) == 1275
    assert sum(sizes.values()) == 1_773_951_040
    assert sum(n for name, n in sizes.items() if ".mvs." in name) == 354_954_240


def test_folder_in_the_place_of_its_file_is_one_sentence(tmp_path):
    with pytest.raises(SynCamError) as caught:
        Preset.read(tmp_path)
    assert str(caught.value) == f"The preset file {tmp_path} cannot be read: Is a directory."
    assert caught.value.fix == f"Name {tmp_path / 'preset.json'}"
    with pytest.raises(
        SynCamError, match=r"none\.json cannot be read: No such file or directory\."
    ):
        Preset.read(tmp_path / "none.json")
