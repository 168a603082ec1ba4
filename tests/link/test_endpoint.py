# SPDX-License-Identifier: Apache-2.0
"""Where an engine listens: addresses, short socket paths, folders of one user alone."""

from __future__ import annotations

import pytest

from syncam_engine.link.endpoint import parse_endpoint, private_dir, socket_path
from syncam_engine.link.errors import SynCamError


@pytest.mark.parametrize(
    "text",
    [
        "http://x",
        "tcp:/x",
        "tcp://h:1#short",
        "",
        "tcp://h",
        "tcp://h:",
        "tcp://:1",
        "tcp://h:70000",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(SynCamError, match="address"):
        parse_endpoint(text)


def test_socket_paths_are_short_and_differ(tmp_path):
    one, two = socket_path(tmp_path / ("d" * 120)), socket_path(tmp_path)
    assert one != two
    assert len(str(one)) < 100


def test_folders_that_others_could_write_are_refused(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SynCamError, match="0777") as caught:
        private_dir(folder)
    assert caught.value.fix.startswith("chmod 700")
    folder.chmod(0o755)
    assert private_dir(folder).stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SynCamError, match="plain folder"):
        private_dir(tmp_path / "link")
