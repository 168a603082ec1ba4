# SPDX-License-Identifier: Apache-2.0
"""The bridge's tests run on a stand-in `unreal` module; each test gets a fresh editor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BRIDGE = ROOT / "ue_bridge/SynCam/Content/Python"
for folder in (HERE, BRIDGE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import stand_in  # noqa: E402

from syncam_engine.devtools.harness import LocalEngine  # noqa: E402


@pytest.fixture(params=["5.5"])
def unreal(request, tmp_path):
    """A fresh stand-in, installed as `unreal`; parametrise indirectly for other versions."""
    module = stand_in.make_unreal(request.param, tmp_path / "Project")
    (tmp_path / "Project" / "Content").mkdir(parents=True)
    (tmp_path / "Project" / "Saved").mkdir()
    stand_in.install(module)
    yield module
    for name in [n for n in sys.modules if n == "unreal" or n.startswith("syncam_unreal")]:
        del sys.modules[name]


@pytest.fixture
def editor(unreal):
    return unreal._editor


@pytest.fixture
def state_dir(tmp_path):
    """Where the bridge looks for an engine: a folder that has none, unless a test file says so."""
    return tmp_path / "engine"


@pytest.fixture
def plugin(unreal, state_dir):
    from syncam_unreal import plugin as module

    instance = module.start(state_dir=state_dir)
    yield instance
    module.stop()
    instance.close()


@pytest.fixture(scope="module")
def engine():
    """A real engine for all tests of a file; one that kills it starts it again."""
    with pytest.MonkeyPatch.context() as patch:
        made = LocalEngine(pipeline="tests.service.stub_pipeline:load_pipeline")
        patch.setenv("SYNCAM_CONFIG_DIR", made.environment["SYNCAM_CONFIG_DIR"])
        made.start()
        yield made
        made.close()
