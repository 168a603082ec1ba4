# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

from syncam_engine.link.files import write_whole


def test_a_file_is_written_whole_or_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "kept.json"
    write_whole(path, "é")
    assert path.read_bytes() == b"\xc3\xa9"

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        write_whole(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
    assert path.read_bytes() == b"\xc3\xa9"
