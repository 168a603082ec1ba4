# SPDX-License-Identifier: Apache-2.0
"""Names that general code looks up: each leads to what it is said to."""

from __future__ import annotations

import json

import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.kinds import Footprint, Kind
from syncam_engine.model.patterns import AttentionPattern, pattern_of
from syncam_engine.model.presets import WAN_1_3B, CameraEncoding, Preset, TransformerConfig
from syncam_engine.model.registry import KINDS, PATTERNS, named
from syncam_engine.training import registry
from syncam_engine.training.tasks import Task


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_all_that_is_asked_of_it(kind):
    module = named(KINDS[kind])
    asked = {name for name in (*vars(Kind), *Kind.__annotations__) if not name.startswith("_")}
    assert {"load_parts", "prompt_issues", "FOOTPRINT", "AUTOENCODER_FILE"} <= asked
    assert [name for name in sorted(asked) if not hasattr(module, name)] == []
    assert issubclass(module.TRANSFORMER, TransformerConfig)
    assert issubclass(module.CAMERA, CameraEncoding)
    assert isinstance(module.FOOTPRINT, Footprint)


def test_patterns_and_tasks_are_there():
    assert pattern_of("full") is None
    assert all(isinstance(pattern_of(name), AttentionPattern) for name in PATTERNS)
    assert all(Task in named(task).__mro__ for task in registry.TASKS.values())
    for names in (registry.SECTIONS, registry.BASES, registry.SHEETS, registry.EXPORTS):
        assert all(callable(named(name)) for name in names.values())
    assert set(registry.BASES) == set(KINDS)


def test_a_kind_that_is_not_there_is_said_with_those_that_are():
    data = json.loads(json.dumps(WAN_1_3B.to_dict()))
    data["source"]["kind"] = "zip"
    with pytest.raises(SynCamError, match="kind is 'zip'; it must be diffusers or package"):
        Preset.from_dict(data)
