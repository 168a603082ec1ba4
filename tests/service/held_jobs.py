# SPDX-License-Identifier: Apache-2.0
"""Jobs that stay at a step until they are let go, and the digests of the clips they made."""

from __future__ import annotations

from syncam_engine.devtools.harness import sample_request
from syncam_engine.link.messages import Done
from syncam_engine.service.files import digest_of


def held(**changes):
    """A job that stays at its fourth step until `let_go`."""
    return sample_request(2, **{"prompt": "hold", "steps": 8, **changes})


def let_go(engine):
    (engine.folder / "go").touch()


def stay(engine):
    (engine.folder / "go").unlink()


def digests(engine, done):
    assert isinstance(done, Done), done
    assert all(digest_of(engine.clip_file(done, clip.index)) == clip.digest for clip in done.clips)
    return [clip.digest for clip in done.clips]
