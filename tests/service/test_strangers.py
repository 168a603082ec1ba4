# SPDX-License-Identifier: Apache-2.0
"""An engine where others of the machine were first: its folder's name, its working folder."""

from __future__ import annotations

import os
import stat

import pytest

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link.endpoint import parse_endpoint
from syncam_engine.link.messages import Done

from .test_engine import run

pytestmark = pytest.mark.processes


def test_engine_whose_folder_another_took_uses_one_of_its_own(make_engine, short_tmp, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_tmp))
    taken = short_tmp / f"syncam-{os.getuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    engine = make_engine()
    path = parse_endpoint(engine.info()["address"]).socket
    assert path.parent != taken
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert isinstance(run(engine.client(), sample_request(2))[0], Done)
    assert list(taken.iterdir()) == []
    assert f"may write to {taken}" in (engine.state_dir / "logs" / "engine.log").read_text()


def test_no_code_is_taken_from_the_working_folder(make_engine, tmp_path, monkeypatch):
    for name in ("zmq", "numpy", "tests"):
        text = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    engine = make_engine()
    assert isinstance(run(engine.client(), sample_request(2))[0], Done)
    assert not (tmp_path / "ran").exists()
