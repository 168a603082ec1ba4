# SPDX-License-Identifier: Apache-2.0
"""Real engines for the tests: one shared by those that leave it as it was, others of their own."""

from __future__ import annotations

import pytest

from syncam_engine.devtools.harness import LocalEngine

STUB = "tests.service.stub_pipeline:load_pipeline"


@pytest.fixture
def make_engine(monkeypatch):
    """Start engines over the stub; all are ended and their folders deleted."""
    engines = []

    def make(*arguments, **options):
        start = options.pop("start", True)
        engine = LocalEngine(*arguments, **{"pipeline": STUB, **options})
        monkeypatch.setenv("SYNCAM_CONFIG_DIR", engine.environment["SYNCAM_CONFIG_DIR"])
        engines.append(engine)
        if start:
            engine.start()
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def engine():
    """One engine for a module's tests."""
    with LocalEngine(pipeline=STUB) as running:
        yield running


@pytest.fixture
def let_go(engine):
    """Call it, and jobs of the shared engine whose prompt says "hold" go on."""
    go = engine.folder / "go"
    yield go.touch
    go.unlink(missing_ok=True)


@pytest.fixture
def client(engine):
    client = engine.client(client_name="a test")
    yield client
    client.close()
