# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, at sizes that say nothing about speed."""

from __future__ import annotations

import json

import pytest

from syncam_engine.cli import main
from syncam_engine.devtools.bench import preview, wire
from tests.service.conftest import STUB

pytestmark = pytest.mark.processes


def test_wire(capsys, monkeypatch):
    monkeypatch.setenv("SYNCAM_CONFIG_DIR", "")  # restored afterwards: the bench sets its own
    assert main(["bench", "wire", "--megabytes", "3", "--rounds", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["bytes"] == 3_000_000
    assert set(figures["transports"]) == {"ipc", "tcp+curve"}
    for row in figures["transports"].values():
        assert row["bare_gb_s"] > 0
        assert row["wire_ratio"] > 0
        assert row["file_ratio"] > 0
        assert row["status_asked"] > 0
    assert wire.FULL_BYTES == 388_177_920


def test_preview_over_the_stub():
    figures = preview.measure(2, 1, 1, STUB)
    assert figures["device"] == "stub"
    assert figures["worker_peak_mb"] > 10
    assert {"hello_s", "sample_and_decode_s", "cancel_told_ms"} <= set(figures)
